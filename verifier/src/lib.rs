//! Turns a proof and a requirement into a verdict and, if asked, a claim.
//!
//! [`judge`] is the whole decision, as a pure function of what the index holds. [`Verifier`] reads the index, waits if
//! waiting may help, and commits the claim before it answers. [`http`] serves it.
//!
//! The rooms. Each imports only those before it: `incidents`, `webhook`, `verify`, `client`, [`http`].

mod client;
pub mod http;
mod incidents;
mod verify;
mod webhook;

pub use incidents::count_incidents;
pub use salt402_store::IndexChanges;
pub use verify::account_limits::AccountLimits;
pub use verify::derived::Derived;
pub use verify::freshness::Freshness;
pub use verify::inner::VerifierChain;
pub use verify::judge::judge;
pub use verify::judge::question::{Judgement, Question};
pub use verify::judge::unseen::MOST_BY_HASH;
pub use verify::policy::{AfterLoss, ChainPolicy, Depth, ExposureCap, PaymentRules, Policy, SecondNode};
pub use verify::verifier::{Verifier, VerifierOptions};
pub use webhook::Webhook;
pub use webhook::address::WebhookError;
pub use webhook::key::{WebhookKey, WebhookKeyError};
