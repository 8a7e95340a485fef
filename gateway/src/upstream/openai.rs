//! Any server with OpenAI's `POST /v1/chat/completions` (llama.cpp, vLLM, Ollama, …).
//!
//! What `POST /v1/inference` asks is written here; what the other routes pass on was written where it was priced. The
//! server gets our own headers alone, and the address of whoever has paid.

use std::future::Future;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use salt402_http::clock::now;
use salt402_protocol::Address;
use serde::Serialize;
use tokio::time::Instant;
use url::Url;

use crate::api::kind::Api;
use crate::upstream::admission::Admission;
use crate::upstream::completion::{Completion, Task};
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::frames::Frames;
use crate::upstream::passing::PassedOn;
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
/// How long a connection is kept. Servers close idle ones after five seconds, and a request must not meet that.
const KEPT: Duration = Duration::from_secs(4);

/// The header with the address of whoever has paid.
const PAYER_HEADER: HeaderName = HeaderName::from_static("x-x402-payer");
/// The version of Anthropic's API that is spoken.
const ANTHROPIC_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));

/// A model server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Its address, with or without its `/v1`.
    pub base: Url,
    /// The model's name there.
    pub model: String,
    /// What is sent as a bearer token.
    pub key: Option<String>,
    /// How long a whole answer may take, with connecting and waiting, and the first byte of a stream.
    pub timeout: Duration,
    /// How long a stream may pause.
    pub pause: Duration,
    /// How many requests it is sent at once; 0 is no limit.
    pub at_once: usize,
    /// How many more may wait.
    pub queue: usize,
}

/// Why a model server can never be asked.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
    /// The address, or the certificates to trust, cannot be used.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The key cannot be sent.
    #[error("the API key holds more than visible ASCII")]
    Key,
}

/// One model of an OpenAI-compatible server.
pub struct OpenAi {
    client: reqwest::Client,
    transport: Transport,
    admission: Admission,
    /// `Bearer`, with the key.
    authorization: Option<HeaderValue>,
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
    pub(super) fn new(options: ServerOptions) -> Result<Self, ServerError> {
        let ServerOptions { base, model, key, timeout, pause, at_once, queue } = options;
        let admission = Admission::new(at_once, queue);
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .pool_idle_timeout(KEPT)
            .no_proxy()
            .build()?;
        let path = base.path().trim_end_matches('/');
        let path = path.strip_suffix("/v1").unwrap_or(path).to_owned();
        let mut completions = base.clone();
        completions.set_path(&format!("{path}/v1/chat/completions"));
        // The paths of APIs begin with their version.
        let mut root = base;
        root.set_path(&path);
        let deadlines = Deadlines { first_byte: timeout, between: pause, ..Deadlines::default() };
        let deadlines = Deadlines { connect: deadlines.connect.min(timeout), ..deadlines };
        let transport = Transport::new(&root, deadlines)?;
        let bearer = |key: &String| {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| ServerError::Key)?;
            value.set_sensitive(true);
            Ok::<_, ServerError>(value)
        };
        let authorization = key.as_ref().map(bearer).transpose()?;
        Ok(Self { client, transport, admission, authorization, completions, model, key, timeout })
    }
}

impl OpenAi {
    /// The model's name at that server.
    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// Asks for a completion.
    pub(crate) async fn complete(&self, task: &Task<'_>) -> Result<Completion, UpstreamError> {
        self.patiently(|left| self.ask(task, left)).await
    }

    /// Passes a request on. Returns the answer, whose status is good.
    pub(super) async fn pass(&self, asked: &PassedOn) -> Result<Response<Frames>, UpstreamError> {
        self.patiently(|_| self.send(asked)).await
    }

    /// How many requests it is sent at once.
    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// How long a whole answer may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks which models the server has, as a question that costs it nothing.
    pub(super) async fn models(&self) -> Result<(), UpstreamError> {
        let mut request = Request::new(Payload::Whole(Bytes::new()));
        *request.uri_mut() = axum::http::Uri::from_static("/v1/models");
        self.exchange(request, None).await.map(drop)
    }

    async fn send(&self, asked: &PassedOn) -> Result<Response<Frames>, UpstreamError> {
        let mut request = Request::new(Payload::Whole(asked.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = axum::http::Uri::from_static(asked.api.path());
        let accept = if asked.streamed { "text/event-stream" } else { "application/json" };
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if asked.api == Api::Messages {
            headers.insert(ANTHROPIC_VERSION.0, ANTHROPIC_VERSION.1);
        }
        self.exchange(request, asked.payer).await
    }

    async fn exchange(
        &self,
        mut request: Request<Payload>,
        payer: Option<Address>,
    ) -> Result<Response<Frames>, UpstreamError> {
        let headers = request.headers_mut();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if let Some(payer) = payer.and_then(|payer| HeaderValue::from_str(&payer.to_string()).ok()) {
            headers.insert(PAYER_HEADER, payer);
        }
        let response = self.transport.send(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (head, mut frames) = response.into_parts();
        let mut body = Vec::new();
        // A text that cannot be read says nothing. The status does.
        while let Some(Ok(piece)) = frames.next().await {
            body.extend_from_slice(&piece[..piece.len().min(LONGEST_ERROR - body.len())]);
            if body.len() == LONGEST_ERROR {
                break;
            }
        }
        Err(self.refused(head.status.as_u16(), &head.headers, body))
    }

    /// What an answer with an error status means.
    fn refused(&self, status: u16, headers: &HeaderMap, body: Vec<u8>) -> UpstreamError {
        let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        let words = wire::text(body, encoding, LONGEST_ERROR).unwrap_or_default();
        let said: String = words.chars().take(LOGGED).collect();
        tracing::warn!(model = self.model, status, ?said, "the model server refused");
        UpstreamError::of(status, &words, retry_after(headers, now()))
    }

    /// Asks, and asks again if the server wants to be waited for and that is not too long.
    async fn patiently<T, F>(&self, ask: impl Fn(Duration) -> F) -> Result<T, UpstreamError>
    where
        F: Future<Output = Result<T, UpstreamError>>,
    {
        let started = Instant::now();
        let mut pause = PAUSE;
        loop {
            let left = self.timeout.saturating_sub(started.elapsed());
            let error = match ask(left).await {
                Ok(answer) => return Ok(answer),
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
        if let Some(payer) = task.payer {
            request = request.header(PAYER_HEADER, payer.to_string());
        }
        let response = request.send().await.map_err(failure)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        if !status.is_success() {
            // A text that cannot be read says nothing. The status does.
            let body = read(response, LONGEST_ERROR).await.unwrap_or_default();
            return Err(self.refused(status.as_u16(), &headers, body));
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
