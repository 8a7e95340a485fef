//! The values that payer, server and chain exchange: money, networks, quotes, proofs, payments and refusals.
//!
//! Every function here is pure: it reads no clock, socket, file or database. So the whole protocol is tested without a
//! machine around it.
//!
//! The modules, bottom up; each imports only those before it: [`values`](money); [`contracts`] and [`typed_data`], the
//! Solidity side, with [`recovery`], which says who signed; [`payment`] and [`channel`], facts of the chain; [`quote`] and [`proof`], which server and payer
//! exchange, with [`edition`], which says how a contract names channels and signs vouchers; [`wire`](api), their form over HTTP; and [`decode`](log), from logs to payments. `wire` and `decode` do
//! not import each other. [`x402`] stands on `wire`: what a facilitator is asked and answers.
//! [`mpp`] and [`peers`] stand on `x402`: the same signatures in the words of others.

pub mod channel;
pub mod contracts;
mod decode;
pub mod edition;
pub mod mpp;
pub mod payment;
pub mod peers;
pub mod proof;
pub mod quote;
pub mod recovery;
pub mod typed_data;
mod values;
mod wire;
pub mod x402;

pub use alloy_primitives::{Address, B128, B256, U256, keccak256};
pub use channel::{ChannelChange, ChannelEvent, ChannelEventId, ChannelState, Descriptor, OperatorRight};
pub use decode::source::{Source, SourceKind};
pub use decode::{foreign, log, permit2, source, transaction};
pub use payment::{Ambiguity, Payment, PaymentId, Refund, Settlement};
pub use proof::nonce::SignedNonce;
pub use proof::voucher::Voucher;
pub use proof::{Proof, nonce, voucher};
pub use quote::{DatabaseMark, Quote, QuoteId, QuoteKey, QuoteKeys, Service, Terms};
pub use values::api_key::{AccountId, ApiKey};
pub use values::asset::Asset;
pub use values::money::Amount;
pub use values::network::ChainId;
pub use values::request::RequestDigest;
pub use values::{api_key, asset, money, network, request};
pub use wire::code::Code;
#[cfg(feature = "openapi")]
pub use wire::openapi;
pub use wire::problem::Problem;
pub use wire::reason::{Subcode, X402Reason};
pub use wire::{api, code, details, object, problem, reason, webhook};
