//! Settling: approved authorizations become transactions, each once, and their outcomes are known after every crash.
//!
//! The database is the truth, and the tasks here keep nothing that it does not have: what waits, which nonce has which
//! transactions, what was mined. So a crash between any two lines loses nothing. A chain has one task, which its `lane` starts
//! again if it breaks.
//!
//! ```text
//!  settle() ─claim─▶ queued ─estimate, sign, write─▶ sent ─▶ receipt in an indexed block ─▶ settled | failed
//!                      ▲                               │ another's nonce, a call that failed beside others
//!                      └───────────────────────────────┘
//!                      ▲ the block left the chain ◀──── settled, not final
//! ```
//!
//! Whatever goes wrong, money moves once: the chain takes each signed nonce once. What the rows add is that no gas is spent
//! twice, that every caller gets the first one's result, and that a result is never lost.

mod deploying;
mod dispatch;
pub(crate) mod engine;
mod evidence;
mod found;
mod group;
mod kept;
mod lane;
pub(crate) mod lock;
pub(crate) mod options;
mod outcome;
mod prune;
mod reconcile;
mod results;
mod shares;
mod signer;
mod stalled;
mod standing;
mod task;
mod waiters;
