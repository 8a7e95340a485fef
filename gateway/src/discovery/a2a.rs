//! `POST /a2a`: agents speak to a model by A2A's JSON-RPC and pay with its x402 extension, in the forms of A2A 1.0 and of 0.3.
//!
//! Each message is one request of `POST /v1/inference`, which is asked as any client asks it: what is offered, paid, settled and answered is
//! decided there. Nothing is kept of a task: its id is the request, and whoever pays sends the id back.

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, header};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use salt402_http::{no_store, problem_response, read_json};
use salt402_protocol::Code;
use salt402_protocol::object::{self, Object};
use salt402_protocol::x402::required::LONGEST_SIGNED;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::gateway::{Gateway, Inner};
use crate::routing::asked;

/// Where it is asked.
pub(super) const PATH: &str = "/a2a";
/// The extension by which agents are paid with x402.
pub(super) const X402_EXTENSION: &str =
    "https://github.com/google-agentic-commerce/a2a-x402/blob/main/spec/v0.2";
/// What is asked of a model.
const INFERENCE: &str = "/v1/inference";
/// The most bytes that a message with a payment has besides the task's id: the signed payment as JSON, and what stands around it.
const BESIDE_ID: usize = LONGEST_SIGNED / 4 * 3 + 4096;
/// The longest answer that is put into a task, in bytes.
const LONGEST: usize = 16 * 1024 * 1024;

/// Whether agents can be answered and paid here.
pub(super) fn is_spoken(gateway: &Inner) -> bool {
    gateway.paywall.signed.is_some()
        && gateway.paywall.dialects.x402
        && gateway.catalogue.of_texts().next().is_some()
}

/// In which words of A2A somebody speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edition {
    /// 1.0.
    One,
    /// 0.3 and before.
    Before,
}

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    InputRequired,
    Working,
    Completed,
    Failed,
}

impl Edition {
    const fn state(self, state: Stands) -> &'static str {
        match (self, state) {
            (Self::One, Stands::InputRequired) => "TASK_STATE_INPUT_REQUIRED",
            (Self::One, Stands::Working) => "TASK_STATE_WORKING",
            (Self::One, Stands::Completed) => "TASK_STATE_COMPLETED",
            (Self::One, Stands::Failed) => "TASK_STATE_FAILED",
            (Self::Before, Stands::InputRequired) => "input-required",
            (Self::Before, Stands::Working) => "working",
            (Self::Before, Stands::Completed) => "completed",
            (Self::Before, Stands::Failed) => "failed",
        }
    }

    fn text(self, text: &str) -> Value {
        match self {
            Self::One => json!({ "text": text }),
            Self::Before => json!({ "kind": "text", "text": text }),
        }
    }
}

/// An error of JSON-RPC.
struct RpcError {
    code: i32,
    message: String,
}

fn invalid(message: impl Into<String>) -> RpcError {
    RpcError { code: -32602, message: message.into() }
}

/// What is called.
#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    id: Value,
    method: String,
    #[serde(default, deserialize_with = "object::optional")]
    params: Option<Params>,
}

#[derive(Deserialize)]
struct Params {
    #[serde(deserialize_with = "object::deserialize")]
    message: Said,
}

/// A message, as it came.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    #[serde(default)]
    parts: Vec<Part>,
    #[serde(default)]
    task_id: Option<String>,
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

/// A message to a model, paid for with A2A's x402 extension
#[utoipa::path(post, path = "/a2a", tag = "discovery",
    request_body(content = serde_json::Value, description = "`SendMessage` or `message/send`, as JSON-RPC 2.0."),
    responses((status = 200, description = "A task: what is to be paid for it, or its answer.", body = serde_json::Value)))]
pub(super) async fn speak(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let copy = of_same_client(&parts);
    let read = read_json(Request::from_parts(parts, body), gateway.0.body_limit).await;
    let body = match read {
        Ok(read) => read,
        Err(fault) => return problem_response(&fault.0),
    };
    let called = match serde_json::from_slice::<Object<Call>>(&body.bytes) {
        Ok(Object(called)) => called,
        Err(error) => {
            return answer(&Value::Null, Err(RpcError { code: -32600, message: error.to_string() }));
        }
    };
    drop(body);
    let Call { id, method, params } = called;
    let edition = match method.as_str() {
        "SendMessage" => Edition::One,
        "message/send" => Edition::Before,
        _ => {
            let message = "SendMessage and message/send are answered here".to_owned();
            return answer(&id, Err(RpcError { code: -32601, message }));
        }
    };
    let message = params.ok_or_else(|| invalid("params.message is needed"));
    let task = match message.and_then(|params| Message::read(&gateway.0, params.message)) {
        Ok(message) => message.task(&gateway, edition, copy).await,
        Err(error) => Err(error),
    };
    answer(&id, task)
}

fn answer(id: &Value, task: Result<Value, RpcError>) -> Response<Body> {
    let answered = match task {
        Ok(task) => json!({ "jsonrpc": "2.0", "id": id, "result": task }),
        Err(RpcError { code, message }) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
        }
    };
    let mut response = axum::Json(answered).into_response();
    no_store(response.headers_mut());
    response.headers_mut().insert("a2a-extensions", HeaderValue::from_static(X402_EXTENSION));
    response
}

/// A request of the same client, with nothing of what it sent but the host that it named.
fn of_same_client(parts: &Parts) -> Request {
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = Method::POST;
    *copy.extensions_mut() = parts.extensions.clone();
    if let Some(host) = parts.headers.get(header::HOST) {
        copy.headers_mut().insert(header::HOST, host.clone());
    }
    copy.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    copy
}

/// What an agent says.
struct Message {
    /// The body of the request.
    body: String,
    /// The header that shows a payment, if one is shown.
    shown: Option<(&'static str, HeaderValue)>,
}

impl Message {
    fn read(gateway: &Inner, said: Said) -> Result<Self, RpcError> {
        let Said { parts, task_id, metadata } = said;
        let metadata = metadata.unwrap_or_default();
        match metadata.status.as_deref() {
            None => Ok(Self { body: request(gateway, &parts, metadata.model.as_deref())?, shown: None }),
            Some("payment-submitted") => {
                let task = task_id.ok_or_else(|| invalid("message.taskId names what is paid for"))?;
                let body = URL_SAFE_NO_PAD.decode(task).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                let body =
                    body.ok_or_else(|| invalid("message.taskId is the id of a task that was given here"))?;
                let payload = metadata.payload.ok_or_else(|| invalid("x402.payment.payload is needed"))?;
                let version = serde_json::from_str::<Object<Versioned>>(payload.get());
                let name = match version.map(|Object(version)| version.x402_version) {
                    Ok(2) => "payment-signature",
                    Ok(1) => "x-payment",
                    _ => return Err(invalid("x402.payment.payload has x402Version 1 or 2")),
                };
                let value = HeaderValue::from_str(&STANDARD.encode(payload.get()));
                let value = value.map_err(|error| invalid(error.to_string()))?;
                Ok(Self { body, shown: Some((name, value)) })
            }
            Some(other) => {
                Err(invalid(format!("x402.payment.status is \"payment-submitted\" here, not {other:?}")))
            }
        }
    }

    /// Asks for it, and says how it stands.
    async fn task(
        self,
        gateway: &Gateway,
        edition: Edition,
        mut request: Request,
    ) -> Result<Value, RpcError> {
        let id = URL_SAFE_NO_PAD.encode(&self.body);
        let is_shown = self.shown.is_some();
        *request.uri_mut() = axum::http::Uri::from_static(INFERENCE);
        if let Some((name, value)) = self.shown {
            request.headers_mut().insert(name, value);
        }
        *request.body_mut() = Body::from(self.body);
        let (head, body) = asked::infer(State(gateway.clone()), request).await.into_parts();
        let body = axum::body::to_bytes(body, LONGEST).await.map_err(|error| RpcError {
            code: -32603,
            message: format!("the answer broke off: {error}; send the same message again"),
        })?;
        let text = said(&body);
        let opened = |name: &str| {
            let value = head.headers.get(name)?.to_str().ok()?;
            serde_json::from_slice::<Value>(&STANDARD.decode(value).ok()?).ok()
        };
        let mut payment = Map::new();
        let mut artifacts = None;
        let state = if head.status.is_success() {
            let receipt = opened("payment-response").or_else(|| opened("x-payment-response"));
            payment.insert("x402.payment.status".into(), "payment-completed".into());
            payment.insert("x402.payment.receipts".into(), receipt.into_iter().collect());
            artifacts = Some(json!([{ "artifactId": "answer", "parts": [edition.text(&text)] }]));
            Stands::Completed
        } else if let Some(required) = opened("payment-required") {
            payment.insert("x402.payment.status".into(), "payment-required".into());
            payment.insert("x402.payment.required".into(), required);
            Stands::InputRequired
        } else if is_shown && head.headers.contains_key(header::RETRY_AFTER) {
            // The payment stays good: of a failed task an agent would pay another.
            payment.insert("x402.payment.status".into(), "payment-submitted".into());
            Stands::Working
        } else {
            if is_shown {
                let code = code(&body);
                let was_paid = [Code::NotServed, Code::OutcomeGone].iter().any(|paid| code == paid.as_str());
                let status = if was_paid { "payment-completed" } else { "payment-failed" };
                payment.insert("x402.payment.status".into(), status.into());
                payment.insert("x402.payment.error".into(), code);
            }
            Stands::Failed
        };
        Ok(task(edition, &id, state, (&text, payment), artifacts))
    }
}

fn task(
    edition: Edition,
    id: &str,
    state: Stands,
    (text, metadata): (&str, Map<String, Value>),
    artifacts: Option<Value>,
) -> Value {
    let of = |what: &str| {
        let digest = Sha256::digest([what.as_bytes(), id.as_bytes()].concat());
        URL_SAFE_NO_PAD.encode(&digest[..16])
    };
    let state = edition.state(state);
    let text = if artifacts.is_some() { "" } else { text };
    let mut message = json!({
        "messageId": of(state), "taskId": id, "contextId": of("context"), "metadata": metadata,
        "parts": [edition.text(text)],
    });
    let mut task = json!({ "id": id, "contextId": of("context") });
    if let Some(artifacts) = artifacts {
        task["artifacts"] = artifacts;
    }
    match edition {
        Edition::One => {
            message["role"] = "ROLE_AGENT".into();
            task["status"] = json!({ "state": state, "message": message });
            json!({ "task": task })
        }
        Edition::Before => {
            (message["role"], message["kind"], task["kind"]) =
                ("agent".into(), "message".into(), "task".into());
            task["status"] = json!({ "state": state, "message": message });
            task
        }
    }
}

/// The body of a request that says what a message says: of the model that it names, or the first.
fn request(gateway: &Inner, parts: &[Part], named: Option<&str>) -> Result<String, RpcError> {
    let texts: Option<Vec<_>> = parts.iter().map(|part| part.text.as_deref()).collect();
    let texts = texts.filter(|texts| !texts.is_empty());
    let prompt =
        texts.ok_or_else(|| invalid("message.parts have a text each: nothing else is read here"))?.join("\n");
    let first = || gateway.catalogue.of_texts().next().map(|(name, _)| name.as_str());
    let model = named.or_else(first);
    let body = json!({ "model": model, "prompt": prompt }).to_string();
    // Whoever pays sends it back as the task's id, together with the payment, in a body of the same limit.
    let room = gateway.body_limit - BESIDE_ID.min(gateway.body_limit / 2);
    if base64::encoded_len(body.len(), false).is_none_or(|id| id > room) {
        let most = room / 4 * 3;
        return Err(invalid(format!(
            "message.parts are too long: at most {most} bytes of JSON are read here"
        )));
    }
    Ok(body)
}

/// What an answer says: its output, or why there is none.
fn said(body: &Bytes) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    ["output", "detail"].iter().find_map(|name| body[name].as_str()).unwrap_or_default().to_owned()
}

fn code(body: &Bytes) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["code"].clone()
}
