//! What logs and transactions of a chain say: from the contracts that are followed to payments and events of channels.
//!
//! Everything here is a function of what is on the chain. Nothing is asked of a node, and nothing is judged.

mod channel;
pub mod foreign;
pub mod log;
pub mod permit2;
pub mod source;
pub mod transaction;
