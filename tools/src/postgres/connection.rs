//! Databases of a server, and connections to them.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls};

use super::Postgres;

/// Whether the connection is gone, or none can be had: the server was stopped or killed, or is on its way up or down. Other
/// errors without a SQLSTATE, such as a row too few, are none of it.
pub fn is_broken(error: &postgres::Error) -> bool {
    let of_the_connection = |code: &SqlState| code.code().starts_with("57P0") || code.code().starts_with("08");
    error.is_closed()
        || error.source().is_some_and(<dyn Error>::is::<std::io::Error>)
        || error.code().is_some_and(of_the_connection)
}

/// A database of a private server.
#[derive(Debug, Clone)]
pub struct Database<'a> {
    server: &'a Postgres,
    name: String,
}

impl Postgres {
    /// A new, empty database; an older one of that name is dropped.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn create_database(&self, name: &str) -> Result<Database<'_>> {
        let mut client = self.try_client("postgres")?;
        client.batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))?;
        client.batch_execute(&format!("CREATE DATABASE \"{name}\""))?;
        Ok(self.database(name))
    }

    /// A database by its name, whether it exists or not.
    pub fn database(&self, name: &str) -> Database<'_> {
        Database {
            server: self,
            name: name.to_owned(),
        }
    }

    /// A new database with the extension in it.
    ///
    /// # Errors
    /// When the server refuses it, for example because the extension is not installed.
    pub fn try_extension(&self, name: &str) -> Result<Database<'_>> {
        let database = self.create_database(name)?;
        let created = database.try_client()?.batch_execute("CREATE EXTENSION pg_iot_kpi");
        created.context("create extension pg_iot_kpi (`make install` puts it there)")?;
        Ok(database)
    }

    /// A new database with the extension and an empty store in it.
    ///
    /// # Errors
    /// As [`Postgres::try_extension`].
    pub fn try_store(&self, name: &str) -> Result<Database<'_>> {
        let database = self.try_extension(name)?;
        database
            .try_client()?
            .batch_execute("SELECT iot_kpi.create_store()")
            .context("create the store")?;
        Ok(database)
    }

    /// Whether there is a database of that name with a store in it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn has_store(&self, name: &str) -> Result<bool> {
        let exists = "SELECT FROM pg_database WHERE datname = $1";
        if self.try_client("postgres")?.query(exists, &[&name])?.is_empty() {
            return Ok(false);
        }
        let store = "SELECT to_regclass('iot.devices') IS NOT NULL";
        Ok(self.try_client(name)?.query_one(store, &[])?.get(0))
    }

    /// [`Postgres::try_extension`] for tests.
    ///
    /// # Panics
    /// Where that fails.
    pub fn extension(&self, name: &str) -> Database<'_> {
        self.try_extension(name).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// [`Postgres::try_store`] for tests.
    ///
    /// # Panics
    /// Where that fails.
    pub fn store(&self, name: &str) -> Database<'_> {
        self.try_store(name).unwrap_or_else(|error| panic!("{error:#}"))
    }

    pub(super) fn try_client(&self, database: &str) -> Result<Client> {
        Config::new()
            .host_path(self.socket_folder())
            .port(self.port())
            .user("postgres")
            .dbname(database)
            .application_name("iot-kpi-tools")
            .connect_timeout(Duration::from_secs(10))
            .connect(NoTls)
            .with_context(|| format!("connect to database {database} in {}", self.socket_folder().display()))
    }
}

impl Database<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server it is in.
    pub fn server(&self) -> &Postgres {
        self.server
    }

    /// The URI for any client, over the loopback port, password included.
    pub fn uri(&self) -> String {
        format!(
            "postgresql://postgres:{}@127.0.0.1:{}/{}",
            self.server.password(),
            self.server.port(),
            self.name
        )
    }

    /// A connection of user `postgres`.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn client(&self) -> Client {
        self.try_client().unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// A connection of user `postgres`.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn try_client(&self) -> Result<Client> {
        self.server.try_client(&self.name)
    }

    /// The command `psql` on this database, reading no start-up file.
    pub fn psql(&self) -> Command {
        let mut command = self.client_program("psql");
        command.arg("--no-psqlrc").arg(format!("--dbname={}", self.name));
        command
    }

    /// A client program such as `pg_dump`, told the server and user.
    pub fn client_program(&self, name: &str) -> Command {
        let mut command = Command::new(self.server.installation().program(name));
        command.arg("--username=postgres");
        command.arg(format!("--host={}", self.server.socket_folder().display()));
        command.arg(format!("--port={}", self.server.port()));
        command
    }
}
