//! A private PostgreSQL for tests, demo and development.
