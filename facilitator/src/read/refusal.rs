//! Why a payment is not valid.

use std::borrow::Cow;

use salt402_protocol::X402Reason;

/// Why a payment is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What clients act on.
    pub(crate) reason: X402Reason,
    /// What is wrong and what to do, for people.
    pub(crate) detail: Cow<'static, str>,
}

/// A refusal.
pub(crate) fn refuse(reason: X402Reason, detail: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal { reason, detail: detail.into() }
}
