//! Decodes logs and transactions of followed contracts into payments and channel events.
//!
//! Everything here is a pure function of chain data. It asks no node and makes no decision.

mod channel;
pub mod foreign;
pub mod log;
pub mod permit2;
pub mod source;
pub mod transaction;
