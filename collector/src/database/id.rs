//! Which database it is, whatever its address: what waits for one must never reach another.

use crate::error::Error;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// A database by what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseId {
    /// The name it was asked for by.
    pub asked_for: String,
    /// The name it gives itself, once it was reached.
    pub name: Option<String>,
    /// Its cluster's `system_identifier`, where the server tells.
    pub system: Option<u64>,
}

impl DatabaseId {
    /// One that was not reached yet.
    pub fn asked_for(name: &str) -> Self {
        DatabaseId {
            asked_for: name.to_owned(),
            ..DatabaseId::default()
        }
    }

    /// The same, now that there is a connection to it.
    pub async fn reached(&self, client: &Client) -> Result<Self, Error> {
        let asking = Error::statement("asking which database it is");
        let name = match client.query_one("SELECT current_database()::text", &[]).await {
            Ok(row) => row.get(0),
            Err(error) => return Err(asking(error)),
        };
        let control = "SELECT system_identifier FROM pg_catalog.pg_control_system()";
        let system = match client.query_one(control, &[]).await {
            Ok(row) => Some(row.get::<_, i64>(0).cast_unsigned()),
            // A server that keeps it for itself is known by the database's name alone.
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => None,
            Err(error) => return Err(asking(error)),
        };
        Ok(DatabaseId {
            asked_for: self.asked_for.clone(),
            name: Some(name),
            system,
        })
    }

    /// Whether the two are one, as far as can be told: by what they say of themselves, else by how they were asked for.
    pub fn may_be(&self, other: &DatabaseId) -> bool {
        match (&self.name, &other.name) {
            (Some(one), Some(two)) => {
                let systems = self.system.zip(other.system);
                one == two && systems.is_none_or(|(one, two)| one == two)
            }
            _ => self.asked_for == other.asked_for,
        }
    }
}

impl std::fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "database {:?}", self.name.as_ref().unwrap_or(&self.asked_for))?;
        self.system.map_or(Ok(()), |system| write!(f, " of cluster {system}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(asked_for: &str, name: Option<&str>, system: Option<u64>) -> DatabaseId {
        DatabaseId {
            asked_for: asked_for.to_owned(),
            name: name.map(str::to_owned),
            system,
        }
    }

    #[test]
    fn what_they_say_of_themselves_decides() {
        let iot = id("pool", Some("iot"), Some(1));
        assert!(iot.may_be(&id("iot", Some("iot"), Some(1))));
        assert!(iot.may_be(&id("iot", Some("iot"), None)));
        assert!(!iot.may_be(&id("pool", Some("iot"), Some(2))));
        assert!(!iot.may_be(&id("pool", Some("other"), Some(1))));
    }

    #[test]
    fn one_that_was_not_reached_is_known_by_how_it_was_asked_for() {
        let iot = id("pool", Some("iot"), Some(1));
        assert!(iot.may_be(&DatabaseId::asked_for("pool")));
        assert!(!iot.may_be(&DatabaseId::asked_for("iot")));
        assert!(DatabaseId::asked_for("a").may_be(&DatabaseId::asked_for("a")));
    }
}
