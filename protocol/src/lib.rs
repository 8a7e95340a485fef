//! What is said between a payer, an inference server and a chain: money, networks, quotes, proofs, payments and
//! refusals, as values.
//!
//! Nothing here reads a clock, a socket, a file or a database: every function is a pure function of its arguments, so
//! that the whole protocol can be tested without a machine around it.

pub mod api;
pub mod asset;
pub mod channel;
pub mod code;
pub mod contracts;
pub mod details;
pub mod foreign;
pub mod money;
pub mod network;
pub mod nonce;
pub mod object;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod payment;
pub mod permit2;
pub mod problem;
pub mod proof;
pub mod quote;
pub mod reason;
pub mod request;
pub mod source;
pub mod transaction;
pub mod typed_data;
pub mod voucher;
pub mod webhook;

pub use alloy_primitives::{Address, B128, B256, U256, keccak256};
pub use asset::Asset;
pub use channel::{ChannelChange, ChannelEvent, ChannelEventId, ChannelState, Descriptor};
pub use code::Code;
pub use money::Amount;
pub use network::ChainId;
pub use nonce::SignedNonce;
pub use payment::{Payment, PaymentId};
pub use problem::Problem;
pub use proof::Proof;
pub use quote::{DatabaseMark, Quote, QuoteId, QuoteKey, QuoteKeys, Service, Terms};
pub use reason::{Subcode, X402Reason};
pub use request::RequestDigest;
pub use source::{Source, SourceKind};
pub use transaction::{Ambiguity, Settlement};
pub use voucher::Voucher;
