//! When the end of a quote is a refusal. A payer is told that a payment came too late, or is missing, only after all
//! blocks were read that may hold it.

use std::time::Duration;

use salt402_http::clock::now_s;
use salt402_protocol::api::Verdict;
use salt402_protocol::{Code, Problem, Quote};
use salt402_store::StoreError;

use crate::verify::inner::{Inner, VerifierChain};
use crate::verify::readiness::seen;
use crate::verify::refusals::{internal, pending, unreadable_since};

/// By how much a chain's time may be behind the clock, where the question is whether something was mined since a quote
/// was given.
const BEHIND: Duration = Duration::from_secs(7200);

/// The answer for a payment that was not seen and whose quote has ended. It is a refusal once the node was asked and
/// has no such payment, and the index has read all blocks that may hold it. Before that, the answer is that it is not
/// known.
pub(crate) async fn ended(
    verifier: &Inner,
    quote: Option<&Quote>,
    chain: &VerifierChain,
    denied: bool,
    verdict: Verdict,
) -> Result<Verdict, Problem> {
    let Some(quote) = quote else { return Ok(verdict) };
    if denied && read_past(verifier, quote, chain).await.map_err(internal)? {
        return Ok(verdict);
    }
    let detail = "no payment of this transaction has been seen, and its quote has ended; whether it was made in time is \
                  not known yet, because the chain is not read so far: do not pay again, show the same proof again";
    Ok(pending(&chain.policy, 1, Code::PaymentNotSeen, detail.into()))
}

/// Refuses to say that a quote was not paid while an unreadable transaction may have paid it, whatever proof is shown.
///
/// # Errors
/// [`Code::PaymentUnreadable`] in that case.
pub(crate) async fn nothing_unread_since(
    verifier: &Inner,
    quote: &Quote,
    chain: &VerifierChain,
) -> Result<(), Problem> {
    let since = quote.issued_at.saturating_sub(BEHIND.as_secs());
    let unread = verifier.store.is_unreadable_since(chain.policy.chain, since).await.map_err(internal)?;
    if unread { Err(unreadable_since()) } else { Ok(()) }
}

/// Whether all blocks were read in which the quote may have been paid in time.
async fn read_past(verifier: &Inner, quote: &Quote, chain: &VerifierChain) -> Result<bool, StoreError> {
    let (seen, now) = (seen(verifier, chain).await?, now_s());
    let over = quote.expires_at.saturating_add(verifier.policy.clock_skew.as_secs());
    let current = seen.complaint.is_none()
        && seen.silence.is_some_and(|silence| now.saturating_sub(silence.as_secs()) > over);
    // On a chain that makes blocks only for transactions, the newest block may be older than the quote.
    Ok(current && (!chain.policy.steady_blocks || seen.head_time.is_some_and(|time| time > over)))
}
