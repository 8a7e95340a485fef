//! What is said of a payment beside its verdict: that it was claimed, that it is another's, why it cannot be judged now.

use alloy_primitives::{B256, keccak256};
use salt402_protocol::X402Reason;

use crate::authorization::Authorization;
use crate::callers::Caller;
use crate::callers::FacilitatorError;
use crate::read::{Read, Refusal, refuse};
use crate::settler::{Known, SettleFault, Settled};
use crate::verify::facts::FactsError;
use crate::verify::judge::is_permit2;
use crate::verify::payment::NoVerdict;

/// Under `upto` the server says what is charged, and others could say 0.
pub(crate) fn of_another() -> Refusal {
    let detail = "another caller was told that this permit is good, and it alone says what is charged: ask to verify and to settle \
                  with the same token";
    refuse(X402Reason::InvalidPaymentRequirements, detail)
}

/// Why a payment is not settled for whoever asks: a gateway of this database keeps it for the request that it was shown with.
pub(crate) const OF_ANOTHER: &str = "a gateway over this facilitator's database keeps this payment for a request, and it is settled \
                                     with that gateway's key alone";

/// What was signed, to whom and for how much, in one word. A payer can sign several payments with one nonce.
pub(crate) fn signed(authorization: &Authorization) -> B256 {
    let Authorization { token, payee, amount, signature, .. } = authorization;
    let amount = amount.to_be_bytes::<32>();
    keccak256([token.as_slice(), payee.as_slice(), &amount, signature.as_ref()].concat())
}

/// The result of a claimed payment, for whoever shows the same one. Another one with its nonce can never be settled, and
/// whoever has not the signature has read the rest off the chain.
pub(crate) fn told(read: &Read, known: Known) -> Result<Settled, NoVerdict> {
    let authorization = &read.authorization;
    if known.authorization.as_ref() == Some(&authorization.without_signatures())
        && known.charge == read.charge
    {
        return Ok(known.settled);
    }
    let detail = "this nonce was used for another payment, or the payment for another charge: it cannot be settled again";
    Err(refuse(used(authorization), detail).into())
}

/// Why a claimed payment is not valid any more.
pub(crate) fn taken(read: &Read, known: Known) -> Refusal {
    match known.settled {
        Settled::Pending { .. } => {
            let detail = "this payment is being settled: ask to settle it, and sign no other one";
            refuse(X402Reason::SettlementPending, detail)
        }
        Settled::Done { .. } => {
            refuse(used(&read.authorization), "this payment was settled: it pays nothing any more")
        }
        Settled::Failed { reason, detail, .. } => refuse(reason, detail),
    }
}

/// A key as it is kept: a caller's own, and no text of whatever length.
pub(crate) fn digest_of(key: &str, caller: Option<&Caller>) -> B256 {
    let name = caller.map(|caller| caller.name.as_str()).unwrap_or_default();
    keccak256([name.as_bytes(), &[0], key.as_bytes()].concat())
}

/// Whether a payment is refused because its time is over.
pub(crate) const fn is_over(refusal: &Refusal) -> bool {
    matches!(
        refusal.reason,
        X402Reason::ValidBefore | X402Reason::Permit2DeadlineExpired | X402Reason::Eip2612DeadlineExpired
    )
}

pub(crate) fn used(authorization: &Authorization) -> X402Reason {
    if is_permit2(authorization) { X402Reason::Permit2InvalidNonce } else { X402Reason::NonceAlreadyUsed }
}

pub(crate) fn outcome_of(error: &NoVerdict) -> &'static str {
    match error {
        NoVerdict::Refused(refusal) => refusal.reason.as_str(),
        NoVerdict::Settler(SettleFault::Refused { reason, .. }) => reason.as_str(),
        NoVerdict::Settler(SettleFault::Busy { .. }) => "busy",
        NoVerdict::Settler(SettleFault::Storage(_)) => "storage",
        NoVerdict::Facts(_) => "chain",
    }
}

pub(crate) fn unavailable(error: NoVerdict) -> FacilitatorError {
    match error {
        NoVerdict::Settler(SettleFault::Busy { retry_after_ms, what }) => {
            FacilitatorError::Busy { retry_after_ms, what }
        }
        error => FacilitatorError::Unavailable(for_callers(&error)),
    }
}

/// Why there is no verdict, for callers. Which node or file failed, and how, is for the operator's log alone.
fn for_callers(error: &NoVerdict) -> String {
    let what = match error {
        NoVerdict::Facts(FactsError::Node(_)) => "the chain cannot be asked now",
        NoVerdict::Facts(FactsError::Storage(_)) => "the index cannot be read now",
        NoVerdict::Settler(SettleFault::Storage(_)) => "nothing can be stored now",
        other => return other.to_string(),
    };
    tracing::warn!(%error, "a payment could not be judged");
    what.to_owned()
}
