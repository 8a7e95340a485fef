//! Pays a 402 within a limit, and shows the proof until the answer is there.
//!
//! [`Payer`] holds the rules; a [`Wallet`] holds the money. [`NodeWallet`] pays through a node with a key of its own.
//! On the other side, [`Claimer`] claims what vouchers allow, with the payee's key.

mod claim;
mod error;
mod limit;
mod payer;
mod wallet;

pub use claim::{ClaimBatch, ClaimError, ClaimPlan, Claimable, Claimed, Claimer, NotClaimed};
pub use error::PayError;
pub use limit::Limit;
pub use payer::{Paid, Payer, PaymentProof, Request, Step};
pub use wallet::{NodeWallet, Wallet};
