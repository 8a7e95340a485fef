//! Follows one chain step by step, from where the index stands to the node's head and along with it. It also checks the
//! contracts before anything is sold. No other room takes blocks off the chain.

pub(crate) mod ancestry;
pub(crate) mod compare;
pub(crate) mod deployment;
pub(crate) mod follower;
mod halt;
mod identity;
mod lower_fork;
mod new_blocks;
mod replace;
mod ticks;
