//! The texts of refusals and of pending answers.

use std::time::Duration;

use salt402_protocol::api::{Verdict, VerifyRequest};
use salt402_protocol::{Code, Problem};
use salt402_store::StoreError;

use crate::verify::judge::depth::confirmations_of_nothing;
use crate::verify::policy::ChainPolicy;

/// The shortest pause that a client is asked to keep before it shows a proof again.
const LEAST_RETRY: Duration = Duration::from_millis(250);
/// The longest, where many blocks must pass.
const MOST_RETRY: Duration = Duration::from_secs(30);
/// When to ask again about a halted chain, in milliseconds.
pub(crate) const HALTED_RETRY_MS: u64 = 30_000;

/// A pending answer about one chain.
pub(crate) fn pending(chain: &ChainPolicy, blocks: u64, code: Code, detail: String) -> Verdict {
    let blocks = u32::try_from(blocks.max(1)).unwrap_or(u32::MAX);
    let wait = chain.block_time.saturating_mul(blocks).min(MOST_RETRY).max(LEAST_RETRY).max(chain.block_time);
    Verdict::Pending { code, detail, retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) }
}

pub(crate) fn quote_required() -> Verdict {
    let detail =
        "a payment for several requests is shown together with its quote id: send the quoteId of the 402 in \
                  the header X-Payment-Quote"
            .into();
    Verdict::Rejected { code: Code::QuoteRequired, detail }
}

/// A receipt shows that nothing was paid. That is no refusal until its block is as deep as a payment must be: on
/// another fork, the transaction may pay.
pub(crate) fn paid_nothing(
    request: &VerifyRequest,
    chain: &ChainPolicy,
    confirmations: u64,
    refusal: Verdict,
) -> Verdict {
    let needed = confirmations_of_nothing(&request.requirement, chain);
    match refusal {
        Verdict::Rejected { detail, .. } if confirmations < needed => {
            let detail = format!(
                "so far, {detail}; that counts with {needed} confirmations and has {confirmations}: do not pay again \
                 before"
            );
            pending(chain, needed - confirmations, Code::AwaitingConfirmations, detail)
        }
        refusal => refusal,
    }
}

pub(crate) fn chain_halted(why: &str) -> Verdict {
    Verdict::Pending {
        code: Code::ChainHalted,
        detail: format!(
            "do not pay again, show the same proof later: nothing is granted on this chain now: {why}"
        ),
        retry_after_ms: HALTED_RETRY_MS,
    }
}

/// The chain was halted after the index was read. The claim does not say why.
pub(crate) fn halted_meanwhile() -> Verdict {
    chain_halted("it was reorganized deeper than what counts as final, or reset")
}

/// The refusal of something that may have been used before the database was restored.
pub(crate) fn before_restore(since: &str, remedy: &str) -> Verdict {
    let detail = format!(
        "the server was restored from a backup after {since}, and what was used of it before then is not known: {remedy}"
    );
    Verdict::Rejected { code: Code::PaymentBeforeRestore, detail }
}

pub(crate) fn payment_before_restore() -> Verdict {
    before_restore("the payment was mined", "its operator has the record and can refund it")
}

pub(crate) fn reverted() -> Verdict {
    let detail = "the transaction is in a block and was reverted: it paid nothing".into();
    Verdict::Rejected { code: Code::TransactionReverted, detail }
}

pub(crate) fn ambiguous() -> Problem {
    Problem::new(
        Code::AmbiguousPayment,
        "the transaction may have paid, and its events can be read in two ways: do not pay again, ask the operator, who \
         finds it in the log",
    )
}

pub(crate) fn unreadable() -> Problem {
    Problem::new(
        Code::PaymentUnreadable,
        "the transaction cannot be read here, mostly because its receipt is too long, so what it paid is not known: do not \
         pay again; the operator is told, and once it can be read the same proof counts",
    )
}

/// No payment for a quote is known, and not all transactions since it was given could be read.
pub(crate) fn unreadable_since() -> Problem {
    Problem::new(
        Code::PaymentUnreadable,
        "no payment for the quote was seen, and a transaction that was made since it was given cannot be read here and may \
         hold it: do not pay again; the operator is told, and once it can be read the same proof counts",
    )
}

/// Whether a refusal says that the shown proof pays for something else or for nothing.
pub(crate) fn does_not_pay(code: Code) -> bool {
    matches!(
        code,
        Code::ReferenceMismatch
            | Code::WrongNetwork
            | Code::WrongAsset
            | Code::WrongPayee
            | Code::InsufficientPayment
            | Code::PaymentExpired
            | Code::NoPayment
            | Code::TransactionReverted
    )
}

/// Whether a verdict says that the payment was used up.
pub(crate) fn is_used(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Rejected { code: Code::AlreadyClaimed | Code::UsesExhausted, .. })
}

/// Money reached the payee, and no counted payment explains it.
pub(crate) fn unaccounted() -> Problem {
    Problem::new(
        Code::AmbiguousPayment,
        "the transaction moved what was asked for to the payee by a way that is not followed here, or may have: do not \
         pay again, ask the operator",
    )
}

/// Coins reached the payee, and nothing says what they are for.
pub(crate) fn sent_plainly() -> Problem {
    Problem::new(
        Code::AmbiguousPayment,
        "the transaction sent coins to the payee plainly and not through the payment contract, so nothing says what they are \
         for: do not pay again, ask the operator",
    )
}

/// The shown payment was made for the shown quote, and the quote is not good for this request.
pub(crate) fn not_honoured(code: Code, why: &str) -> Problem {
    let detail = format!(
        "the payment was made for the quote id that is shown with it, and is not used up; for this request it counts for \
         nothing ({code}: {why}): do not pay again, send exactly the request that was quoted, or ask the operator"
    );
    Problem::new(Code::QuoteNotHonoured, detail)
}

/// The hash names one payment and the quote id another.
pub(crate) fn two_payments() -> Problem {
    Problem::new(
        Code::AmbiguousPayment,
        "the hash names one payment and the quote id another, which is for this request: do not pay again; show the quote id with \
         the hash of the transaction that paid for it, and with the place of the payment in it or none",
    )
}

pub(crate) fn ambiguous_nonce() -> Problem {
    Problem::new(
        Code::AmbiguousPayment,
        "two transactions say that they used this nonce up, which the chain should take once: do not pay again; show the \
         hash of the transaction that paid, or ask the operator",
    )
}

pub(crate) fn no_payment(chain: &ChainPolicy) -> Verdict {
    let others: String = chain.other_contracts.iter().map(|other| format!(" or {other}")).collect();
    let detail = format!("the transaction holds no payment through the contract {}{others}", chain.contract);
    Verdict::Rejected { code: Code::NoPayment, detail }
}

pub(crate) fn internal(error: StoreError) -> Problem {
    if matches!(
        error,
        StoreError::Busy | StoreError::DiskFull | StoreError::DiskFailed(_) | StoreError::Moved { .. }
    ) {
        tracing::error!(%error, "the store cannot be written");
        let detail = "the server cannot store anything now; nothing was granted, show the same proof again";
        return Problem::new(Code::StorageUnavailable, detail).retry_after(2000);
    }
    tracing::error!(%error, "the store failed");
    Problem::new(Code::Internal, "the index could not be read or written; nothing was granted; try again")
        .retry_after(1000)
}
