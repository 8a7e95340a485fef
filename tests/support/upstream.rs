//! A model server that counts how often it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicU32,
    delay_ms: AtomicU64,
    failures: AtomicU32,
}

/// An OpenAI-compatible server on a free port.
#[derive(Debug)]
pub struct CountingUpstream {
    counts: Arc<Counts>,
    port: u16,
    task: JoinHandle<()>,
}

impl CountingUpstream {
    /// Starts one. It answers at once with the number of the question.
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

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// How often it was asked.
    pub fn asked(&self) -> u32 {
        self.counts.asked.load(Ordering::SeqCst)
    }

    /// Makes it slow.
    pub fn delay(&self, delay: Duration) {
        self.counts.delay_ms.store(delay.as_millis() as u64, Ordering::SeqCst);
    }

    /// Makes it fail so many times.
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
    Json(ask): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    let number = counts.asked.fetch_add(1, Ordering::SeqCst) + 1;
    tokio::time::sleep(Duration::from_millis(counts.delay_ms.load(Ordering::SeqCst))).await;
    if counts.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    Ok(Json(json!({
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "model": ask["model"],
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": format!("answer {number}") },
            "finish_reason": "stop",
        }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
    })))
}
