//! Runs a model. Nothing here knows what a model is sold for, or to whom.

pub(crate) mod admission;
mod answer;
pub(crate) mod beside;
pub(crate) mod completion;
mod connection;
mod continuous_usage;
pub(crate) mod cost;
mod demo;
mod demo_api;
mod events;
pub(crate) mod failure;
pub(crate) mod frames;
mod json;
mod note;
pub(crate) mod openai;
pub(crate) mod passing;
pub(crate) mod payload;
mod pool;
pub(crate) mod tokens;
pub(crate) mod transport;
pub(crate) mod usage;
mod wire;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::kinds::Api;
use crate::upstream::admission::{Load, Permit};
use crate::upstream::completion::{Completion, Task};
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::openai::OpenAi;
pub use crate::upstream::openai::ServerOptions;
use crate::upstream::passing::{PassedOn, Passing};
use crate::upstream::transport::TransportError;
use crate::upstream::usage::Counts;

/// The gateway's own question, which is cheap to answer.
const PING: &str = "ping";

/// Who runs a model.
#[derive(Debug)]
pub enum Upstream {
    /// The built-in model. It is deterministic, needs no GPU and knows nothing. It has chat and completions alone.
    Demo,
    /// Any server with OpenAI's APIs.
    OpenAi(OpenAi),
}

impl Upstream {
    /// A model of an OpenAI-compatible server.
    ///
    /// # Errors
    /// If it can never be asked.
    pub fn openai(options: ServerOptions) -> Result<Self, TransportError> {
        OpenAi::new(options).map(Self::OpenAi)
    }

    /// The model's name at its server. `None` for the built-in model.
    pub(crate) fn model(&self) -> Option<&str> {
        match self {
            Self::Demo => None,
            Self::OpenAi(server) => Some(server.model()),
        }
    }

    /// Why nothing more is taken on, if that is so.
    pub(crate) fn full(&self) -> Option<salt402_protocol::Problem> {
        match self {
            Self::Demo => None,
            Self::OpenAi(server) => server.admission().full(),
        }
    }

    /// How many requests it has now.
    pub(crate) fn load(&self) -> Load {
        match self {
            Self::Demo => Load::default(),
            Self::OpenAi(server) => server.admission().load(),
        }
    }

    /// Waits for a place. The built-in model has one for everybody.
    pub(crate) async fn enter(&self) -> Option<Permit> {
        match self {
            Self::Demo => None,
            Self::OpenAi(server) => Some(server.admission().enter().await),
        }
    }

    pub(crate) async fn complete(&self, task: &Task<'_>) -> Result<Completion, UpstreamError> {
        match self {
            Self::Demo => Ok(demo::complete(task)),
            Self::OpenAi(server) => server.complete(task).await,
        }
    }

    /// Passes a request on.
    ///
    /// # Errors
    /// If there is no answer, or its status is an error.
    pub(crate) async fn pass(&self, asked: &PassedOn) -> Result<Passing, UpstreamError> {
        match self {
            Self::Demo => Ok(Passing::demo(asked, demo_api::answer(asked)?)),
            Self::OpenAi(server) => Passing::of(asked, server.pass(asked).await?),
        }
    }

    /// Passes a request on whose answer is no stream. Returns all of it, and the tokens that the server counted.
    ///
    /// # Errors
    /// If there is no answer in time, or it says that the server failed.
    pub(crate) async fn document(&self, asked: &PassedOn) -> Result<(Bytes, Option<Counts>), UpstreamError> {
        let answered = async { self.pass(asked).await?.document().await };
        match self {
            Self::Demo => answered.await,
            Self::OpenAi(server) => tokio::time::timeout(server.timeout(), answered)
                .await
                .unwrap_or_else(|_| Err(Failure::Timeout.into())),
        }
    }

    /// A question of the gateway's own, by an API, that is answered with at most so many tokens where tokens are written.
    ///
    /// # Errors
    /// If the server does not answer it.
    pub(crate) async fn probe(&self, api: Api, tokens: u32) -> Result<(), UpstreamError> {
        let messages = json!([{ "role": "user", "content": PING }]);
        let body = match (api, self) {
            (Api::Chat, _) => {
                let task =
                    Task { prompt: PING, max_tokens: tokens, temperature: None, payer: None, hurried: false };
                return self.complete(&task).await.map(drop);
            }
            // An image costs too much to ask for.
            (Api::Images, Self::OpenAi(server)) => return server.models().await,
            (Api::Images, Self::Demo) => return Err(Failure::Unserved(404).into()),
            (Api::Completions, _) => json!({ "prompt": PING, "max_tokens": tokens }),
            (Api::Messages, _) => json!({ "messages": messages, "max_tokens": tokens }),
            (Api::Responses, _) => json!({ "input": PING, "max_output_tokens": tokens }),
            (Api::Embeddings, _) => json!({ "input": PING }),
            (Api::Rerank, _) => json!({ "query": PING, "documents": [PING] }),
        };
        let mut body: Value = body;
        body["model"] = self.model().unwrap_or("demo").into();
        let body = body.to_string().into();
        let asked = PassedOn {
            api,
            body,
            streamed: false,
            strips_usage: false,
            continuous_usage: false,
            tells_cost: false,
            payer: None,
            hurried: false,
        };
        self.document(&asked).await.map(drop)
    }
}
