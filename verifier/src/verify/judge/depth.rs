//! How deep a payment must be.

use salt402_protocol::api::Requirement;
use salt402_protocol::{Amount, Asset, Payment};

use crate::verify::policy::ChainPolicy;

/// How many blocks must contain or follow a payment that is offered for this requirement. The paid amount counts, which
/// is never less than what was asked.
pub(crate) fn confirmations(requirement: &Requirement, chain: &ChainPolicy, payment: &Payment) -> u64 {
    depth(requirement, chain, payment.asset, payment.amount)
}

/// How many blocks must contain or follow a transaction before it is believed that it paid nothing. A node on an old
/// fork may say so of a transaction that paid, and its payer would then pay again.
pub(crate) fn confirmations_of_nothing(requirement: &Requirement, chain: &ChainPolicy) -> u64 {
    depth(requirement, chain, requirement.asset, requirement.amount)
}

fn depth(requirement: &Requirement, chain: &ChainPolicy, asset: Asset, amount: Amount) -> u64 {
    chain.confirmations_for(asset, amount).max(requirement.confirmations.unwrap_or(0))
}
