//! SQL with its parameters: sent apart, shown together as people paste it into psql.

use bytes::BytesMut;
use chrono::{DateTime, SecondsFormat, Utc};
use postgres_types::{IsNull, ToSql, Type};

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// Text, or none.
    Text(Option<String>),
    /// Texts, or none.
    Texts(Option<Vec<String>>),
    /// An instant.
    Time(DateTime<Utc>),
    /// A number.
    Float(f64),
    /// A whole number.
    Int(i32),
    /// Instants.
    Times(Vec<DateTime<Utc>>),
    /// Numbers.
    Floats(Vec<f64>),
}

impl ToSql for Param {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Param::Text(value) => value.to_sql(ty, out),
            Param::Texts(value) => value.to_sql(ty, out),
            Param::Time(value) => value.to_sql(ty, out),
            Param::Float(value) => value.to_sql(ty, out),
            Param::Int(value) => value.to_sql(ty, out),
            Param::Times(value) => value.to_sql(ty, out),
            Param::Floats(value) => value.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // Each statement is prepared with the types that `sql_type` gives.
        true
    }

    postgres_types::to_sql_checked!();
}

impl Param {
    /// Its type when a statement is prepared.
    pub(crate) fn sql_type(&self) -> Type {
        match self {
            Param::Text(_) => Type::TEXT,
            Param::Texts(_) => Type::TEXT_ARRAY,
            Param::Time(_) => Type::TIMESTAMPTZ,
            Param::Float(_) => Type::FLOAT8,
            Param::Int(_) => Type::INT4,
            Param::Times(_) => Type::TIMESTAMPTZ_ARRAY,
            Param::Floats(_) => Type::FLOAT8_ARRAY,
        }
    }

    fn literal(&self) -> String {
        match self {
            Param::Text(None) => "NULL::text".to_owned(),
            Param::Texts(None) => "NULL::text[]".to_owned(),
            Param::Text(Some(text)) => quote_literal(text),
            Param::Texts(Some(texts)) => {
                let quoted: Vec<String> = texts.iter().map(|text| quote_literal(text)).collect();
                format!("ARRAY[{}]::text[]", quoted.join(", "))
            }
            Param::Time(time) => format!("timestamptz '{}'", time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            Param::Float(number) => number.to_string(),
            Param::Int(number) => number.to_string(),
            // Only writes have these, and their SQL is shown to nobody.
            Param::Times(_) | Param::Floats(_) => "$".to_owned(),
        }
    }
}

/// A statement and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// With `$1`, `$2` …
    pub sql: String,
    /// In their order.
    pub params: Vec<Param>,
}

impl Statement {
    /// From a file of `sql/`, which ends in a newline.
    pub(crate) fn new(sql: &str, params: Vec<Param>) -> Self {
        Statement {
            sql: sql.trim().to_owned(),
            params,
        }
    }

    /// With the parameters in it.
    pub fn executed(&self) -> String {
        let mut text = String::with_capacity(self.sql.len() + 200);
        let mut rest = self.sql.as_str();
        while let Some(at) = rest.find('$') {
            text.push_str(&rest[..at]);
            let digits = rest[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
            let number = rest[at + 1..at + 1 + digits].parse::<usize>().unwrap_or(0);
            match number.checked_sub(1).and_then(|index| self.params.get(index)) {
                Some(param) => text.push_str(&param.literal()),
                None => text.push_str(&rest[at..at + 1 + digits]),
            }
            rest = &rest[at + 1 + digits..];
        }
        text.push_str(rest);
        text
    }
}

/// A string constant that means the same whatever `standard_conforming_strings` says.
pub(crate) fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_shows_its_parameters() {
        let params = vec![
            Param::Text(Some("it's \\ this".to_owned())),
            Param::Texts(Some(vec!["A".to_owned(), "B'".to_owned()])),
            Param::Texts(None),
        ];
        let statement = Statement::new("SELECT $1, $2, $3, '$', $9\n", params);
        assert_eq!(
            statement.executed(),
            "SELECT E'it''s \\\\ this', ARRAY['A', 'B''']::text[], NULL::text[], '$', $9"
        );
    }
}
