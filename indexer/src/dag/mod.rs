//! Blocks beside the selected chain, whose events are in no logs: which block brought one in, and what a channel's contract says
//! meanwhile. It writes nothing.

pub(crate) mod channel_state;
pub(crate) mod merging;
