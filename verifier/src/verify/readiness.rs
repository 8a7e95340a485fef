//! Whether a chain's index is at its newest block, whether that block is recent, and whether the contracts are there.

use std::time::Duration;

use salt402_http::clock::now_s;
use salt402_store::StoreError;

use crate::verify::freshness::IndexState;
use crate::verify::inner::{Inner, VerifierChain};
use crate::verify::policy::{ChainPolicy, Policy};

/// By how much, at the least, the newest block may be ahead of the clock on a chain without steady blocks.
const AHEAD: Duration = Duration::from_secs(60);

/// The state of a chain, by its index and by the time of its newest block.
pub(crate) async fn seen(verifier: &Inner, chain: &VerifierChain) -> Result<IndexState, StoreError> {
    let mut seen = chain.freshness.look(&verifier.store, &chain.policy).await?;
    let now = now_s();
    let of_time = || seen.head_time.and_then(|time| out_of_time(&verifier.policy, &chain.policy, time, now));
    let unfit = || chain.freshness.with_health(|health| chain.deployment.borrow().complaint(health));
    seen.complaint = seen.complaint.take().or_else(of_time).or_else(unfit);
    Ok(seen)
}

/// Why a payment would not be in time, by the chain's newest block: it is old although blocks come steadily, or it is
/// ahead of the clock, so that a quote ends there before it can be paid.
fn out_of_time(policy: &Policy, chain: &ChainPolicy, newest: u64, now: u64) -> Option<String> {
    let (skew, block) = (policy.clock_skew, chain.block_time);
    let (age, ahead) = (now.saturating_sub(newest), newest.saturating_sub(now));
    // On a chain that makes blocks only for transactions, several at once are dated a second apart and ahead. The clock
    // catches up.
    let spare = if chain.steady_blocks {
        Duration::ZERO
    } else {
        AHEAD.max(Duration::from_secs(policy.clock.lifetime / 2))
    };
    if ahead > (skew + spare).as_secs() {
        return Some(format!("the newest block is dated {ahead} s ahead of this machine's clock"));
    }
    (chain.steady_blocks && age > (chain.stale_after + skew).as_secs()).then(|| {
        format!("the newest block is dated {age} s ago, where one comes every {} ms", block.as_millis())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::freshness::tests::chain_policy;

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
