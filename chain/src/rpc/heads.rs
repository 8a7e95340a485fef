//! Notices of new heads over WebSocket.
//!
//! The connection is an upgrade of the same HTTP client as all requests, with the same TLS, proxies and credentials. A
//! broken connection is not renewed here, because the polling caller knows when to try again.

use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{SinkExt, StreamExt};
use reqwest::Upgraded;
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::error::NodeError;
use crate::rpc::endpoint::shown;
use crate::rpc::error_text;
use crate::rpc::error_text::FailedRequest;
use crate::rpc::http::Http;

/// The longest message. A header takes about two kilobytes.
const MAX_MESSAGE_BYTES: usize = 1 << 20;

type Socket = WebSocketStream<Upgraded>;

/// Connects and subscribes. One task reads the socket while the stream is held. Dropping the stream ends the task.
pub(crate) async fn subscribe(http: &Http, ws: &Url) -> Result<BoxStream<'static, ()>, NodeError> {
    let late = || NodeError::Timeout { node: shown(ws), after: http.timeout };
    let (socket, subscription) = timeout(http.timeout, async {
        let mut socket = connect(http, ws).await?;
        let subscription = new_heads(&mut socket, http, ws).await?;
        Ok::<_, NodeError>((socket, subscription))
    })
    .await
    .map_err(|_| late())??;
    // A capacity of one is enough: a second waiting notice adds nothing to the first.
    let (tick, ticks) = mpsc::channel(1);
    let task = AbortOnDropHandle::new(tokio::spawn(follow(socket, subscription, tick, http.timeout)));
    Ok(stream::unfold((ticks, task), |(mut ticks, task)| async {
        ticks.recv().await.map(|()| ((), (ticks, task)))
    })
    .boxed())
}

/// The opening handshake of RFC 6455.
async fn connect(http: &Http, ws: &Url) -> Result<Socket, NodeError> {
    let unreachable = |reason: String| NodeError::Unreachable { node: shown(ws), reason };
    let failed = |error: reqwest::Error| match http.failed(&error) {
        NodeError::Unreachable { reason, .. } => unreachable(reason),
        other => other,
    };
    let key = generate_key();
    let request = http
        .client
        .get(as_http(ws))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key);
    let response = request.send().await.map_err(failed)?;
    let status = response.status().as_u16();
    match status {
        101 => {}
        401 | 403 => return Err(NodeError::Denied { node: shown(ws), status }),
        429 => return Err(NodeError::RateLimited { retry_after: None }),
        _ => return Err(NodeError::Status { node: shown(ws), status }),
    }
    let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).and_then(|value| value.to_str().ok());
    if accepted != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(NodeError::Malformed {
            what: "the WebSocket handshake was answered with a wrong key".to_owned(),
        });
    }
    let upgraded = response.upgrade().await.map_err(failed)?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
}

/// Subscribes and returns the subscription's id.
async fn new_heads(socket: &mut Socket, http: &Http, ws: &Url) -> Result<Value, NodeError> {
    let broken = |reason: String| NodeError::Unreachable { node: shown(ws), reason: http.clean(&reason) };
    let question = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"] });
    socket.send(Message::text(question.to_string())).await.map_err(|error| broken(error.to_string()))?;
    while let Some(message) = socket.next().await {
        let message = message.map_err(|error| broken(error.to_string()))?;
        let Some(SocketMessage { error, result, params: None }) = read(&message) else { continue };
        if let Some(error) = error {
            let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
            let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
            return Err(error_text::meaning(FailedRequest::one("eth_subscribe"), code, http.clean(message)));
        }
        if let Some(id) = result.filter(|id| id.is_string() || id.is_u64()) {
            return Ok(id);
        }
    }
    Err(broken("the connection was closed before it was subscribed".to_owned()))
}

/// Sends a notice for each notification, until the socket ends, falls silent, or nobody listens.
///
/// After `silence` without a message it sends a ping, and after the same time again it gives up. Otherwise a vanished
/// peer would look like a chain without blocks.
async fn follow(mut socket: Socket, subscription: Value, tick: mpsc::Sender<()>, silence: Duration) {
    let mut asked = false;
    loop {
        let message = match timeout(silence, socket.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(_)) | None) => return,
            Err(_) if asked => return,
            Err(_) => {
                asked = true;
                if socket.send(Message::Ping(Vec::new().into())).await.is_err() {
                    return;
                }
                continue;
            }
        };
        asked = false;
        let is_head =
            read(&message).and_then(|spoken| spoken.params).is_some_and(|p| p.subscription == subscription);
        if is_head && matches!(tick.try_send(()), Err(mpsc::error::TrySendError::Closed(()))) {
            return;
        }
    }
}

/// A WebSocket message: an answer or a notification. Its header is not read.
#[derive(Deserialize)]
struct SocketMessage {
    error: Option<Value>,
    result: Option<Value>,
    params: Option<Notification>,
}

#[derive(Deserialize)]
struct Notification {
    subscription: Value,
}

fn read(message: &Message) -> Option<SocketMessage> {
    serde_json::from_str(message.to_text().ok()?).ok()
}

/// `ws` becomes `http` and `wss` becomes `https` for the upgrade.
fn as_http(ws: &Url) -> Url {
    let mut url = ws.clone();
    let scheme = if ws.scheme() == "wss" { "https" } else { "http" };
    // A change between these four schemes never fails.
    let _ = url.set_scheme(scheme);
    url
}
