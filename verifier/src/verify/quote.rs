//! When nothing is to be sold, and when the end of a quote is a refusal.
//!
//! Whoever is told a price pays it. So a price is told only while a payment would be seen and could be used up, and nobody is
//! told that a payment came too late, or is not there, by somebody who could not have seen it.

use std::time::Duration;

use salt402_protocol::api::{QuoteRequest, QuoteResponse, Verdict};
use salt402_protocol::{Code, Problem, Quote};
use salt402_store::StoreError;

use crate::grant::pending;
use crate::verifier::now_ms;
use crate::verifier::refusals::{HALTED_RETRY_MS, internal, unreadable_since};
use crate::watch::Seen;
use crate::{ChainPolicy, Policy, Verifier, VerifierChain};

/// When to ask again for a price, in milliseconds.
const RETRY_MS: u64 = 2_000;
/// By how much the newest block may be ahead of the clock at the least where blocks do not come steadily.
const AHEAD: Duration = Duration::from_secs(60);
/// By how much a chain's time may be behind the clock, where it is asked whether something was mined since a quote was given.
const BEHIND: Duration = Duration::from_secs(7200);

impl Verifier {
    /// Gives a quote, unless what is paid for it could not be seen, used up or granted on now.
    ///
    /// # Errors
    /// [`Code::NotReady`], [`Code::StorageUnavailable`] or [`Code::ChainHalted`], and what [`Verifier::quote`] refuses. Why
    /// exactly is told to the operator alone, as it may name nodes.
    pub async fn offer(&self, request: &QuoteRequest) -> Result<QuoteResponse, Problem> {
        let chain = self.chain(request.chain)?;
        if let Some(why) = chain.watch.halted(self.store(), request.chain).await.map_err(internal)? {
            return Err(Problem::new(Code::ChainHalted, format!("nothing is to be paid now: {why}"))
                .retry_after(HALTED_RETRY_MS));
        }
        let wait = self.store().refuse_before().saturating_sub(now_ms() / 1000);
        if wait > 0 {
            let detail = format!("the server was restored from a backup and takes payments in {wait} s");
            return Err(Problem::new(Code::NotReady, detail).retry_after(wait * 1000));
        }
        if let Err(error) = self.store().writable() {
            tracing::warn!(%error, "nothing is sold while the database cannot be written");
            return Err(unsold(Code::StorageUnavailable, "the server cannot store anything now"));
        }
        let seen = self.seen(chain).await.map_err(internal)?;
        if let Some(why) = seen.complaint {
            tracing::debug!(chain = %request.chain, why, "nothing is sold while the index is not current");
            let network = &chain.policy.network;
            return Err(unsold(
                Code::NotReady,
                &format!("the chain {network} is not followed at its newest block now"),
            ));
        }
        self.quote(request)
    }

    /// How a chain stands, by its index and by its own clock.
    pub(crate) async fn seen(&self, chain: &VerifierChain) -> Result<Seen, StoreError> {
        let mut seen = chain.watch.look(self.store(), &chain.policy).await?;
        let now = now_ms() / 1000;
        let of_time = || seen.head_time.and_then(|time| out_of_time(self.policy(), &chain.policy, time, now));
        let unfit = || chain.unfit.borrow().clone();
        seen.complaint = seen.complaint.take().or_else(of_time).or_else(unfit);
        Ok(seen)
    }

    /// What is said of a payment that was not seen and whose quote has ended. That is a refusal once the node was asked for it
    /// and has none, and the index has read all in which it could be; before that it is not known.
    pub(crate) async fn ended(
        &self,
        quote: Option<&Quote>,
        chain: &VerifierChain,
        denied: bool,
        verdict: Verdict,
    ) -> Result<Verdict, Problem> {
        let Some(quote) = quote else { return Ok(verdict) };
        if denied && self.read_past(quote, chain).await.map_err(internal)? {
            return Ok(verdict);
        }
        let detail = "no payment of this transaction has been seen, and its quote has ended; whether it was made in time is \
                      not known yet, because the chain is not read so far: do not pay again, show the same proof again";
        Ok(pending(&chain.policy, 1, Code::PaymentNotSeen, detail.into()))
    }

    /// Refuses to say that a quote was not paid while a transaction cannot be read that may have paid it, whatever is shown of
    /// it.
    ///
    /// # Errors
    /// [`Code::PaymentUnreadable`] then.
    pub(crate) async fn nothing_unread_since(
        &self,
        quote: &Quote,
        chain: &VerifierChain,
    ) -> Result<(), Problem> {
        let since = quote.issued_at.saturating_sub(BEHIND.as_secs());
        let unread = self.store().is_unreadable_since(chain.policy.chain, since).await.map_err(internal)?;
        if unread { Err(unreadable_since()) } else { Ok(()) }
    }

    /// Whether all blocks were read in which a quote may have been paid in time.
    async fn read_past(&self, quote: &Quote, chain: &VerifierChain) -> Result<bool, StoreError> {
        let (seen, now) = (self.seen(chain).await?, now_ms() / 1000);
        let over = quote.expires_at.saturating_add(self.policy().clock_skew.as_secs());
        let current = seen.complaint.is_none()
            && seen.silence.is_some_and(|silence| now.saturating_sub(silence.as_secs()) > over);
        // Where blocks come with transactions alone, the newest one may be from before the quote.
        Ok(current && (!chain.policy.steady_blocks || seen.head_time.is_some_and(|time| time > over)))
    }
}

/// No price, and no word against a payment that was made.
fn unsold(code: Code, why: &str) -> Problem {
    let detail = format!(
        "{why}, so nothing is sold: ask again later; whoever has paid does not pay again, and shows the same proof again"
    );
    Problem::new(code, detail).retry_after(RETRY_MS)
}

/// Why a chain's newest block says that a payment would not be in time: one that is old where blocks come steadily, or one
/// that is ahead of the clock, so that a quote has ended there before it is paid.
fn out_of_time(policy: &Policy, chain: &ChainPolicy, newest: u64, now: u64) -> Option<String> {
    let (skew, block) = (policy.clock_skew, chain.block_time);
    let (age, ahead) = (now.saturating_sub(newest), newest.saturating_sub(now));
    // Where blocks come with transactions alone, several at once are dated a second apart and ahead; the clock overtakes them.
    let spare = if chain.steady_blocks {
        Duration::ZERO
    } else {
        AHEAD.max(Duration::from_secs(policy.clock.lifetime / 2))
    };
    if ahead > (skew + spare).as_secs() {
        return Some(format!("the newest block is dated {ahead} s ahead of this machine's clock"));
    }
    (chain.steady_blocks && age > (chain.patience + skew).as_secs()).then(|| {
        format!("the newest block is dated {age} s ago, where one comes every {} ms", block.as_millis())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::tests::chain_policy;

    #[test]
    fn c19_a_head_that_is_old_where_blocks_come_steadily_or_is_ahead_is_out_of_time() {
        let (policy, quiet) = (Policy::default(), chain_policy());
        let steady = ChainPolicy { steady_blocks: true, ..quiet.clone() };
        let now = 1_800_000_000;
        let says = |chain: &ChainPolicy, newest: u64| out_of_time(&policy, chain, newest, now);
        for age in [0, 2, 40] {
            assert_eq!(says(&steady, now - age), None, "{age}");
        }
        // Two minutes behind, or catching up after an hour's halt.
        for age in [41, 120, 3600] {
            assert!(says(&steady, now - age).unwrap().contains(&format!("dated {age} s ago")));
            assert_eq!(says(&quiet, now - age), None, "a chain without transactions is quiet");
        }
        assert_eq!(says(&steady, now + 30), None);
        assert!(says(&steady, now + 31).unwrap().contains("31 s ahead"));
        assert_eq!(says(&quiet, now + 180), None);
        assert!(says(&quiet, now + 181).unwrap().contains("181 s ahead"));
    }
}
