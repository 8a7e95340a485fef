//! Pays a 402 within a limit, and shows the proof until the answer is there.
//!
//! [`Payer`] holds the rules; a [`Wallet`] holds the money. [`NodeWallet`] pays through a node with a key of its own.

mod error;
mod limit;
mod payer;
mod wallet;

pub use error::PayError;
pub use limit::Limit;
pub use payer::{Paid, Payer, PaymentProof, Request, Step};
pub use wallet::{NodeWallet, Wallet};
