//! Claims vouchers, closes channels and gives money back, for a payee: many channels per transaction, never more than the
//! accepted amounts.
//!
//! The contract, not the index, tells what can be claimed, so that a recent claim is not sent again. Totals are
//! cumulative: a repeated claim pays once. The key is the payee's or an operator's; the money goes to the payee.

mod batch;
mod claimer;
mod contract;
mod values;

pub use batch::{Act, ClaimBatch, ClaimPlan};
pub use claimer::Claimer;
pub use values::{ClaimError, Claimable, Claimed, NotClaimed};

#[cfg(test)]
mod tests;
