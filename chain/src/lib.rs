//! The only crate that speaks JSON-RPC: nodes, network profiles, accounts.
//!
//! [`Node`] is what the other crates use of a chain: headers, logs, receipts, and a notice of new heads. [`RpcNode`]
//! implements it over HTTP and WebSocket; tests use their own. [`Pool`] combines several nodes of one chain: they
//! replace each other, and can be required to agree. [`Profile`] holds the peculiarities of a network. [`Account`]
//! sends transactions for payers.
//!
//! Three rules hold in this whole crate:
//!
//! * **It does not know what a payment is.** It returns blocks, logs and receipts.
//! * **Every answer is checked against its request.** A node may lag, a proxy may truncate answers, and a balancer may
//!   mix two nodes. An answer that does not fit is [`NodeError::Lied`], never data. Unused fields are not read, so a
//!   node may omit or fake them: no block hash is computed here, no bloom consulted, no transaction decoded.
//! * **A node is not trusted with money.** The profile limits what an account pays for gas.
//!
//! The modules, bottom up: `error` and `profile`; `node`, the trait and its values; `rpc`, one node; `pool` and
//! `wallet`, which do not import each other. Each imports only those before it.

mod error;
mod lock;
mod node;
mod pool;
mod profile;
mod rpc;
mod wallet;

pub use error::NodeError;
pub use node::Node;
pub use node::account::{AccountState, Fees, Mined};
pub use node::block::{Header, Log, Merging, Readable, Receipt, Transaction, Unreadable};
pub use node::call::{Call, Prepared};
pub use node::query::{At, LogFilter, LogQuery, Span, Work};
pub use node::report::{NodeReport, NodeState, Role};
pub use node::state::StateQuestion;
pub use pool::Pool;
pub use pool::members::PoolOptions;
pub use profile::{Completeness, Profile, ProfileError, ProfileOverrides};
pub use rpc::endpoint::{Allowance, Endpoint};
pub use rpc::node::RpcNode;
#[cfg(feature = "fuzzing")]
pub use rpc::parse;
pub use url::Url;
pub use wallet::account::{Account, KeyError};
