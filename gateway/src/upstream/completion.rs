//! The question to a model, and its answer.

use salt402_protocol::Address;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a model is asked.
#[derive(Clone, Debug)]
pub(crate) struct Task<'a> {
    pub(crate) prompt: &'a str,
    pub(crate) max_tokens: u32,
    pub(crate) temperature: Option<f32>,
    /// Who has paid. `None` for the gateway's own questions.
    pub(crate) payer: Option<Address>,
    /// Whether a server that is busy is not waited for, because others may be asked.
    pub(crate) hurried: bool,
}

/// What a model answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Completion {
    /// The text. Empty if the model wrote no answer.
    pub(crate) output: String,
    /// What the model thought before, if the server tells.
    pub(crate) reasoning: Option<String>,
    /// Why there is no output, if the model refused.
    pub(crate) refusal: Option<String>,
    pub(crate) finish_reason: String,
    pub(crate) usage: Usage,
}

/// Tokens read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Usage {
    /// Tokens read.
    pub(crate) prompt_tokens: u64,
    /// Tokens written.
    pub(crate) completion_tokens: u64,
    /// Both.
    pub(crate) total_tokens: u64,
    /// Whether a number is an estimate, one token per four bytes, because the model server did not count.
    #[serde(default)]
    pub(crate) estimated: bool,
}
