//! What is followed on a chain, how far the index is, and what failed. All other rooms use it. It asks no node.

pub(crate) mod error;
pub(crate) mod failing;
pub(crate) mod followed;
pub(crate) mod health;
pub(crate) mod indexed;
pub(crate) mod options;
pub(crate) mod report;
