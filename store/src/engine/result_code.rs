//! The meaning of SQLite's result codes, for both libraries.

use std::sync::Arc;

use crate::rows::StoreError;

/// What a result code means, as far as this program acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResultCode {
    Busy,
    Full,
    Unwritable,
    Io,
    Interrupted,
    NotADatabase,
    Unique,
    Other,
}

impl ResultCode {
    pub(super) fn of(error: &sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = error else { return Self::Other };
        if database.is_unique_violation() {
            return Self::Unique;
        }
        database.code().and_then(|code| code.parse().ok()).map_or(Self::Other, Self::of_code)
    }

    /// [`ResultCode::of`] for an error of a statement on the calling thread.
    pub(super) fn of_sync(error: &rusqlite::Error) -> Self {
        error.sqlite_error().map_or(Self::Other, |error| Self::of_code(error.extended_code))
    }

    fn of_code(code: i32) -> Self {
        // The low byte is the primary code, the rest says more.
        match (code, code & 0xff) {
            (1555 | 2067, _) => Self::Unique,
            (_, 5 | 6) => Self::Busy,
            (_, 8 | 14) => Self::Unwritable,
            (_, 9) => Self::Interrupted,
            (_, 10) => Self::Io,
            (_, 13) => Self::Full,
            (_, 26) => Self::NotADatabase,
            _ => Self::Other,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match ResultCode::of_sync(&error) {
            ResultCode::Busy => Self::Busy,
            ResultCode::Full => Self::DiskFull,
            ResultCode::Unwritable | ResultCode::Io => Self::DiskFailed(Arc::new(error)),
            _ => Self::Sql(Arc::new(error)),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match (ResultCode::of(&error), error) {
            (ResultCode::Busy, _) => Self::Busy,
            (ResultCode::Full, _) => Self::DiskFull,
            (ResultCode::Interrupted, _) => Self::ReadTooLong,
            (ResultCode::Unwritable | ResultCode::Io, error) => Self::DiskFailed(Arc::new(error)),
            (_, sqlx::Error::PoolClosed) => Self::Closed,
            (_, error) => Self::Sql(Arc::new(error)),
        }
    }
}
