//! A model server that counts requests and gives scripted answers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicU32,
    delay_ms: AtomicU64,
    failures: AtomicU32,
    scripted: Mutex<VecDeque<Scripted>>,
    encodings: Mutex<Vec<String>>,
    /// The status of every answer, also to the gateway's probe. 0: normal answers.
    refuses: AtomicU16,
}

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Scripted {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Scripted {
    /// An answer with a JSON content type.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type", "application/json".into())], body: body.into() }
    }

    /// The same with another header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn response(self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(self.body.into()).expect("an answer")
    }
}

/// An OpenAI-compatible server on a free port.
#[derive(Debug)]
pub struct CountingUpstream {
    counts: Arc<Counts>,
    port: u16,
    task: JoinHandle<()>,
}

impl CountingUpstream {
    /// Starts a server. It answers at once with the number of the request.
    pub async fn start() -> Self {
        let counts = Arc::new(Counts::default());
        let router =
            Router::new().route("/v1/chat/completions", post(complete)).with_state(Arc::clone(&counts));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("an address").port();
        let task =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("the upstream serves") });
        Self { counts, port, task }
    }

    /// The URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// The number of requests.
    pub fn asked(&self) -> u32 {
        self.counts.asked.load(Ordering::SeqCst)
    }

    /// Delays every answer.
    pub fn delay(&self, delay: Duration) {
        self.counts.delay_ms.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// Queues an answer for the next request.
    pub fn script(&self, answer: Scripted) {
        self.counts.scripted.lock().unwrap_or_else(PoisonError::into_inner).push_back(answer);
    }

    /// The accepted encodings of the last request.
    pub fn accepted_encoding(&self) -> String {
        let encodings = self.counts.encodings.lock().unwrap_or_else(PoisonError::into_inner);
        encodings.last().cloned().unwrap_or_default()
    }

    /// Answers everything with a status. `None`: normal answers again.
    pub fn refuse(&self, status: Option<StatusCode>) {
        self.counts.refuses.store(status.map_or(0, |status| status.as_u16()), Ordering::SeqCst);
    }

    /// Fails a number of requests.
    pub fn fail(&self, times: u32) {
        self.counts.failures.store(times, Ordering::SeqCst);
    }
}

impl Drop for CountingUpstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn complete(
    State(counts): State<Arc<Counts>>,
    headers: HeaderMap,
    Json(ask): Json<Value>,
) -> Result<Response<Body>, StatusCode> {
    // The gateway's own probe.
    let probe = ask["max_tokens"] == 1 && ask["messages"][0]["content"] == "ping";
    if let Ok(status) = StatusCode::from_u16(counts.refuses.load(Ordering::SeqCst)) {
        counts.asked.fetch_add(u32::from(!probe), Ordering::SeqCst);
        return Err(status);
    }
    if probe {
        return Ok(answer(&ask, "pong").into_response());
    }
    let encoding = headers.get("accept-encoding").and_then(|value| value.to_str().ok()).unwrap_or_default();
    counts.encodings.lock().unwrap_or_else(PoisonError::into_inner).push(encoding.to_owned());
    let number = counts.asked.fetch_add(1, Ordering::SeqCst) + 1;
    tokio::time::sleep(Duration::from_millis(counts.delay_ms.load(Ordering::SeqCst))).await;
    if counts.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let scripted = counts.scripted.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    if let Some(scripted) = scripted {
        return Ok(scripted.response());
    }
    Ok(answer(&ask, &format!("answer {number}")).into_response())
}

fn answer(ask: &Value, content: &str) -> Json<Value> {
    Json(json!({
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "model": ask["model"],
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content },
            "finish_reason": "stop",
        }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
    }))
}
