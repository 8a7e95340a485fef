//! Pays a 402 within a limit, and presents the proof until the request is answered.
//!
//! [`Payer`] holds the rules; a [`Wallet`] holds the money. [`NodeWallet`] pays through nodes with its own key. A
//! payment is signed, stored ([`Keep`]), sent, and then presented. After a crash, its [`Receipt`] allows to continue
//! without paying twice. For sellers, [`Claimer`] claims vouchers with the payee's
//! key, and [`Refunder`] gives money back.

mod answer;
mod claim;
mod error;
mod limit;
mod payer;
pub mod receipt;
mod refund;
mod request;
mod wallet;

pub use answer::Answer;
pub use claim::{Act, ClaimBatch, ClaimError, ClaimPlan, Claimable, Claimed, Claimer, NotClaimed};
pub use error::PayError;
pub use limit::Limit;
pub use payer::{Paid, Payer, Step, Watch};
pub use receipt::{Keep, Receipt, ReceiptFile, SignedPayment, Stage};
pub use refund::{RefundError, RefundOutcome, RefundSubject, RefundTerms, Refunder, Standing};
pub use request::{PaymentProof, Request};
pub use wallet::{BeforeSending, NodeWallet, TransactionStatus, Wallet};
