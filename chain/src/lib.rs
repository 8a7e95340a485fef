//! The one place that speaks JSON-RPC: nodes, network profiles, accounts.
//!
//! [`Node`] is what the rest of the system asks of a chain: headers, logs, one receipt, and a tick when there is a new
//! head. [`RpcNode`] is its implementation over HTTP and WebSocket; tests put their own in its place. [`Pool`] is several
//! nodes of one chain that stand in for each other and, where so many must agree, are held against each other.
//! [`Profile`] holds what is peculiar to a network, and [`Account`] sends transactions for those who pay.
//!
//! Three rules hold everywhere in this crate:
//!
//! * **It does not know what a payment is.** It answers with blocks, logs and receipts.
//! * **An answer is checked against its question.** A node may lag, be cut short by a proxy, or stand behind a balancer
//!   that mixes two of them; what does not fit is [`NodeError::Lied`], never data. What is not used is not read, so a
//!   node may leave out or make up every other field: no block hash is computed here, no bloom consulted, no
//!   transaction decoded.
//! * **A node is not trusted with money.** What an account may be made to pay for gas is bounded by the profile.
//!
//! From the bottom up: `error` and `profile`; `node`, the trait and its values; `rpc`, one node; `pool` and `wallet`, which do not
//! know each other. Each knows only what stands before it.

mod error;
mod lock;
mod node;
mod pool;
mod profile;
mod rpc;
mod wallet;

pub use error::NodeError;
pub use node::Node;
pub use node::block::{Header, Log, Merging, Readable, Receipt, Transaction, Unreadable};
pub use node::call::{Call, Prepared};
pub use node::query::{At, LogFilter, LogQuery, Span, Work};
pub use node::report::{NodeReport, NodeState, Role};
pub use pool::Pool;
pub use pool::members::PoolOptions;
pub use profile::{Completeness, Profile, ProfileError, ProfileOverrides};
pub use rpc::endpoint::{Allowance, Endpoint};
pub use rpc::node::RpcNode;
#[cfg(feature = "fuzzing")]
pub use rpc::parse;
pub use url::Url;
pub use wallet::account::{Account, KeyError};
