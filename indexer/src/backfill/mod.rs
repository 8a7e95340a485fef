//! Reads the past by ranges of settled blocks: the whole index far behind the head, and what an added contract had
//! before. It takes nothing off the chain.

pub(crate) mod added_source;
pub(crate) mod node_widths;
pub(crate) mod range;
pub(crate) mod range_width;
pub(crate) mod run;
