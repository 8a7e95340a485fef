//! The WebSocket endpoint of the Citrate-like node: unusual headers, and log subscriptions that never notify.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::citrate::{Proxy, quantity, refusal, spoil_block};

/// How often anvil is polled for a new head.
const LOOK: Duration = Duration::from_millis(20);

/// Serves connections until it is aborted.
pub(crate) async fn serve(listener: TcpListener, proxy: Arc<Proxy>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&proxy)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, proxy: Arc<Proxy>) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    let mut heads = Heads { proxy, subscriptions: Vec::new(), made: 0, last: None };
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            message = socket.next() => {
                let Some(Ok(message)) = message else { return };
                let Message::Text(text) = message else { continue };
                let answer = match serde_json::from_str(&text) {
                    Ok(call) => heads.answer(call).await,
                    Err(_) => refusal(&Value::Null, -32700, "Parse error"),
                };
                if say(&mut socket, &answer).await.is_err() {
                    return;
                }
            }
            _ = look.tick(), if !heads.subscriptions.is_empty() => {
                for told in heads.news().await {
                    if say(&mut socket, &told).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

async fn say(
    socket: &mut WebSocketStream<TcpStream>,
    value: &Value,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    socket.send(Message::text(value.to_string())).await
}

/// The subscriptions of one connection.
struct Heads {
    proxy: Arc<Proxy>,
    /// The head subscriptions. Log subscriptions get an id but are not stored.
    subscriptions: Vec<String>,
    made: u64,
    /// The height and hash of the last notified head.
    last: Option<(u64, String)>,
}

impl Heads {
    async fn answer(&mut self, call: Value) -> Value {
        let result = match (call["method"].as_str(), call["params"][0].as_str()) {
            (Some("eth_subscribe"), Some(kind @ ("newHeads" | "logs"))) => {
                self.made += 1;
                let id = format!("{:#x}", self.made);
                if kind == "newHeads" {
                    self.last = self.head().await.map(|(number, hash, _)| (number, hash));
                    self.subscriptions.push(id.clone());
                } else {
                    self.proxy.subscribed_to_logs();
                }
                json!(id)
            }
            (Some("eth_subscribe"), _) => {
                return refusal(&call["id"], -32602, "Unsupported subscription type");
            }
            (Some("eth_unsubscribe"), Some(id)) => {
                self.subscriptions.retain(|known| known != id);
                json!(true)
            }
            _ => return self.proxy.one(call).await,
        };
        json!({ "jsonrpc": "2.0", "id": call["id"], "result": result })
    }

    /// The notifications for all heads since the last one.
    async fn news(&mut self) -> Vec<Value> {
        let Some((number, hash, newest)) = self.head().await else { return Vec::new() };
        let last = self.last.replace((number, hash.clone()));
        if last.as_ref().is_some_and(|(_, known)| *known == hash) {
            return Vec::new();
        }
        let mut headers = Vec::new();
        for between in last.map_or(number, |(at, _)| at + 1)..number {
            headers.extend(self.header(json!(format!("{between:#x}"))).await);
        }
        headers.push(newest);
        let mut told = Vec::new();
        for header in &headers {
            for subscription in &self.subscriptions {
                let params = json!({ "subscription": subscription, "result": header });
                told.push(json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": params }));
            }
        }
        self.proxy.told_heads(headers.len());
        told
    }

    async fn head(&self) -> Option<(u64, String, Value)> {
        let header = self.header(json!("latest")).await?;
        Some((quantity(&header["number"])?, header["hash"].as_str()?.to_owned(), header))
    }

    async fn header(&self, at: Value) -> Option<Value> {
        let ask =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": [at, false] });
        let mut block = self.proxy.try_forward(&ask).await?["result"].take();
        spoil_head(&mut block);
        block.is_object().then_some(block)
    }
}

/// A header as it is notified: no block content, no bloom, no gas, and a base fee of 7.
fn spoil_head(block: &mut Value) {
    spoil_block(block);
    let Some(header) = block.as_object_mut() else { return };
    for absent in ["transactions", "uncles", "withdrawals", "size", "totalDifficulty"] {
        header.remove(absent);
    }
    header.insert("baseFeePerGas".into(), json!("0x7"));
}
