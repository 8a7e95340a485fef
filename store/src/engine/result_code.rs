//! The meaning of SQLite's result codes.

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
    pub(super) fn of(error: &rusqlite::Error) -> Self {
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
        match ResultCode::of(&error) {
            ResultCode::Busy => Self::Busy,
            ResultCode::Full => Self::DiskFull,
            ResultCode::Interrupted => Self::ReadTooLong,
            ResultCode::Unwritable | ResultCode::Io => Self::DiskFailed(Arc::new(error)),
            _ => Self::Sql(Arc::new(error)),
        }
    }
}
