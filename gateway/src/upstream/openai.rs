//! Any server with OpenAI's `POST /v1/chat/completions` (llama.cpp, vLLM, Ollama, …).
//!
//! What `POST /v1/inference` asks is written here; what the other routes pass on was written where it was priced. The
//! server gets our own headers alone, and the address of whoever has paid.

use std::future::Future;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::StreamExt as _;
use salt402_http::clock::now;
use salt402_protocol::Address;
use serde::Serialize;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::kinds::Api;
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
/// The header with the address of whoever has paid.
const PAYER_HEADER: HeaderName = HeaderName::from_static("x-x402-payer");
/// The version of Anthropic's API that is spoken.
const ANTHROPIC_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
/// What the paths of all APIs begin with.
const VERSION: &str = "/v1";

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
    /// How long an answer may pause.
    pub pause: Duration,
    /// How many requests it is sent at once; 0 is no limit.
    pub at_once: usize,
    /// How many more may wait.
    pub queue: usize,
}

/// One model of an OpenAI-compatible server.
pub struct OpenAi {
    transport: Transport,
    admission: Admission,
    /// Whether its address ends with the version that all paths begin with.
    has_version: bool,
    /// What its address has as a query, with the question mark.
    query: String,
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
    pub(super) fn new(options: ServerOptions) -> Result<Self, TransportError> {
        let ServerOptions { base, model, key, timeout, pause, at_once, queue } = options;
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
        let has_version = base.path().trim_end_matches('/').ends_with(VERSION);
        let query = base.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut server = base;
        server.set_query(None);
        server.set_fragment(None);
        // Neither fails for an address that has a host, and without one the transport refuses it.
        let _ = server.set_username("");
        let _ = server.set_password(None);
        let deadlines =
            Deadlines { connect: timeout.min(Duration::from_secs(10)), first_byte: timeout, between: pause };
        let transport = Transport::new(&server, deadlines)?;
        let admission = Admission::new(at_once, queue);
        Ok(Self { transport, admission, has_version, query, model, authorization, timeout })
    }
}

/// A part of an address with its escapes undone.
fn plain(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

impl OpenAi {
    /// The model's name at that server.
    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// How many requests it is sent at once.
    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// How long a whole answer may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks for a completion.
    pub(super) async fn complete(&self, task: &Task<'_>) -> Result<Completion, UpstreamError> {
        let ask = |left| {
            let asked = timeout(left, self.ask(task));
            async { asked.await.unwrap_or_else(|_| Err(Failure::Timeout.into())) }
        };
        self.patiently(task.hurried, ask).await
    }

    /// Passes a request on. Returns the answer, whose status is good.
    pub(super) async fn pass(&self, asked: &PassedOn) -> Result<Response<Frames>, UpstreamError> {
        self.patiently(asked.hurried, |_| {
            self.post(asked.api, asked.body.clone(), asked.streamed, asked.payer)
        })
        .await
    }

    /// Asks which models the server has, a question that costs it nothing.
    pub(super) async fn models(&self) -> Result<(), UpstreamError> {
        self.exchange(Method::GET, "/v1/models", Payload::Whole(Bytes::new()), None, |_| ()).await.map(drop)
    }

    /// Asks, and asks again if the server wants to be waited for and that is not too long.
    async fn patiently<T, F>(&self, hurried: bool, ask: impl Fn(Duration) -> F) -> Result<T, UpstreamError>
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
            if hurried || !error.asks_to_wait() || until >= self.timeout.min(WAITED) {
                return Err(error);
            }
            tracing::info!(model = self.model, %error, wait_ms = wait.as_millis(), "waiting for the model server");
            tokio::time::sleep(wait).await;
            pause = pause.saturating_mul(2);
        }
    }

    async fn ask(&self, task: &Task<'_>) -> Result<Completion, UpstreamError> {
        let ask = Ask {
            model: &self.model,
            messages: [Message { role: "user", content: task.prompt }],
            max_tokens: task.max_tokens,
            temperature: task.temperature,
            stream: false,
        };
        // It is made of texts and numbers.
        let body = serde_json::to_vec(&ask).map_err(|_| Failure::Refused(400))?;
        let (head, body) = self.post(Api::Chat, body.into(), false, task.payer).await?.into_parts();
        let encoding = head.headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        let body = read(body, LONGEST).await?;
        let text = wire::text(body, encoding, LONGEST)?;
        answer::completion(&wire::documents(&text), task)
    }

    async fn post(
        &self,
        api: Api,
        body: Bytes,
        streamed: bool,
        payer: Option<Address>,
    ) -> Result<Response<Frames>, UpstreamError> {
        let accept = if streamed { "text/event-stream" } else { "application/json" };
        let own = |headers: &mut HeaderMap| {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if api == Api::Messages {
                headers.insert(ANTHROPIC_VERSION.0, ANTHROPIC_VERSION.1);
            }
        };
        self.exchange(Method::POST, api.path(), Payload::Whole(body), payer, own).await
    }

    /// Sends a request. Returns the answer if its status is good.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        payload: Payload,
        payer: Option<Address>,
        own: impl FnOnce(&mut HeaderMap),
    ) -> Result<Response<Frames>, UpstreamError> {
        let path = if self.has_version { path.strip_prefix(VERSION).unwrap_or(path) } else { path };
        let mut request = Request::new(payload);
        *request.method_mut() = method;
        // It was checked with the address.
        *request.uri_mut() = format!("{path}{}", self.query)
            .parse()
            .map_err(|_| UpstreamError::from(Failure::Refused(400)))?;
        let headers = request.headers_mut();
        own(headers);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if let Some(payer) = payer.and_then(|payer| HeaderValue::from_str(&payer.to_string()).ok()) {
            headers.insert(PAYER_HEADER, payer);
        }
        // Whoever reads the answer for long need not hold what sent the request.
        let response = Box::pin(self.transport.send(request)).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let (status, after) = (head.status.as_u16(), retry_after(&head.headers, now()));
        let encoding = head.headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        // A text that cannot be read says nothing. The status does.
        let body = timeout(self.timeout, read(body, LONGEST_ERROR)).await.unwrap_or_else(|_| Ok(Vec::new()));
        let words = wire::text(body.unwrap_or_default(), encoding, LONGEST_ERROR).unwrap_or_default();
        let said: String = words.chars().take(LOGGED).collect();
        tracing::warn!(model = self.model, status, ?said, "the model server refused");
        Err(UpstreamError::of(status, &words, after))
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
pub(crate) fn retry_after(headers: &HeaderMap, now: Duration) -> Option<Duration> {
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
