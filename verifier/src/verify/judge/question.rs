//! The question, and what follows.

use salt402_protocol::api::Requirement;
use salt402_protocol::{Address, Amount, Code, Proof, Quote, QuoteId};
use salt402_store::IndexedPayment;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What had to be paid.
    pub requirement: &'a Requirement,
    /// The quote that the client presents, opened with our key, and its id.
    pub quote: Option<(&'a QuoteId, &'a Quote)>,
    /// The proof that is shown.
    pub proof: Proof,
    /// Who would claim.
    pub claimant: &'a str,
    /// The token and the price of a payment that was signed for this request, kept for it before it was settled, and settled.
    pub reserved: Option<(Address, Amount)>,
    /// Now, in seconds since 1970 UTC.
    pub now: u64,
}

/// What follows from the present index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The payment at this index of the list pays for the request and is deep enough.
    Paid(usize),
    /// It may become a payment with time. With a code that is not pending ([`Code::is_pending`]), it is a refusal once
    /// nobody waits any more.
    Pending(Code, String),
    /// No.
    Rejected(Code, String),
    /// Not answered, because the question must be asked in another way, or a person must be asked. This says nothing
    /// against the payment.
    Unasked(Code, String),
}

/// Whether a payment is claimed for this request by this claimant. `None` if it is not claimed.
pub(super) fn ours(question: &Question<'_>, indexed: &IndexedPayment) -> Option<bool> {
    indexed.claim.as_ref().map(|claim| {
        claim.request == question.requirement.request_digest && claim.claimant == question.claimant
    })
}
