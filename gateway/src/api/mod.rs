//! What bodies of the APIs that are passed on ask for, what that costs, and what the model server is sent. Nothing here asks anybody.
//!
//! A body is parsed once. Each of its members is looked up in its API's table (`members`): it is priced, passed on, dropped or refused. What a model
//! may be shown is counted in bytes (`counted`). The server gets what was parsed, written anew.

mod chat;
mod completions;
mod counted;
mod embeddings;
mod forms;
mod images;
mod json;
mod members;
mod messages;
mod passed;
mod prompts;
mod reading;
mod rerank;
mod responses;
mod sampling;
#[cfg(test)]
mod tests;

pub use crate::kinds::{Api, Server};
pub use passed::Passed;
pub(crate) use passed::{Body, PassedReading};
