//! Streams of a model server: written by a test, piece by piece, or whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::{Body, Bytes};
use axum::http::Response;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A stream that a test writes. Dropped, it ends as a whole answer does.
#[derive(Debug)]
pub struct StreamScript(UnboundedSender<Option<Bytes>>);

impl StreamScript {
    /// Writes a piece, which need not end where an event ends.
    pub fn write(&self, piece: impl Into<Bytes>) {
        // The gateway may have closed it.
        let _ = self.0.send(Some(piece.into()));
    }

    /// Breaks the connection.
    pub fn break_off(self) {
        let _ = self.0.send(None);
    }

    /// Whether the gateway reads it no more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// Counts streams that are dropped before their end.
struct Watch {
    pieces: UnboundedReceiver<Option<Bytes>>,
    left: Arc<AtomicU32>,
    ended: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.left.fetch_add(u32::from(!self.ended), Ordering::SeqCst);
    }
}

pub(crate) fn scripted_stream(left: Arc<AtomicU32>) -> (StreamScript, Body) {
    let (sender, pieces) = unbounded_channel();
    let watch = Watch { pieces, left, ended: false };
    let stream = futures::stream::unfold(watch, |mut watch| async move {
        let piece = watch.pieces.recv().await;
        watch.ended = !matches!(piece, Some(Some(_)));
        let piece = piece?.ok_or_else(|| std::io::Error::other("the test breaks it off"));
        Some((piece, watch))
    });
    (StreamScript(sender), Body::from_stream(stream))
}

pub(crate) fn stream_body(body: Body) -> Response<Body> {
    let kind = "text/event-stream; charset=utf-8";
    // What a server may say of itself reaches no client.
    let response = Response::builder().header("content-type", kind).header("set-cookie", "session=secret");
    response.header("server", "model-server").body(body).expect("an answer")
}

/// A chunk of a chat stream that says something.
pub fn chat_chunk(text: &str) -> String {
    chat_event(json!([{ "index": 0, "delta": { "content": text }, "finish_reason": null }]), None)
}

/// The chunks that end a chat stream, without its last event.
pub fn chat_end() -> String {
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 });
    let stop = json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]);
    chat_event(stop, None) + &chat_event(json!([]), Some(usage))
}

/// The event that ends a chat stream.
pub const CHAT_DONE: &str = "data: [DONE]\n\n";

fn chat_event(choices: Value, usage: Option<Value>) -> String {
    let mut chunk = json!({ "id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 1, "model": "counted",
        "choices": choices });
    if let Some(usage) = usage {
        chunk["usage"] = usage;
    }
    format!("data: {chunk}\n\n")
}

/// A whole stream of an API.
pub(crate) fn answer_pieces(path: &str, text: &str) -> Vec<String> {
    let named = |name: &str, mut data: Value| {
        data["type"] = name.into();
        format!("event: {name}\ndata: {data}\n\n")
    };
    match path {
        "/v1/messages" => vec![
            named(
                "message_start",
                json!({ "message": { "usage": { "input_tokens": 3, "output_tokens": 0 } } }),
            ),
            named(
                "content_block_start",
                json!({ "index": 0, "content_block": { "type": "text", "text": "" } }),
            ),
            named(
                "content_block_delta",
                json!({ "index": 0, "delta": { "type": "text_delta", "text": text } }),
            ),
            named("content_block_stop", json!({ "index": 0 })),
            named(
                "message_delta",
                json!({ "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 2 } }),
            ),
            named("message_stop", json!({})),
        ],
        "/v1/responses" => vec![
            named(
                "response.created",
                json!({ "sequence_number": 0, "response": { "status": "in_progress" } }),
            ),
            named("response.output_text.delta", json!({ "sequence_number": 1, "delta": text })),
            named(
                "response.completed",
                json!({ "sequence_number": 2, "response": {
                "status": "completed", "usage": { "input_tokens": 3, "output_tokens": 2, "total_tokens": 5 } } }),
            ),
        ],
        "/v1/completions" => {
            let event = |choices: Value| {
                format!("data: {}\n\n", json!({ "object": "text_completion", "choices": choices }))
            };
            vec![
                event(json!([{ "index": 0, "text": text, "finish_reason": null }])),
                event(json!([{ "index": 0, "text": "", "finish_reason": "stop" }])),
                CHAT_DONE.to_owned(),
            ]
        }
        _ => vec![chat_chunk(text), chat_end(), CHAT_DONE.to_owned()],
    }
}
