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

mod account;
mod admission;
mod agreement;
mod batches;
mod budget;
mod check;
mod complete;
mod either;
mod endpoint;
mod error;
mod heads;
mod meter;
mod node;
mod pinned;
mod pool;
mod profile;
#[cfg(feature = "reading")]
pub mod reading;
mod receipts;
mod refusal;
mod rpc;
mod rpc_node;
mod standing;
mod survey;
mod unreadable;
mod wire;
mod words;

pub use account::{Account, Call, KeyError, Prepared};
pub use endpoint::{Allowance, Endpoint};
pub use error::NodeError;
pub use node::{At, Header, Log, LogFilter, LogQuery, Merging, Node, Receipt, Span, Transaction, Work};
pub use pool::{Pool, PoolOptions, Role};
pub use profile::{Completeness, Profile, ProfileError, ProfileOverrides};
pub use rpc_node::RpcNode;
pub use standing::{NodeReport, NodeState};
pub use unreadable::{Readable, Unreadable};
pub use url::Url;
