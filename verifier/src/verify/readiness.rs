//! Whether a chain is followed at its newest block: by its index, by its own clock, and by what is on it.

use std::time::Duration;

use salt402_store::StoreError;

use crate::clock::now_ms;
use crate::verify::freshness::IndexState;
use crate::verify::inner::{Inner, VerifierChain};
use crate::verify::policy::{ChainPolicy, Policy};

/// By how much the newest block may be ahead of the clock at the least where blocks do not come steadily.
const AHEAD: Duration = Duration::from_secs(60);

/// How a chain stands, by its index and by its own clock.
pub(crate) async fn seen(verifier: &Inner, chain: &VerifierChain) -> Result<IndexState, StoreError> {
    let mut seen = chain.freshness.look(&verifier.store, &chain.policy).await?;
    let now = now_ms() / 1000;
    let of_time = || seen.head_time.and_then(|time| out_of_time(&verifier.policy, &chain.policy, time, now));
    let unfit = || chain.freshness.with_health(|health| chain.deployment.borrow().complaint(health));
    seen.complaint = seen.complaint.take().or_else(of_time).or_else(unfit);
    Ok(seen)
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
