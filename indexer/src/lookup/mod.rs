//! Questions about one transaction or one channel, asked of a node beside the index, and what they find put into it. It takes
//! nothing off the chain, and asks no more than the limits allow.

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
