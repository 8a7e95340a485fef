//! Pays a 402 within a limit, and shows the proof until the answer is there.
//!
//! [`Payer`] holds the rules; a [`Wallet`] holds the money. [`NodeWallet`] pays through nodes with a key of its own. A
//! payment is signed, then kept ([`Keep`]), then sent, then shown: whoever ends in between goes on from its [`Receipt`]
//! and pays nothing twice.
//! On the other side, [`Claimer`] claims what vouchers allow, with the payee's key.

mod answer;
mod claim;
mod error;
mod limit;
mod payer;
pub mod receipt;
mod request;
mod wallet;

pub use answer::Answer;
pub use claim::{ClaimBatch, ClaimError, ClaimPlan, Claimable, Claimed, Claimer, NotClaimed};
pub use error::PayError;
pub use limit::Limit;
pub use payer::{Paid, Payer, Step, Watch};
pub use receipt::{Keep, Receipt, ReceiptFile, SignedPayment, Stage};
pub use request::{PaymentProof, Request};
pub use wallet::{BeforeSending, NodeWallet, TransactionStatus, Wallet};
