//! Any server with OpenAI's `POST /v1/chat/completions` (llama.cpp, vLLM, Ollama, …).

use std::time::Duration;

use reqwest::redirect::Policy;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::upstream::{Completion, Task, UpstreamError, Usage};

/// The longest answer that is read, in bytes.
const LONGEST: usize = 8 * 1024 * 1024;

/// One model of an OpenAI-compatible server.
pub struct OpenAi {
    client: reqwest::Client,
    completions: Url,
    model: String,
    key: Option<String>,
}

impl std::fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenAi({})", self.model)
    }
}

#[derive(Serialize)]
struct Ask<'a> {
    model: &'a str,
    messages: [Message<'a>; 1],
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: String,
}

impl crate::Upstream {
    /// A model of an OpenAI-compatible server at `base` (with or without its `/v1`), under the name it has there.
    /// `key` is sent as a bearer token. `timeout` bounds one request, connection included.
    pub fn openai(
        base: &Url,
        model: String,
        key: Option<String>,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .no_proxy()
            .build()?;
        let path = base.path().trim_end_matches('/');
        let path = if path.ends_with("/v1") { path.to_owned() } else { format!("{path}/v1") };
        let mut completions = base.clone();
        completions.set_path(&format!("{path}/chat/completions"));
        Ok(Self::OpenAi(OpenAi { client, completions, model, key }))
    }
}

impl OpenAi {
    pub(crate) async fn complete(&self, task: &Task<'_>) -> Result<Completion, UpstreamError> {
        let ask = Ask {
            model: &self.model,
            messages: [Message { role: "user", content: task.prompt }],
            max_tokens: task.max_tokens,
            temperature: task.temperature,
            stream: false,
        };
        let mut request = self.client.post(self.completions.clone()).json(&ask);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let mut response = request.send().await.map_err(failure)?;
        let status = response.status();
        if !status.is_success() {
            tracing::warn!(model = self.model, status = status.as_u16(), "the model server refused");
            return Err(UpstreamError::Status(status.as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failure)? {
            if body.len() + chunk.len() > LONGEST {
                return Err(UpstreamError::TooLong(LONGEST));
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| {
            tracing::warn!(model = self.model, %error, "the model server's answer was not understood");
            UpstreamError::Malformed
        })?;
        let choice = answer.choices.into_iter().next().ok_or(UpstreamError::Malformed)?;
        Ok(Completion {
            output: choice.message.content,
            finish_reason: choice.finish_reason.unwrap_or_else(|| "stop".into()),
            usage: answer.usage.unwrap_or_default(),
        })
    }
}

fn failure(error: reqwest::Error) -> UpstreamError {
    let error = error.without_url();
    tracing::warn!(%error, "the model server failed");
    if error.is_timeout() { UpstreamError::Timeout } else { UpstreamError::Unreachable }
}
