//! Proof and requirement into a verdict and, where asked, a claim.
//!
//! [`judge`] is the whole of the decision as a pure function of what the index holds; [`Verifier`] reads the index,
//! waits where waiting may help, and commits the claim before it answers; [`http`] puts it on a socket.

mod beside;
pub mod derived;
mod desk;
mod grant;
mod holds;
pub mod http;
mod incidents;
pub mod judge;
mod limits;
pub mod policy;
mod referred;
mod review;
mod second;
mod selling;
mod shown;
mod tending;
mod verifier;
mod voucher;
mod waker;
mod watch;
mod webhook;

pub use desk::{Desk, RemoteError, RemoteVerifier};
pub use incidents::count_incidents;
pub use limits::{AccountLimits, Rate};
pub use policy::{AfterLoss, ChainPolicy, Depth, ExposureCap, Policy, SecondNode};
pub use verifier::{Verifier, VerifierChain, VerifierOptions};
pub use waker::Waker;
pub use watch::Watch;
pub use webhook::{Webhook, WebhookError, WebhookKey, WebhookKeyError};
