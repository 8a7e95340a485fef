//! What is followed on a chain, how far the index is, and what failed. All other rooms use it. It asks no node.

pub(crate) mod error;
pub(crate) mod failing;
pub(crate) mod followed;
pub(crate) mod health;
pub(crate) mod indexed;
pub(crate) mod options;
pub(crate) mod report;

pub(crate) use error::IndexError;
pub(crate) use failing::{FailingTransactions, is_its_own};
pub(crate) use followed::{Followed, pinned};
pub(crate) use health::Health;
pub(crate) use indexed::Indexed;
pub(crate) use options::FollowerOptions;
pub(crate) use report::Report;
