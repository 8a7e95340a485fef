//! Any server with OpenAI's `POST /v1/chat/completions` (llama.cpp, vLLM, Ollama, …).

use std::time::{Duration, UNIX_EPOCH};

use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderValue, Request};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::StreamExt as _;
use salt402_http::clock::now;
use serde::Serialize;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::upstream::completion::{Completion, Task};
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::frames::Frames;
use crate::upstream::payload::Payload;
use crate::upstream::transport::{Deadlines, Transport, TransportError};
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
/// The longest pause in the middle of an answer, if the whole may take that long.
const BETWEEN: Duration = Duration::from_secs(60);

/// One model of an OpenAI-compatible server.
pub struct OpenAi {
    transport: Transport,
    /// The path to ask at, and what the server's address has as a query.
    completions: String,
    model: String,
    /// What is shown to be let in.
    authorization: Option<HeaderValue>,
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
    ) -> Result<Self, TransportError> {
        let authorization = match (key, base.username()) {
            (Some(key), _) => Some(format!("Bearer {key}")),
            (None, "") if base.password().is_none() => None,
            (None, user) => {
                let known = format!("{}:{}", plain(user), plain(base.password().unwrap_or_default()));
                Some(format!("Basic {}", BASE64_STANDARD.encode(known)))
            }
        };
        let authorization = authorization
            .map(|text| {
                let mut value = HeaderValue::from_str(&text).map_err(|_| TransportError::Key)?;
                value.set_sensitive(true);
                Ok::<_, TransportError>(value)
            })
            .transpose()?;
        let path = base.path().trim_end_matches('/');
        let version = if path.ends_with("/v1") { "" } else { "/v1" };
        let query = base.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut server = base.clone();
        server.set_query(None);
        server.set_fragment(None);
        // Neither fails for an address that has a host, and without one the transport refuses it.
        let _ = server.set_username("");
        let _ = server.set_password(None);
        let deadlines = Deadlines {
            connect: timeout.min(Duration::from_secs(10)),
            first_byte: timeout,
            between: timeout.min(BETWEEN),
        };
        let transport = Transport::new(&server, deadlines)?;
        let completions = format!("{version}/chat/completions{query}");
        Ok(Self { transport, completions, model, authorization, timeout })
    }
}

/// A part of an address with its escapes undone.
fn plain(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

impl OpenAi {
    /// Asks, and asks again if the server wants to be waited for and that is not too long.
    pub(crate) async fn complete(&self, task: &Task<'_>) -> Result<Completion, UpstreamError> {
        let started = Instant::now();
        let mut pause = PAUSE;
        loop {
            let left = self.timeout.saturating_sub(started.elapsed());
            let asked = timeout(left, self.ask(task)).await;
            let error = match asked.unwrap_or_else(|_| Err(Failure::Timeout.into())) {
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

    async fn ask(&self, task: &Task<'_>) -> Result<Completion, UpstreamError> {
        let response = self.transport.send(self.request(task)?).await?;
        let (head, body) = response.into_parts();
        let encoding = head.headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        if !head.status.is_success() {
            let (status, after) = (head.status.as_u16(), retry_after(&head.headers, now()));
            // A text that cannot be read says nothing. The status does.
            let body = read(body, LONGEST_ERROR).await.unwrap_or_default();
            let words = wire::text(body, encoding, LONGEST_ERROR).unwrap_or_default();
            let said: String = words.chars().take(LOGGED).collect();
            tracing::warn!(model = self.model, status, ?said, "the model server refused");
            return Err(UpstreamError::of(status, &words, after));
        }
        let body = read(body, LONGEST).await?;
        let text = wire::text(body, encoding, LONGEST)?;
        answer::completion(&wire::documents(&text), task)
    }

    fn request(&self, task: &Task<'_>) -> Result<Request<Payload>, UpstreamError> {
        let ask = Ask {
            model: &self.model,
            messages: [Message { role: "user", content: task.prompt }],
            max_tokens: task.max_tokens,
            temperature: task.temperature,
            stream: false,
        };
        // Neither fails: the path was checked, and the body is made of texts and numbers.
        let unwritable = || UpstreamError::from(Failure::Refused(400));
        let body = serde_json::to_vec(&ask).map_err(|_| unwritable())?;
        let mut request = Request::post(&self.completions)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header(ACCEPT_ENCODING, "identity");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(Payload::Whole(body.into())).map_err(|_| unwritable())
    }
}

async fn read(mut answer: Frames, longest: usize) -> Result<Vec<u8>, UpstreamError> {
    let mut body = Vec::new();
    while let Some(piece) = answer.next().await {
        let piece = piece?;
        if body.len() + piece.len() > longest {
            return Err(Failure::TooLong(longest).into());
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
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
