//! A database's URL or `key=value` text, in two parts: libpq's words that tokio-postgres does not know, and the rest.

use percent_encoding::percent_decode_str;
use std::collections::HashMap;
use tokio_postgres::Config;

/// libpq's words for TLS and for the file of passwords.
pub const WORDS: [&str; 5] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "passfile"];

/// What a text says.
#[derive(Debug, Default)]
pub struct ConnInfo {
    /// What tokio-postgres knows.
    pub config: Config,
    /// Of [`WORDS`], those that were said; as everywhere, the last one counts.
    pub words: HashMap<&'static str, String>,
}

impl ConnInfo {
    /// From a URL (`postgresql://user@host:5432/name?sslmode=require`) or libpq's pairs (`host=there dbname=x`).
    ///
    /// # Errors
    /// When it is neither, or has a word that nobody knows; the error repeats nothing of it, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, tokio_postgres::Error> {
        let is_url = ["postgresql://", "postgres://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        let (words, rest) = if is_url { from_url(text) } else { from_pairs(text) };
        Ok(ConnInfo {
            config: rest.parse()?,
            words,
        })
    }
}

fn word(name: &str) -> Option<&'static str> {
    WORDS.into_iter().find(|word| *word == name)
}

fn from_url(text: &str) -> (HashMap<&'static str, String>, String) {
    // A password may have a question mark in it.
    let after_credentials = text.find('@').map_or(0, |at| at + 1);
    let Some(question) = text[after_credentials..].find('?') else {
        return (HashMap::new(), text.to_owned());
    };
    let (address, query) = text.split_at(after_credentials + question);
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut words = HashMap::new();
    let mut others = Vec::new();
    for pair in query[1..].split('&') {
        let known = pair
            .split_once('=')
            .and_then(|(name, value)| Some((word(&decoded(name))?, value)));
        match known {
            Some((word, value)) => _ = words.insert(word, decoded(value)),
            None => others.push(pair),
        }
    }
    (words, format!("{address}?{}", others.join("&")))
}

fn from_pairs(text: &str) -> (HashMap<&'static str, String>, String) {
    let mut words = HashMap::new();
    let mut others = String::new();
    let mut rest = text.trim_start();
    while let Some((name, value)) = rest.split_once('=') {
        let (value, length) = value_at(value.trim_start());
        let pair = rest.len() - after(rest, length).len();
        match word(name.trim()) {
            Some(word) => _ = words.insert(word, value),
            None => others = format!("{others} {}", &rest[..pair]),
        }
        rest = rest[pair..].trim_start();
    }
    (words, format!("{others} {rest}"))
}

/// What follows the value, whose written length is known.
fn after(pair: &str, length: usize) -> &str {
    let value = pair.split_once('=').map_or("", |(_, value)| value.trim_start());
    &value[length..]
}

/// A value, plain or in single quotes, a backslash before what is meant as it stands; and its written length.
fn value_at(text: &str) -> (String, usize) {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, meant)| meant)),
            '\'' if quoted => return (value, index + 1),
            _ if !quoted && character.is_whitespace() => return (value, index),
            _ => value.push(character),
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (Vec<(&'static str, String)>, Config) {
        let info = ConnInfo::parse(text).unwrap();
        let mut words: Vec<_> = info.words.into_iter().collect();
        words.sort();
        (words, info.config)
    }

    #[test]
    fn a_url_is_taken_apart() {
        let (words, config) = parts(
            "postgresql://me:a?b@there/x?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fetc%2Fmy%20ca.pem&sslmode=require",
        );
        assert_eq!(
            words,
            [
                ("sslmode", "require".to_owned()),
                ("sslrootcert", "/etc/my ca.pem".to_owned())
            ]
        );
        assert_eq!(
            (config.get_dbname(), config.get_password()),
            (Some("x"), Some(&b"a?b"[..]))
        );
        assert_eq!(config.get_connect_timeout().unwrap().as_secs(), 3);
        let (words, config) = parts("postgresql://there/x?sslmode=disable");
        assert_eq!((words.len(), config.get_dbname()), (1, Some("x")));
    }

    #[test]
    fn pairs_are_taken_apart() {
        let (words, config) =
            parts("host=there sslmode = verify-ca password='a \\'b' sslkey='/my keys/k.pem' dbname=x");
        assert_eq!(
            words,
            [
                ("sslkey", "/my keys/k.pem".to_owned()),
                ("sslmode", "verify-ca".to_owned())
            ]
        );
        assert_eq!(
            (config.get_dbname(), config.get_password()),
            (Some("x"), Some(&b"a 'b"[..]))
        );
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        for text in [
            "postgresql://there/x?sslmodus=require",
            "host=there colour=red",
            "nonsense",
        ] {
            assert!(ConnInfo::parse(text).is_err(), "{text}");
        }
    }
}
