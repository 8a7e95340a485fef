//! Who asks, and how often one may.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use salt402_http::{Bucket, Token, Tokens};
use salt402_protocol::{Code, Problem};
use tokio::time::Instant;

use crate::facilitator::Caller;

/// The callers that the operator named. Without any, nobody is asked for a token.
#[derive(Clone, Default)]
pub(crate) struct Callers(Tokens<Arc<Known>>);

struct Known {
    caller: Caller,
    /// A std mutex, because nothing is awaited while it is held.
    bucket: Mutex<Bucket>,
}

impl Callers {
    /// These callers, each by its token.
    pub(crate) fn new(callers: Vec<(Token, Caller)>) -> Self {
        let known = |(token, caller)| (token, Arc::new(Known { caller, bucket: Mutex::default() }));
        Self(Tokens::new(callers.into_iter().map(known).collect()))
    }

    /// Who sends a request. `None`: nobody is asked.
    ///
    /// # Errors
    /// The token is missing or wrong, or its bearer asks too often.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<Option<&Caller>, Problem> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let Some(known) = self.0.bearer(headers)? else {
            let detail = "send your token as Authorization: Bearer, or as X-Salt402-Token";
            return Err(Problem::new(Code::Unauthorized, detail));
        };
        if let Some(rate) = known.caller.rules.rate {
            let mut bucket = known.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(rate, Instant::now()).map_err(|wait| {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
                let detail =
                    format!("this token's requests come faster than is allowed: ask again in {wait_ms} ms");
                metrics::counter!("salt402_limited_total", "limit" => Code::CallerLimited.as_str())
                    .increment(1);
                Problem::new(Code::CallerLimited, detail).retry_after(wait_ms)
            })?;
        }
        Ok(Some(&known.caller))
    }
}
