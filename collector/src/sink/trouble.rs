//! What kind of trouble an error of the database is: whether to wait, whom to call, or which rows to set aside.

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The database is away or busy; it comes back by itself.
    Away,
    /// It does not let the collector in, or not write.
    Permission,
    /// It has no store, or one that does not fit.
    Store,
    /// It is not the one that the spool waits for.
    OtherDatabase,
    /// It finds fault with the rows.
    Rows,
    /// Something else.
    Unexpected,
}

/// Those that keep everything from being written; rows that are at fault are set aside, and the others go on.
pub const TROUBLES: [Trouble; 5] = [
    Trouble::Away,
    Trouble::Permission,
    Trouble::Store,
    Trouble::OtherDatabase,
    Trouble::Unexpected,
];

impl Trouble {
    /// As metrics and `/health` call it.
    pub fn name(self) -> &'static str {
        match self {
            Trouble::Away => "away",
            Trouble::Permission => "permission",
            Trouble::Store => "store",
            Trouble::OtherDatabase => "other_database",
            Trouble::Rows => "rows",
            Trouble::Unexpected => "unexpected",
        }
    }

    /// By what the server answered.
    ///
    /// Away are: connection (08), sessions that were ended (25P03, 25P04), a prepared statement that is gone or out of date
    /// (26, 0A000), rollback (40), resources (53), locks (55006, 55P03), operator intervention (57) and the system (58), and a
    /// server that only reads (25006), as one does until it is promoted.
    pub(crate) fn of_sqlstate(code: &str, message: &str) -> Self {
        let class = code.get(..2).unwrap_or_default();
        match (class, code) {
            (_, "25006" | "25P03" | "25P04" | "55006" | "55P03") => Trouble::Away,
            (_, "0A000") if message.contains("cached plan") => Trouble::Away,
            ("08" | "26" | "40" | "53" | "57" | "58", _) => Trouble::Away,
            (_, "42501") | ("28" | "0L" | "0P", _) => Trouble::Permission,
            ("3D" | "3F" | "42" | "55", _) => Trouble::Store,
            ("22" | "23" | "44" | "54", _) => Trouble::Rows,
            _ => Trouble::Unexpected,
        }
    }

    /// By what the client library says where the server did not answer.
    pub(crate) fn of_client(error: &str, cause: &str) -> Self {
        if cause == "password missing" || error.starts_with("authentication error") {
            Trouble::Permission
        } else if ["error serializing", "error encoding"]
            .iter()
            .any(|begin| error.starts_with(begin))
        {
            Trouble::Rows
        } else if ["error deserializing", "invalid column", "query returned"]
            .iter()
            .any(|begin| error.starts_with(begin))
        {
            Trouble::Store
        } else {
            Trouble::Away
        }
    }

    /// What to do about it.
    pub(crate) fn remedy(self, sqlstate: Option<&str>) -> &'static str {
        match (self, sqlstate) {
            (_, None) if self == Trouble::Permission => {
                "give the password by --password-file, PGPASSWORD or PGPASSFILE"
            }
            (_, Some("28P01")) => {
                "check the user, and the password in --password-file, PGPASSWORD, PGPASSFILE or the URL"
            }
            (_, Some("28000")) => {
                "see in the server's pg_hba.conf which users, addresses and encryption it admits (sslmode=require), and \
                 whether it asks for a client certificate in the user's name (sslcert, sslkey)"
            }
            (_, Some("3D000")) => "create the database, or name another with --database-url",
            (_, Some("25006")) => "it is a standby: name the primary with --database-url, or promote it",
            (_, Some("53100")) => "make room on the server's disk",
            (_, Some("53300")) => "raise max_connections there, or use fewer --writers",
            (Trouble::Away, _) => "see that the server runs and is not overloaded",
            (Trouble::Permission, _) => {
                "as the store's owner, run SELECT iot_kpi.grant_writer('the collector''s role')"
            }
            (Trouble::Store, _) => {
                "bring extension and store up to date: ALTER EXTENSION pg_iot_kpi UPDATE; SELECT iot_kpi.create_store()"
            }
            (Trouble::OtherDatabase, _) => "name the database that the spool waits for",
            (Trouble::Rows, _) => "see the rows in the dead-letter file, and send them again with resend once mended",
            (Trouble::Unexpected, _) => "see the server's log",
        }
    }

    /// How far the rows that were sent may be to blame.
    pub(crate) fn blame(self, sqlstate: Option<&str>) -> Blame {
        match (self, sqlstate) {
            (Trouble::Rows, _) => Blame::Rows,
            // Out of memory, or cancelled because it took too long: fewer rows may do.
            (_, Some("53200" | "57014")) => Blame::TooMany,
            // A trigger or a policy may mind some rows and not others.
            (Trouble::Permission | Trouble::Unexpected, Some(_)) => Blame::Perhaps,
            _ => Blame::Nobody,
        }
    }
}

/// How far rows are to blame for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// Not at all: the same rows will go in later.
    Nobody,
    /// There were too many at once.
    TooMany,
    /// Some of them are, if others go in.
    Perhaps,
    /// At least one of them is.
    Rows,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_trouble() {
        for (trouble, codes) in [
            (
                Trouble::Away,
                "08006 08001 25006 26000 40001 40P01 53100 53200 53300 55P03 57P01 57P02 57P03 57014 58030",
            ),
            (Trouble::Permission, "42501 28000 28P01 0P000"),
            (Trouble::Store, "42883 42P01 42703 3F000 3D000 55000 42804"),
            (Trouble::Rows, "22003 22021 22P02 23502 23503 23514 44000 54000"),
            (Trouble::Unexpected, "P0001 XX000 XX001 38000 21000 0A000 25P02 HV000"),
        ] {
            for code in codes.split(' ') {
                assert_eq!(Trouble::of_sqlstate(code, "no"), trouble, "{code}");
                assert!(!trouble.remedy(Some(code)).is_empty());
            }
        }
        let stale = Trouble::of_sqlstate("0A000", "cached plan must not change result type");
        assert_eq!(stale, Trouble::Away);
    }

    #[test]
    fn the_client_tells_too() {
        for (error, cause, trouble) in [
            ("error connecting to server", "Connection refused", Trouble::Away),
            ("connection closed", "", Trouble::Away),
            ("invalid configuration", "password missing", Trouble::Permission),
            ("error serializing parameter 2", "too long", Trouble::Rows),
            ("error deserializing column 0", "", Trouble::Store),
        ] {
            assert_eq!(Trouble::of_client(error, cause), trouble, "{error}");
        }
    }

    #[test]
    fn rows_are_blamed_where_they_may_be() {
        let blame = |code: &str| Trouble::of_sqlstate(code, "").blame(Some(code));
        assert_eq!(blame("22003"), Blame::Rows);
        assert_eq!(blame("53200"), Blame::TooMany);
        assert_eq!(blame("42501"), Blame::Perhaps);
        assert_eq!(blame("P0001"), Blame::Perhaps);
        assert_eq!(blame("42883"), Blame::Nobody);
        assert_eq!(blame("08006"), Blame::Nobody);
    }
}
