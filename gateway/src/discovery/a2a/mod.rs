//! `POST /a2a`: agents speak to a model by A2A's JSON-RPC and pay with its x402 extension, in the forms of A2A 1.0 and of 0.3.
//!
//! Each message is one request of `POST /v1/inference`, which is asked as any client asks it: what is offered, paid, settled and answered is
//! decided there. A task's id is the request, and whoever pays sends the id back. How a task stands is found by showing its payment again.

mod asked;
mod task;
mod task_id;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, Uri, header};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use salt402_http::{no_store, problem_response, read_json};
use salt402_protocol::Code;
use serde_json::{Map, Value, json};

use crate::agent_tasks::Shown;
use crate::gateway::{Gateway, Inner};
use crate::routing::asked as inference;
use task::{Stands, Told, written};

pub use asked::{Asked, Called, Edition, RpcError};
pub use task_id::TaskId;

/// Where it is asked.
pub(super) const PATH: &str = "/a2a";
/// The extension by which agents are paid with x402.
pub(super) const X402_EXTENSION: &str =
    "https://github.com/google-agentic-commerce/a2a-x402/blob/main/spec/v0.2";
/// What the extension's address has in each of its versions.
const EXTENSION_NAME: &str = "a2a-x402";
/// What is asked of a model.
const INFERENCE: &str = "/v1/inference";
/// The longest answer that is put into a task, in bytes.
const LONGEST: usize = 16 * 1024 * 1024;

/// Whether agents can be answered and paid here.
pub(super) fn is_spoken(gateway: &Inner) -> bool {
    gateway.paywall.signed.is_some()
        && gateway.paywall.dialects.x402
        && gateway.catalogue.of_texts().next().is_some()
}

/// A message to a model, paid for with A2A's x402 extension
#[utoipa::path(post, path = "/a2a", tag = "discovery",
    request_body(content = serde_json::Value, description = "`SendMessage`, `GetTask`, `CancelTask` or `ListTasks` of A2A 1.0, or `message/send`, \
        `tasks/get` or `tasks/cancel` of 0.3, as JSON-RPC 2.0."),
    responses((status = 200, description = "A task: what is to be paid for it, or its answer.", body = serde_json::Value)))]
pub(super) async fn speak(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let copy = of_same_client(&parts);
    let supported = is_supported(&parts.headers);
    let declares = declares_extension(&parts.headers);
    let read = read_json(Request::from_parts(parts, body), gateway.0.body_limit).await;
    let body = match read {
        Ok(read) => read,
        Err(fault) => return problem_response(&fault.0),
    };
    let first = gateway.0.catalogue.of_texts().next().map(|(name, _)| name.as_str());
    let Called { id, edition, asked } = Called::read(first, gateway.0.body_limit, &body.bytes);
    drop(body);
    let answered = match supported.and(asked) {
        Ok(Asked::New { .. }) if edition == Edition::One && !declares => Err(RpcError::new(
            -32008,
            format!(
                "each message is paid for by an extension: send the header A2A-Extensions: {X402_EXTENSION}"
            ),
        )),
        Ok(asked) => answered(&gateway, edition, asked, copy).await,
        Err(error) => Err(error),
    };
    answer(&id, answered)
}

async fn answered(
    gateway: &Gateway,
    edition: Edition,
    asked: Asked,
    copy: Request,
) -> Result<Value, RpcError> {
    let tasks = &gateway.0.agent_tasks;
    match asked {
        Asked::New { context, body } => sent(gateway, edition, TaskId::new(context, body), None, copy).await,
        Asked::Paid { task, shown } => sent(gateway, edition, task, Some(shown), copy).await,
        Asked::Get(task) => {
            let shown = tasks.shown(&task.text()).ok_or_else(RpcError::not_found)?;
            told(gateway, &task, shown, copy).await.map(|told| written(edition, &task, told))
        }
        Asked::Cancel(task) => {
            tasks.shown(&task.text()).ok_or_else(RpcError::not_found)?;
            let message =
                "no task is canceled: one that is not paid costs nothing, and one that is paid is answered";
            Err(RpcError::new(-32002, message))
        }
        // Nobody is known here by a name, so there is nobody whose tasks these are.
        Asked::List => Ok(json!({ "tasks": [], "nextPageToken": "", "pageSize": 0, "totalSize": 0 })),
    }
}

/// What `SendMessage` is answered.
async fn sent(
    gateway: &Gateway,
    edition: Edition,
    task: TaskId,
    shown: Option<Shown>,
    copy: Request,
) -> Result<Value, RpcError> {
    let told = told(gateway, &task, shown, copy).await?;
    let task = written(edition, &task, told);
    Ok(match edition {
        Edition::One => json!({ "task": task }),
        Edition::Before => task,
    })
}

fn answer(id: &Value, answered: Result<Value, RpcError>) -> Response<Body> {
    let answered = match answered {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(RpcError { code, message }) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
        }
    };
    let mut response = axum::Json(answered).into_response();
    no_store(response.headers_mut());
    response.headers_mut().insert("a2a-extensions", HeaderValue::from_static(X402_EXTENSION));
    response
}

/// Whether the version of A2A that a request names is spoken here. One that names none is of 0.3.
fn is_supported(headers: &HeaderMap) -> Result<(), RpcError> {
    let named = headers.get("a2a-version").map(|value| value.to_str().unwrap_or_default().trim());
    match named {
        Some(named) if !named.is_empty() && named != "1" && named != "0.3" && !named.starts_with("1.") => {
            let message = format!("A2A {named:?} is not spoken here: 1.0 and 0.3 are");
            Err(RpcError::new(-32009, message))
        }
        _ => Ok(()),
    }
}

/// Whether a request says that its agent can pay by the extension.
fn declares_extension(headers: &HeaderMap) -> bool {
    ["a2a-extensions", "x-a2a-extensions"].iter().any(|name| {
        headers
            .get_all(*name)
            .iter()
            .any(|value| value.to_str().is_ok_and(|all| all.contains(EXTENSION_NAME)))
    })
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

/// Asks for a task, with what is shown to pay for it, and says how it stands.
async fn told(
    gateway: &Gateway,
    task: &TaskId,
    shown: Option<Shown>,
    mut request: Request,
) -> Result<Told, RpcError> {
    // Whoever asks for the task from now on shows the payment too, and is not told to pay.
    gateway.0.agent_tasks.told(&task.text(), shown.as_ref());
    *request.uri_mut() = Uri::from_static(INFERENCE);
    if let Some((name, value)) = shown.clone() {
        request.headers_mut().insert(name, value);
    }
    *request.body_mut() = Body::from(task.body.clone());
    let (head, body) = inference::infer(State(gateway.clone()), request).await.into_parts();
    let body = axum::body::to_bytes(body, LONGEST).await.map_err(|error| {
        RpcError::new(-32603, format!("the answer broke off: {error}; send the same message again"))
    })?;
    let opened = |name: &str| {
        let value = head.headers.get(name)?.to_str().ok()?;
        serde_json::from_slice::<Value>(&STANDARD.decode(value).ok()?).ok()
    };
    let mut payment = Map::new();
    let stands = if head.status.is_success() {
        let receipt = opened("payment-response").or_else(|| opened("x-payment-response"));
        payment.insert("x402.payment.status".into(), "payment-completed".into());
        payment.insert("x402.payment.receipts".into(), receipt.into_iter().collect());
        Stands::Completed
    } else if let Some(required) = opened("payment-required") {
        payment.insert("x402.payment.status".into(), "payment-required".into());
        payment.insert("x402.payment.required".into(), required);
        if let Some(shown) = &shown {
            gateway.0.agent_tasks.is_unpaid(&task.text(), shown);
        }
        Stands::InputRequired
    } else if shown.is_some() && head.headers.contains_key(header::RETRY_AFTER) {
        // The payment stays good: of a failed task an agent would pay another.
        payment.insert("x402.payment.status".into(), "payment-submitted".into());
        Stands::Working
    } else {
        if shown.is_some() {
            let code = member(&body, &["code"]);
            let was_paid = [Code::NotServed, Code::OutcomeGone].iter().any(|paid| code == paid.as_str());
            let status = if was_paid { "payment-completed" } else { "payment-failed" };
            payment.insert("x402.payment.status".into(), status.into());
            payment.insert("x402.payment.error".into(), code);
        }
        Stands::Failed
    };
    let text = member(&body, &["output", "detail"]).as_str().unwrap_or_default().to_owned();
    Ok(Told { stands, text, payment })
}

/// The first member of an answer that is there: its output, or why there is none.
fn member(body: &Bytes, names: &[&str]) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    names.iter().map(|name| body[*name].clone()).find(|value| !value.is_null()).unwrap_or_default()
}
