//! Why a model did not answer, and whether it may later.

use std::time::Duration;

/// Why a model did not answer. Payers are never told the upstream's address, key or words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub(crate) struct UpstreamError {
    /// What went wrong.
    pub(crate) kind: Failure,
    /// When the upstream wants to be asked again, if it says so.
    pub(crate) after: Option<Duration>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the model server could not be reached")]
    Unreachable,
    #[error("the model server did not answer in time")]
    Timeout,
    #[error("the model server's answer broke off")]
    BrokenOff,
    #[error("the model server is busy, or loads the model (status {0})")]
    Busy(u16),
    #[error("the model server does not serve this gateway (status {0}): its operator must act")]
    Unserved(u16),
    #[error("the model server failed (status {0})")]
    Failed(u16),
    #[error("the model server's answer says that it failed")]
    SaidError,
    #[error("the model server's answer is not a chat completion")]
    Unreadable,
    #[error("the model server's answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("the prompt with max_tokens is longer than what the model can hold")]
    ContextTooLong,
    #[error("the model server's content filter refused the prompt")]
    Filtered,
    #[error("the model server refused the request (status {0})")]
    Refused(u16),
    #[error("the model server could not be reached in time")]
    NotConnected,
    #[error("the model server stopped in the middle of its answer")]
    Stalled,
    #[error("the request broke off before all of it was passed on")]
    RequestBrokenOff,
}

/// Whether the same request may be answered another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureClass {
    /// The upstream is not there, is busy or does not let us in. No model ran.
    NotRun,
    /// A model may have run, and its work is lost.
    Ran,
    /// A model ran, and its payer left while it read the answer.
    Left,
    /// The request can never be answered. This says nothing about the upstream's health.
    Permanent,
}

impl From<Failure> for UpstreamError {
    fn from(kind: Failure) -> Self {
        Self { kind, after: None }
    }
}

impl UpstreamError {
    /// The failure that an error status and its text mean.
    pub(super) fn of(status: u16, words: &str, after: Option<Duration>) -> Self {
        // Limits of time and of rate may also speak of tokens.
        let kind = match status {
            401 | 402 | 407 | 429 | 503 => Failure::of(status),
            _ => Failure::for_good(words).unwrap_or(Failure::of(status)),
        };
        Self { kind, after }
    }

    /// The failure that an answer with a good status tells, and the status that it names.
    pub(super) fn said(status: Option<u16>, words: &str) -> Self {
        status.map_or_else(
            || Failure::for_good(words).unwrap_or(Failure::SaidError).into(),
            |status| Self::of(status, words, None),
        )
    }

    /// The same in words, of a server that is no model's.
    pub(crate) fn of_service(&self) -> String {
        self.to_string().replacen("the model server", "the service", 1)
    }

    /// Whether it may be answered another time.
    pub(crate) const fn class(&self) -> FailureClass {
        match self.kind {
            Failure::Unreachable
            | Failure::NotConnected
            | Failure::RequestBrokenOff
            | Failure::Busy(_)
            | Failure::Unserved(_) => FailureClass::NotRun,
            Failure::Timeout
            | Failure::Stalled
            | Failure::BrokenOff
            | Failure::Failed(_)
            | Failure::SaidError
            | Failure::Unreadable
            | Failure::TooLong(_) => FailureClass::Ran,
            Failure::ContextTooLong | Failure::Filtered | Failure::Refused(_) => FailureClass::Permanent,
        }
    }

    /// Whether every request would be refused like this: the key is missing or wrong, or the model does not exist.
    pub(crate) const fn lets_nobody_in(&self) -> bool {
        matches!(self.kind, Failure::Unserved(_))
    }

    /// The same failure, of a server that answers others.
    pub(crate) fn of_this_request(self) -> Self {
        match self.kind {
            // A key or an account is never the request's fault. The payer is served once it is repaired.
            Failure::Unserved(401 | 402 | 407) => self,
            Failure::Unserved(status) => Failure::Refused(status).into(),
            _ => self,
        }
    }

    /// Whether the upstream asks to come back later: it is there and will answer soon.
    pub(super) const fn asks_to_wait(&self) -> bool {
        matches!(self.kind, Failure::Busy(_))
    }
}

impl Failure {
    const fn of(status: u16) -> Self {
        match status {
            408 | 409 | 425 | 429 | 503 | 529 => Self::Busy(status),
            400 | 413 | 414 | 422 | 451 => Self::Refused(status),
            500..=599 => Self::Failed(status),
            // A key, an account, an address or a model's name is wrong. The operator must repair it.
            _ => Self::Unserved(status),
        }
    }

    /// Texts by which servers say that a request can never be answered. From OpenAI, vLLM, llama.cpp, Ollama, SGLang;
    /// and OpenAI, Azure, OpenRouter.
    fn for_good(words: &str) -> Option<Self> {
        const CONTEXT: [&str; 7] = [
            "context_length_exceeded",
            "maximum context length",
            "exceed_context_size",
            "available context size",
            "context window",
            "prompt is too long",
            "longer than the model's context length",
        ];
        const FILTER: [&str; 4] =
            ["content_filter", "content_policy_violation", "responsibleaipolicyviolation", "flagged for"];
        let words = words.to_ascii_lowercase();
        let any = |of: &[&str]| of.iter().any(|part| words.contains(part));
        if any(&CONTEXT) { Some(Self::ContextTooLong) } else { any(&FILTER).then_some(Self::Filtered) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_not_refused_for_good_and_what_will_not_is() {
        let judged = |status, words: &str| UpstreamError::of(status, words, None).class();
        for status in [401, 402, 403, 404, 405, 301, 408, 409, 429, 503, 529] {
            assert_eq!(judged(status, "no"), FailureClass::NotRun, "{status}");
        }
        for status in [500, 502, 504] {
            assert_eq!(judged(status, "no"), FailureClass::Ran, "{status}");
        }
        for status in [400, 413, 422] {
            assert_eq!(judged(status, "max_tokens is not supported"), FailureClass::Permanent, "{status}");
        }
        let vllm = "This model's maximum context length is 4096 tokens.";
        assert_eq!(UpstreamError::of(500, vllm, None).kind, Failure::ContextTooLong);
        assert_eq!(UpstreamError::of(429, vllm, None).kind, Failure::Busy(429));
        let router = r#"{"error":{"code":403,"message":"Input was flagged for violence"}}"#;
        assert_eq!(UpstreamError::of(403, router, None).kind, Failure::Filtered);
    }
}
