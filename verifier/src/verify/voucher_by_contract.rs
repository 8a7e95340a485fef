//! Asks a channel's contract, because events in blocks beside the selected chain are in no logs.

use std::time::Duration;

use salt402_indexer::{ChannelAnswer, ChannelNow, ChannelQuestion};
use salt402_protocol::api::Verdict;
use salt402_protocol::{Amount, Code, Problem, U256};
use salt402_store::{NewVoucher, VoucherGrant, VoucherResult};

use crate::verify::inner::Inner;
use crate::verify::policy::ChainPolicy;
use crate::verify::refusals::pending;

/// An answer of the contract counts for the channel's exit delay divided by this. An exit that the answer does not show
/// was asked for since then. So seven eighths of the delay are left to notice it and to claim.
const AGE_OF_DELAY: u64 = 8;
/// The longest time an answer counts, so that even with a long delay little is accepted of a payer who is leaving.
const MOST_AGE: Duration = Duration::from_secs(600);
/// The same for a channel that the index does not know.
const UNKNOWN_AGE: Duration = Duration::from_secs(5);

/// Why a voucher that the index accepts is not granted on: by its contract the channel is different, or the contract
/// cannot be asked now. `None` if it may be granted on. On a chain that merges no blocks, this costs nothing.
///
/// Claims make no difference: only the payee claims, by totals, and never more than was signed.
pub(crate) async fn contradicted_by_contract(
    verifier: &Inner,
    new: &NewVoucher,
    grant: &VoucherGrant,
    chain: &ChainPolicy,
) -> Result<Option<Verdict>, Problem> {
    let lookup = &verifier.chain(chain.chain)?.lookup;
    if !lookup.merges_blocks() {
        return Ok(None);
    }
    // If the deposit is smaller than the index says, part of it has left the chain, even if the rest covers this
    // voucher.
    let least = grant.deposit.max(new.voucher.ceiling);
    let delay = Duration::from_secs(grant.descriptor.exit_delay);
    let most_age = most_age(delay);
    let asked = ChannelQuestion { known: true, least, most_age, ..question(new) };
    Ok(match lookup.channel(&asked).await {
        ChannelAnswer::Stands(now) if now.covers(least) => None,
        ChannelAnswer::Stands(now) => Some(contradiction(&now, new, chain)),
        ChannelAnswer::Unanswered(why) => {
            let detail = format!(
                "the contract must say how the channel stands, and is not heard: {why}: do not pay again, show the \
                 same voucher later"
            );
            Some(pending(chain, 1, Code::ChannelNotCurrent, detail))
        }
    })
}

/// The answer for a voucher that the index refuses because the opening or a deposit is missing, if the contract has it:
/// its transaction may be in a merged block. `None` if the contract does not have it or cannot be asked.
pub(crate) async fn held_by_contract(
    verifier: &Inner,
    result: &VoucherResult,
    new: &NewVoucher,
    chain: &ChainPolicy,
) -> Result<Option<Verdict>, Problem> {
    let (known, code) = match result {
        VoucherResult::UnknownChannel => (false, Code::ChannelNotSeen),
        VoucherResult::AboveDeposit(_) => (true, Code::ChannelNotCurrent),
        _ => return Ok(None),
    };
    let lookup = &verifier.chain(chain.chain)?.lookup;
    if !lookup.merges_blocks() {
        return Ok(None);
    }
    let least = if known { new.voucher.ceiling } else { Amount(U256::ONE) };
    let asked = ChannelQuestion { known, least, most_age: UNKNOWN_AGE, ..question(new) };
    let ChannelAnswer::Stands(now) = lookup.channel(&asked).await else { return Ok(None) };
    if !now.covers(least) {
        return Ok(None);
    }
    let detail = format!(
        "the contract has {} deposited in the channel, and the index not yet: if the transaction is in a block that was \
         merged from beside the selected chain, it is in no logs; show its hash once as a proof, which pays for \
         nothing and has it looked up, and then the same voucher",
        now.deposit
    );
    Ok(Some(pending(chain, 1, code, detail)))
}

pub(crate) fn question(new: &NewVoucher) -> ChannelQuestion {
    ChannelQuestion {
        contract: new.contract,
        channel: new.voucher.channel,
        known: false,
        least: Amount::ZERO,
        most_age: UNKNOWN_AGE,
    }
}

/// For how long an answer of the contract counts.
pub(crate) fn most_age(exit_delay: Duration) -> Duration {
    Duration::from_millis(exit_delay.as_secs().saturating_mul(1000) / AGE_OF_DELAY).min(MOST_AGE)
}

/// The contract says something else than the index.
fn contradiction(now: &ChannelNow, new: &NewVoucher, chain: &ChainPolicy) -> Verdict {
    tracing::debug!(
        chain = %chain.chain, channel = %new.voucher.channel, deposit = %now.deposit, exit_at = now.exit_at,
        closed = now.closed, "a channel stands otherwise by its contract than in the index"
    );
    match *now {
        ChannelNow { closed: true, .. } => Verdict::Rejected {
            code: Code::ChannelClosed,
            detail: "the contract says that the channel is closed: open another".into(),
        },
        ChannelNow { exit_at: Some(exit_at), .. } => Verdict::Rejected {
            code: Code::ChannelExiting,
            detail: format!(
                "the contract says that the channel's payer leaves at {exit_at}: call topUp as the payer, which \
                 cancels the exit, or open another"
            ),
        },
        ChannelNow { deposit, .. } => {
            let detail = format!(
                "the contract has {deposit} deposited in the channel, which is less than the index has: do not pay again, \
                 show the same voucher later"
            );
            pending(chain, 1, Code::ChannelNotCurrent, detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_every_exit_delay_most_is_left_to_claim() {
        assert_eq!(most_age(Duration::from_secs(900)), Duration::from_millis(112_500));
        assert_eq!(most_age(Duration::from_secs(30 * 86_400)), Duration::from_secs(600));
        assert_eq!(most_age(Duration::ZERO), Duration::ZERO);
    }
}
