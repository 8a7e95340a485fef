//! Who asks a facilitator, and what it is told where there is no answer.

use salt402_protocol::x402::request::RequestError;

use crate::policy::CallerRules;

/// Who asks: one of the callers that the operator named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its name in the configuration.
    pub name: String,
    /// What it may ask for.
    pub rules: CallerRules,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FacilitatorError {
    /// The body is no request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// There is no room for it now. Nothing was done.
    #[error("{what}: ask again in {retry_after_ms} ms")]
    Busy {
        /// When to ask again, in milliseconds.
        retry_after_ms: u64,
        /// What there is no room for.
        what: String,
    },
    /// The chain or the database cannot be asked. Nothing was done.
    #[error("{0}")]
    Unavailable(String),
}
