//! What an agent asks: bodies of JSON-RPC, in the forms of A2A 1.0 and of 0.3.

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use salt402_protocol::object::{self, Object};
use salt402_protocol::x402::required::LONGEST_SIGNED;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::task_id::{BESIDE_BODY, LONGEST_CONTEXT, TaskId};

/// The most bytes that a message with a payment has besides the task's id: the signed payment as JSON, and what stands around it.
const BESIDE_ID: usize = LONGEST_SIGNED / 4 * 3 + 4096;

/// In which words of A2A somebody speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// 1.0.
    One,
    /// 0.3 and before.
    Before,
}

/// An error of JSON-RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// Which, as JSON-RPC and A2A number them.
    pub code: i32,
    /// What was wrong, and what to do.
    pub message: String,
}

impl RpcError {
    pub(super) fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    /// `TaskNotFoundError`.
    pub(super) fn not_found() -> Self {
        Self::new(
            -32001,
            "no task of this id is known. None is kept over a restart, nor for ever: send its message again. With the same payment it is \
             answered, or goes on, and nothing is paid twice",
        )
    }
}

/// What is asked for.
#[derive(Debug)]
pub enum Asked {
    /// What a message says is to be answered.
    New {
        /// The name of the context that it is in, if it names one.
        context: Option<String>,
        /// The body of the request.
        body: String,
    },
    /// A task is paid for.
    Paid {
        /// Which.
        task: TaskId,
        /// The header that shows the payment.
        shown: (&'static str, HeaderValue),
    },
    /// How a task stands.
    Get(TaskId),
    /// That a task ends.
    Cancel(TaskId),
    /// Which tasks there are.
    List,
}

/// A call, or what is wrong with it.
#[derive(Debug)]
pub struct Called {
    /// What the answer names it by.
    pub id: Value,
    /// In which words it is answered.
    pub edition: Edition,
    /// What is asked for.
    pub asked: Result<Asked, RpcError>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(default)]
    id: Value,
    method: String,
    #[serde(default, borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Sent {
    #[serde(deserialize_with = "object::deserialize")]
    message: Said,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

/// A message, as it came.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    #[serde(default)]
    parts: Vec<Part>,
    #[serde(default)]
    task_id: Option<String>,
    #[serde(default)]
    context_id: Option<String>,
    #[serde(default, deserialize_with = "object::optional")]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    model: Option<String>,
    #[serde(default, rename = "x402.payment.status")]
    status: Option<String>,
    #[serde(default, rename = "x402.payment.payload")]
    payload: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versioned {
    x402_version: u64,
}

impl Called {
    /// Reads a body. A message that names no model asks the `first`. Whoever pays sends the body of the request back in one of at most
    /// `body_limit` bytes.
    pub fn read(first: Option<&str>, body_limit: usize, bytes: &[u8]) -> Self {
        let refused = |code, error: serde_json::Error| Self {
            id: Value::Null,
            edition: Edition::One,
            asked: Err(RpcError::new(code, error.to_string())),
        };
        let Call { id, method, params } = match serde_json::from_slice::<Object<Call<'_>>>(bytes) {
            Ok(Object(call)) => call,
            Err(error) if error.is_syntax() || error.is_eof() => return refused(-32700, error),
            Err(error) => return refused(-32600, error),
        };
        let edition = if method.contains('/') { Edition::Before } else { Edition::One };
        Self { id, edition, asked: asked(first, body_limit, &method, params) }
    }
}

fn asked(
    first: Option<&str>,
    body_limit: usize,
    method: &str,
    params: Option<&RawValue>,
) -> Result<Asked, RpcError> {
    let task = || TaskId::read(&params_of::<Named>(params)?.id).ok_or_else(RpcError::not_found);
    match method {
        "SendMessage" | "message/send" => said(first, body_limit, params_of::<Sent>(params)?.message),
        "GetTask" | "tasks/get" => Ok(Asked::Get(task()?)),
        "CancelTask" | "tasks/cancel" => Ok(Asked::Cancel(task()?)),
        "ListTasks" | "tasks/list" => Ok(Asked::List),
        "SendStreamingMessage" | "message/stream" | "SubscribeToTask" | "tasks/resubscribe" => {
            Err(RpcError::new(
                -32004,
                "no streams are spoken here: call SendMessage, and GetTask while it is working",
            ))
        }
        "GetExtendedAgentCard" | "agent/getAuthenticatedExtendedCard" => {
            Err(RpcError::new(-32004, "there is one card, /.well-known/agent-card.json"))
        }
        _ if method.contains("PushNotificationConfig") || method.contains("pushNotificationConfig") => {
            Err(RpcError::new(-32003, "no push notifications are sent: call GetTask while a task is working"))
        }
        _ => Err(RpcError::new(-32601, "SendMessage, GetTask, CancelTask and ListTasks are answered here")),
    }
}

fn params_of<'a, T: Deserialize<'a>>(params: Option<&'a RawValue>) -> Result<T, RpcError> {
    let params = params.ok_or_else(|| RpcError::invalid("params is needed"))?;
    let read = serde_json::from_str::<Object<T>>(params.get());
    read.map(|Object(read)| read).map_err(|error| RpcError::invalid(format!("params: {error}")))
}

fn said(first: Option<&str>, body_limit: usize, said: Said) -> Result<Asked, RpcError> {
    let Said { parts, task_id, context_id, metadata } = said;
    // An empty name is none, as in Protocol Buffers.
    let [task_id, context] = [task_id, context_id].map(|name| name.filter(|name| !name.is_empty()));
    let metadata = metadata.unwrap_or_default();
    match (metadata.status.as_deref(), task_id) {
        (None, None) => {
            if context.as_ref().is_some_and(|context| context.len() > LONGEST_CONTEXT) {
                let detail = format!("message.contextId has at most {LONGEST_CONTEXT} bytes");
                return Err(RpcError::invalid(detail));
            }
            Ok(Asked::New { context, body: request(first, body_limit, &parts, metadata.model.as_deref())? })
        }
        (None, Some(_)) => Err(RpcError::new(
            -32004,
            "a task takes a payment, with x402.payment.status \"payment-submitted\", and nothing else: what else is said is a message without \
             taskId",
        )),
        (Some("payment-submitted"), task) => {
            let task = task.ok_or_else(|| RpcError::invalid("message.taskId names what is paid for"))?;
            let task = TaskId::read(&task)
                .ok_or_else(|| RpcError::invalid("message.taskId is the id of a task that was given here"))?;
            if context.is_some_and(|context| context != task.context()) {
                return Err(RpcError::invalid("message.contextId is not that of the task"));
            }
            let payload =
                metadata.payload.ok_or_else(|| RpcError::invalid("x402.payment.payload is needed"))?;
            let version = serde_json::from_str::<Object<Versioned>>(payload.get());
            let name = match version.map(|Object(version)| version.x402_version) {
                Ok(2) => "payment-signature",
                Ok(1) => "x-payment",
                _ => return Err(RpcError::invalid("x402.payment.payload has x402Version 1 or 2")),
            };
            let value = HeaderValue::from_str(&STANDARD.encode(payload.get()));
            let value = value.map_err(|error| RpcError::invalid(error.to_string()))?;
            Ok(Asked::Paid { task, shown: (name, value) })
        }
        (Some(other), _) => Err(RpcError::invalid(format!(
            "x402.payment.status is \"payment-submitted\" here, not {other:?}"
        ))),
    }
}

/// The body of a request that says what a message says: of the model that it names, or the first.
fn request(
    first: Option<&str>,
    body_limit: usize,
    parts: &[Part],
    named: Option<&str>,
) -> Result<String, RpcError> {
    let texts: Option<Vec<_>> = parts.iter().map(|part| part.text.as_deref()).collect();
    let texts = texts.filter(|texts| !texts.is_empty());
    let nothing = || RpcError::invalid("message.parts have a text each: nothing else is read here");
    let prompt = texts.ok_or_else(nothing)?.join("\n");
    let body = json!({ "model": named.or(first), "prompt": prompt }).to_string();
    // Whoever pays sends it back in the task's id, together with the payment, in a body of the same limit.
    let room = body_limit - BESIDE_ID.min(body_limit / 2);
    if base64::encoded_len(body.len() + BESIDE_BODY, false).is_none_or(|id| id > room) {
        let most = (room / 4 * 3).saturating_sub(BESIDE_BODY);
        let detail = format!("message.parts are too long: at most {most} bytes of JSON are read here");
        return Err(RpcError::invalid(detail));
    }
    Ok(body)
}
