//! What the collector and the data source share about reaching PostgreSQL. Each has its own way to be told about a database (libpq's
//! words and files, or a form with pasted certificates); what follows from that is the same, and stands here.
//!
//! | module | what |
//! |---|---|
//! | [`conninfo`] | a database's URL or pairs, with the words of libpq that tokio-postgres does not know |
//! | [`tls`] | how a connection is protected: modes, certificates from files or as text, and what a failed handshake means |
//! | [`password`] | passwords from files: one that holds nothing else, or `.pgpass` |
//!
//! ```
//! use iot_kpi_connection::conninfo::ConnInfo;
//! use iot_kpi_connection::tls::{Mode, Tls};
//!
//! let told = ConnInfo::parse("postgresql://reader@db.example.org/iot?sslmode=verify-full&sslrootcert=system")?;
//! let tls = Tls::resolve(|word| told.words.get(word).cloned(), None)?;
//! assert_eq!(tls.mode, Mode::VerifyFull);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod conninfo;
mod error;
pub mod password;
pub mod tls;

pub use error::Error;

/// Where PostgreSQL's socket is when nobody says anything: Debian's place, and its own.
pub const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];
