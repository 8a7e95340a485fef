//! A model server that counts requests and gives scripted answers.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::model_stream::{StreamScript, answer_pieces, scripted_stream, stream_body};

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicU32,
    delay_ms: AtomicU64,
    failures: AtomicU32,
    scripted: Mutex<VecDeque<Next>>,
    last: Mutex<Option<AskedModel>>,
    /// How often each prompt came.
    prompts: Mutex<HashMap<String, u32>>,
    /// Streams that the gateway closed before their end.
    left: Arc<AtomicU32>,
    /// The status of every answer, also to the gateway's probe. 0: normal answers.
    refuses: AtomicU16,
}

/// What the next request gets.
#[derive(Debug)]
enum Next {
    Whole(Scripted),
    Stream(Body),
}

/// A request, without the gateway's own.
#[derive(Clone, Debug)]
pub struct AskedModel {
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
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
        let router = axum::Router::new()
            .route("/v1/models", get(|| async { Json(json!({ "object": "list", "data": [] })) }))
            .route("/v1/{*api}", post(complete))
            .with_state(Arc::clone(&counts));
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

    /// How often a prompt came, or the first message of a chat.
    pub fn asked_for(&self, prompt: &str) -> u32 {
        let prompts = self.counts.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        prompts.get(prompt).copied().unwrap_or(0)
    }

    /// Delays every answer.
    pub fn delay(&self, delay: Duration) {
        self.counts.delay_ms.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// Queues an answer for the next request.
    pub fn script(&self, answer: Scripted) {
        self.next(Next::Whole(answer));
    }

    /// Queues a stream for the next request. It is written piece by piece.
    pub fn script_stream(&self) -> StreamScript {
        let (script, body) = scripted_stream(Arc::clone(&self.counts.left));
        self.next(Next::Stream(body));
        script
    }

    fn next(&self, next: Next) {
        self.counts.scripted.lock().unwrap_or_else(PoisonError::into_inner).push_back(next);
    }

    /// How many scripted streams the gateway closed before their end.
    pub fn left(&self) -> u32 {
        self.counts.left.load(Ordering::SeqCst)
    }

    /// The last request.
    pub fn last(&self) -> AskedModel {
        let last = self.counts.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone().expect("a request")
    }

    /// The accepted encodings of the last request.
    pub fn accepted_encoding(&self) -> String {
        let headers = self.last().headers;
        headers.get("accept-encoding").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
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
    uri: Uri,
    headers: HeaderMap,
    Json(ask): Json<Value>,
) -> Result<Response<Body>, StatusCode> {
    // The gateway's own probe.
    let probe = ask["messages"][0]["content"] == "ping" || ask["input"] == "ping" || ask["query"] == "ping";
    if let Ok(status) = StatusCode::from_u16(counts.refuses.load(Ordering::SeqCst)) {
        counts.asked.fetch_add(u32::from(!probe), Ordering::SeqCst);
        return Err(status);
    }
    if probe {
        return Ok(answer(uri.path(), &ask, "pong").into_response());
    }
    let asked = AskedModel { path: uri.path().to_owned(), headers, body: ask.clone() };
    *counts.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
    if let Some(prompt) = ask["messages"][0]["content"].as_str().or_else(|| ask["prompt"].as_str()) {
        let mut prompts = counts.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        *prompts.entry(prompt.to_owned()).or_default() += 1;
    }
    let number = counts.asked.fetch_add(1, Ordering::SeqCst) + 1;
    tokio::time::sleep(Duration::from_millis(counts.delay_ms.load(Ordering::SeqCst))).await;
    if counts.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let scripted = counts.scripted.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let text = format!("answer {number}");
    Ok(match scripted {
        Some(Next::Whole(scripted)) => scripted.response(),
        Some(Next::Stream(body)) => stream_body(body),
        None if ask["stream"] == true => stream_body(Body::from(answer_pieces(uri.path(), &text).concat())),
        None => answer(uri.path(), &ask, &text).into_response(),
    })
}

fn answer(path: &str, ask: &Value, content: &str) -> Json<Value> {
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 });
    let tokens = json!({ "input_tokens": 3, "output_tokens": 2 });
    let model = &ask["model"];
    Json(match path {
        "/v1/completions" => json!({ "object": "text_completion", "model": model, "usage": usage,
            "choices": [{ "index": 0, "text": content, "finish_reason": "stop" }] }),
        "/v1/embeddings" => json!({ "object": "list", "model": model, "usage": usage,
            "data": [{ "object": "embedding", "index": 0, "embedding": [0.25, -1.0] }] }),
        "/v1/rerank" => json!({ "model": model, "usage": { "total_tokens": 5 },
            "results": [{ "index": 0, "relevance_score": 0.5 }] }),
        "/v1/images/generations" => json!({ "created": 1, "data": [{ "b64_json": content }] }),
        "/v1/messages" => json!({ "type": "message", "role": "assistant", "model": model, "usage": tokens,
            "content": [{ "type": "text", "text": content }], "stop_reason": "end_turn" }),
        "/v1/responses" => {
            json!({ "object": "response", "status": "completed", "model": model, "usage": tokens,
            "output": [{ "type": "message", "role": "assistant",
                         "content": [{ "type": "output_text", "text": content }] }] })
        }
        _ => json!({
            "id": "chatcmpl-test",
            "object": "chat.completion",
            "model": model,
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": content },
                "finish_reason": "stop",
            }],
            "usage": usage,
        }),
    })
}
