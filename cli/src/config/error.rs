//! Why a configuration cannot be used.

use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Why a configuration cannot be used. Every message names the place and what was expected there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{path}: {source}; `salt402 config example` prints a file to start from", path = path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: {error}", path = path.display())]
    Toml { path: PathBuf, error: Box<toml::de::Error> },
    #[error("{key}: {what}")]
    Value { key: String, what: String },
}

impl ConfigError {
    pub(crate) fn value(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Value { key: key.into(), what: what.into() }
    }

    /// Refuses a number that is not within its bounds.
    pub(crate) fn unless_within(
        key: impl Into<String>,
        value: u64,
        bounds: RangeInclusive<u64>,
    ) -> Result<(), Self> {
        if bounds.contains(&value) {
            return Ok(());
        }
        Err(Self::value(key, format!("expected {} to {}, found {value}", bounds.start(), bounds.end())))
    }
}
