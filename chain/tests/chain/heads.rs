//! Sockets that lag, flood, lie or die: a tick is a hint, and its end is always noticed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers may fail as loudly as tests.

use crate::common;

use std::time::Duration;

use common::profile;
use futures::{SinkExt, StreamExt};
use salt402_chain::{Endpoint, Node, NodeError, RpcNode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const PATIENCE: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<TcpStream>;

/// A WebSocket server that answers one subscription as told, and a node that subscribes to it.
async fn subscribed<F: Future<Output = ()> + Send>(
    serve: impl FnOnce(Socket, Value) -> F + Send + 'static,
) -> RpcNode {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let question: Value = match socket.next().await {
            Some(Ok(message)) => serde_json::from_str(message.to_text().unwrap()).unwrap(),
            _ => return,
        };
        assert_eq!(question["method"], "eth_subscribe");
        assert_eq!(question["params"], json!(["newHeads"]));
        serve(socket, question["id"].clone()).await;
    });
    node(&address.to_string(), Duration::from_secs(1))
}

fn node(address: &str, timeout: Duration) -> RpcNode {
    let mut endpoint = Endpoint::new(common::url(&format!("http://{address}")))
        .with_ws(common::url(&format!("ws://{address}/key/0123456789abcdef")));
    endpoint.timeout = timeout;
    RpcNode::connect(endpoint, profile("citrate", |_| {})).unwrap()
}

async fn say(socket: &mut Socket, message: Value) -> bool {
    socket.send(Message::text(message.to_string())).await.is_ok()
}

/// As Citrate's node sends it: a bloom of zeros, no gas, a base fee that is not one.
fn head(subscription: &str, number: u64) -> Value {
    json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": { "subscription": subscription, "result": {
        "number": format!("{number:#x}"), "hash": common::hash(number as u8), "logsBloom": format!("0x{}", "00".repeat(256)),
        "gasUsed": "0x0", "baseFeePerGas": "0x7", "size": "0x0", "totalDifficulty": "0x0",
    } } })
}

#[tokio::test]
async fn only_the_own_subscription_ticks() {
    let node = subscribed(|mut socket, id| async move {
        // A head of somebody else's may come before the answer.
        say(&mut socket, head("0x7", 1)).await;
        say(&mut socket, json!({ "jsonrpc": "2.0", "id": id, "result": "0x1" })).await;
        say(&mut socket, head("0x7", 2)).await;
        socket.send(Message::text("not json")).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        say(&mut socket, head("0x1", 3)).await;
        sleep(Duration::from_millis(100)).await;
        socket.close(None).await.unwrap();
    })
    .await;
    let heads = node.heads().await.unwrap().unwrap();
    assert_eq!(timeout(PATIENCE, heads.count()).await, Ok(1));
}

#[tokio::test]
async fn ticks_that_nobody_takes_do_not_pile_up() {
    let node = subscribed(|mut socket, id| async move {
        say(&mut socket, json!({ "jsonrpc": "2.0", "id": id, "result": "0x1" })).await;
        for number in 0..1000 {
            say(&mut socket, head("0x1", number)).await;
        }
        socket.close(None).await.unwrap();
    })
    .await;
    let heads = node.heads().await.unwrap().unwrap();
    sleep(Duration::from_millis(500)).await;
    assert_eq!(timeout(PATIENCE, heads.count()).await, Ok(1));
}

#[tokio::test]
async fn a_refused_subscription_is_an_error_with_the_nodes_words() {
    let node = subscribed(|mut socket, id| async move {
        let error = json!({ "code": -32601, "message": "no notifications here" });
        say(&mut socket, json!({ "jsonrpc": "2.0", "id": id, "error": error })).await;
    })
    .await;
    let error = node.heads().await.err().unwrap();
    assert!(
        matches!(&error, NodeError::Unsupported { message, .. } if message.contains("here")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_never_answers_the_subscription_is_left_after_its_time() {
    let node = subscribed(|socket, _| async move {
        sleep(PATIENCE).await;
        drop(socket);
    })
    .await;
    assert!(matches!(node.heads().await.err(), Some(NodeError::Timeout { .. })));
}

#[tokio::test]
async fn a_peer_that_vanishes_without_a_word_ends_the_ticks() {
    let node = subscribed(|mut socket, id| async move {
        say(&mut socket, json!({ "jsonrpc": "2.0", "id": id, "result": "0x1" })).await;
        // Alive as far as TCP knows, and deaf: pings are not even read.
        sleep(PATIENCE * 2).await;
        drop(socket);
    })
    .await;
    let mut heads = node.heads().await.unwrap().unwrap();
    assert_eq!(timeout(PATIENCE, heads.next()).await, Ok(None));
}

#[tokio::test]
async fn a_chain_that_stands_still_keeps_its_connection() {
    let node = subscribed(|mut socket, id| async move {
        say(&mut socket, json!({ "jsonrpc": "2.0", "id": id, "result": "0x1" })).await;
        // Reading answers pings.
        let _ = timeout(Duration::from_millis(3500), async { while socket.next().await.is_some() {} }).await;
        say(&mut socket, head("0x1", 1)).await;
        sleep(PATIENCE).await;
    })
    .await;
    let mut heads = node.heads().await.unwrap().unwrap();
    assert_eq!(timeout(PATIENCE, heads.next()).await, Ok(Some(())));
}

#[tokio::test]
async fn dropping_the_ticks_closes_the_socket() {
    let (closed, was_closed) = tokio::sync::oneshot::channel();
    let node = subscribed(|mut socket, id| async move {
        say(&mut socket, json!({ "jsonrpc": "2.0", "id": id, "result": "0x1" })).await;
        while let Some(Ok(_)) = socket.next().await {}
        let _ = closed.send(());
    })
    .await;
    drop(node.heads().await.unwrap().unwrap());
    timeout(PATIENCE, was_closed).await.expect("the socket stayed open").unwrap();
}

/// A server that answers the handshake with these bytes.
async fn handshake(answer: &'static str) -> NodeError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(answer.as_bytes()).await;
        sleep(PATIENCE).await;
    });
    let error = node(&address.to_string(), Duration::from_secs(1)).heads().await.err().unwrap();
    assert!(!error.to_string().contains("0123456789abcdef"), "{error} holds a key");
    error
}

#[tokio::test]
async fn a_handshake_that_goes_wrong_is_a_typed_error() {
    let denied = handshake("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
    assert!(matches!(denied, NodeError::Denied { status: 401, .. }), "{denied:?}");
    let plain = handshake("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert!(matches!(plain, NodeError::Status { status: 200, .. }), "{plain:?}");
    let forged = handshake(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n",
    )
    .await;
    assert!(matches!(forged, NodeError::Malformed { .. }), "{forged:?}");
    let silent = handshake("").await;
    assert!(matches!(silent, NodeError::Timeout { .. }), "{silent:?}");
}
