//! Blocks beside the selected chain, whose events are in no logs: which block merged one, and what a channel's contract
//! says. It writes nothing.

pub(crate) mod channel_state;
pub(crate) mod merging;
