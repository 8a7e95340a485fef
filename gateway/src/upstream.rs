//! Who runs a model.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{demo, openai::OpenAi};

/// Who runs a model.
#[derive(Debug)]
pub enum Upstream {
    /// The built-in model: deterministic, needs no GPU, knows nothing.
    Demo,
    /// Any server with OpenAI's `POST /v1/chat/completions`.
    OpenAi(OpenAi),
}

/// What a model is asked.
#[derive(Clone, Debug)]
pub(crate) struct Task<'a> {
    pub(crate) prompt: &'a str,
    pub(crate) max_tokens: u32,
    pub(crate) temperature: Option<f32>,
}

/// What a model answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Completion {
    pub(crate) output: String,
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
}

/// Why a model did not answer. Never holds the upstream's address or key: it is told to payers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("the model server could not be reached")]
    Unreachable,
    #[error("the model server did not answer in time")]
    Timeout,
    #[error("the model server answered with status {0}")]
    Status(u16),
    #[error("the model server's answer is not a chat completion")]
    Malformed,
    #[error("the model server's answer is longer than {0} bytes")]
    TooLong(usize),
}

impl Upstream {
    pub(crate) async fn complete(&self, task: &Task<'_>) -> Result<Completion, UpstreamError> {
        match self {
            Self::Demo => Ok(demo::complete(task)),
            Self::OpenAi(server) => server.complete(task).await,
        }
    }
}
