//! Runs a model. Nothing here knows what a model is sold for, or to whom.

pub(crate) mod admission;
mod answer;
pub(crate) mod completion;
mod connection;
mod demo;
pub(crate) mod failure;
pub(crate) mod frames;
mod json;
mod openai;
pub(crate) mod payload;
mod pool;
pub(crate) mod transport;
mod wire;

use std::time::Duration;

use url::Url;

use crate::upstream::completion::{Completion, Task};
use crate::upstream::failure::UpstreamError;
use crate::upstream::openai::OpenAi;
use crate::upstream::transport::TransportError;

/// Who runs a model.
#[derive(Debug)]
pub enum Upstream {
    /// The built-in model. It is deterministic, needs no GPU and knows nothing.
    Demo,
    /// Any server with OpenAI's `POST /v1/chat/completions`.
    OpenAi(OpenAi),
}

impl Upstream {
    /// A model of an OpenAI-compatible server at `base` (with or without its `/v1`), under its name there. `key` is
    /// sent as a bearer token. `timeout` limits one request, with connecting and waiting.
    pub fn openai(
        base: &Url,
        model: String,
        key: Option<String>,
        timeout: Duration,
    ) -> Result<Self, TransportError> {
        OpenAi::new(base, model, key, timeout).map(Self::OpenAi)
    }

    pub(crate) async fn complete(&self, task: &Task<'_>) -> Result<Completion, UpstreamError> {
        match self {
            Self::Demo => Ok(demo::complete(task)),
            Self::OpenAi(server) => server.complete(task).await,
        }
    }
}
