//! Any server with OpenAI's `POST /v1/chat/completions` (llama.cpp, vLLM, Ollama, …).

use salt402_http::clock::now;
use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use serde::Serialize;
use tokio::time::Instant;
use url::Url;

use crate::upstream::completion::{Completion, Task};
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::{answer, wire};

/// The longest answer that is read, and the longest error answer, in bytes.
const LONGEST: usize = 8 * 1024 * 1024;
const LONGEST_ERROR: usize = 16 * 1024;
/// How much of an error's words is logged.
const LOGGED: usize = 300;
/// How long one run waits in total for a server that is busy or loads its model.
const WAITED: Duration = Duration::from_secs(30);
/// The first pause if a busy server names none. Each is twice the one before.
const PAUSE: Duration = Duration::from_millis(500);
/// The least pause, whatever a server says.
const LEAST_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection is kept. Servers close idle ones after five seconds, and a request must not meet that.
const KEPT: Duration = Duration::from_secs(4);

/// One model of an OpenAI-compatible server.
pub struct OpenAi {
    client: reqwest::Client,
    completions: Url,
    model: String,
    key: Option<String>,
    /// How long a request may take, with all waiting.
    timeout: Duration,
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

impl OpenAi {
    /// A model of an OpenAI-compatible server at `base` (with or without its `/v1`), under its name there. `key` is
    /// sent as a bearer token. `timeout` limits one request, with connecting and waiting.
    pub(super) fn new(
        base: &Url,
        model: String,
        key: Option<String>,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .pool_idle_timeout(KEPT)
            .no_proxy()
            .build()?;
        let path = base.path().trim_end_matches('/');
        let path = if path.ends_with("/v1") { path.to_owned() } else { format!("{path}/v1") };
        let mut completions = base.clone();
        completions.set_path(&format!("{path}/chat/completions"));
        Ok(Self { client, completions, model, key, timeout })
    }
}

impl OpenAi {
    /// The model's name at that server.
    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// Asks, and asks again if the server wants to be waited for and that is not too long.
    pub(crate) async fn complete(&self, task: &Task<'_>) -> Result<Completion, UpstreamError> {
        let started = Instant::now();
        let mut pause = PAUSE;
        loop {
            let left = self.timeout.saturating_sub(started.elapsed());
            let error = match self.ask(task, left).await {
                Ok(completion) => return Ok(completion),
                Err(error) => error,
            };
            let wait = error.after.unwrap_or(pause).max(LEAST_PAUSE);
            let until = started.elapsed().saturating_add(wait);
            if !error.asks_to_wait() || until >= self.timeout.min(WAITED) {
                return Err(error);
            }
            tracing::info!(model = self.model, %error, wait_ms = wait.as_millis(), "waiting for the model server");
            tokio::time::sleep(wait).await;
            pause = pause.saturating_mul(2);
        }
    }

    async fn ask(&self, task: &Task<'_>, timeout: Duration) -> Result<Completion, UpstreamError> {
        let ask = Ask {
            model: &self.model,
            messages: [Message { role: "user", content: task.prompt }],
            max_tokens: task.max_tokens,
            temperature: task.temperature,
            stream: false,
        };
        let mut request = self
            .client
            .post(self.completions.clone())
            .timeout(timeout)
            .header(ACCEPT, "application/json")
            .header(ACCEPT_ENCODING, "identity")
            .json(&ask);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(failure)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        if !status.is_success() {
            let after = retry_after(&headers, now());
            // A text that cannot be read says nothing. The status does.
            let body = read(response, LONGEST_ERROR).await.unwrap_or_default();
            let words = wire::text(body, encoding, LONGEST_ERROR).unwrap_or_default();
            let said: String = words.chars().take(LOGGED).collect();
            tracing::warn!(model = self.model, status = status.as_u16(), ?said, "the model server refused");
            return Err(UpstreamError::of(status.as_u16(), &words, after));
        }
        let body = read(response, LONGEST).await?;
        let text = wire::text(body, encoding, LONGEST)?;
        answer::completion(&wire::documents(&text), task)
    }
}

async fn read(mut response: reqwest::Response, longest: usize) -> Result<Vec<u8>, UpstreamError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failure)? {
        if body.len() + chunk.len() > longest {
            return Err(Failure::TooLong(longest).into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn failure(error: reqwest::Error) -> UpstreamError {
    let error = error.without_url();
    tracing::warn!(%error, "the model server failed");
    if error.is_connect() {
        Failure::Unreachable.into()
    } else if error.is_timeout() {
        Failure::Timeout.into()
    } else {
        Failure::BrokenOff.into()
    }
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Duration) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let then = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            Some(then.saturating_sub(now))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Duration::from_secs(784_111_767);
        let after = |value: &'static str| {
            let headers = [(RETRY_AFTER, value.parse().unwrap())].into_iter().collect();
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(after("7"), Some(7));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(10));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
