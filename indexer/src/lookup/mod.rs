//! Asks a node about one transaction or one channel, beside the index, and stores what it finds. It takes nothing off
//! the chain, and it stays within the limits.

pub(crate) mod asker;
pub(crate) mod confirm;
mod confirm_channel;
mod confirm_payment;
pub(crate) mod orphans;
pub(crate) mod outcome;
pub(crate) mod receipt;
mod shared;
pub(crate) mod unaccounted;
pub(crate) mod unreadable;
