//! What the tests of this crate stand on: a real anvil, and a node that says whatever a test wants it to say.

#![allow(dead_code, unreachable_pub, missing_docs)] // Each test binary uses its own part.

pub mod shown;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, address, b256};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use salt402_chain::{Endpoint, LogQuery, Profile, ProfileOverrides, RpcNode, Url};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The contract whose logs are asked for.
pub const CONTRACT: Address = address!("0x5a17402000000000000000000000000000000001");
/// The first topic of its events.
pub const TOPIC: B256 = b256!("0x5a17402000000000000000000000000000000000000000000000000000000002");
/// The first account of every development node.
pub const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

pub static QUERY: LazyLock<LogQuery> = LazyLock::new(|| LogQuery::new(CONTRACT, vec![TOPIC]));

pub fn profile(name: &str, change: impl FnOnce(&mut ProfileOverrides)) -> Profile {
    let mut overrides = ProfileOverrides::default();
    change(&mut overrides);
    Profile::named(name).unwrap().apply(overrides).unwrap()
}

/// A node at an address, with a short timeout.
pub fn node_at(url: &str, profile: Profile) -> RpcNode {
    let mut endpoint =
        Endpoint::new(url.parse().unwrap()).with_ws(url.replacen("http", "ws", 1).parse().unwrap());
    endpoint.timeout = Duration::from_secs(5);
    RpcNode::connect(endpoint, profile).unwrap()
}

/// An anvil of the tests' own, on a port of its own choice. It ends when this is dropped.
pub struct Anvil {
    pub url: String,
    process: Child,
}

impl Anvil {
    pub async fn start() -> Self {
        Self::start_on(0).await
    }

    pub async fn start_on(port: u16) -> Self {
        Self::start_with(port, &[]).await
    }

    pub async fn start_with(port: u16, more: &[&str]) -> Self {
        let binary = binary();
        assert!(binary.is_file(), "there is no anvil at {}: run make setup", binary.display());
        let mut process = Command::new(&binary)
            .args(["--chain-id", "40204", "--port", &port.to_string()])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start ({error}): run make setup", binary.display()));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().expect("anvil ended before it listened");
            if let Some(address) = line.strip_prefix("Listening on ") {
                break address.to_owned();
            }
        };
        // Whoever stops reading a pipe stops its writer.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { url: format!("http://{address}"), process }
    }

    pub fn node(&self) -> RpcNode {
        node_at(&self.url, Profile::named("local").unwrap())
    }

    /// Calls a method that only a development node has.
    pub async fn dev(&self, method: &str, params: Value) -> Value {
        let question = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = reqwest::Client::builder().no_proxy().build().unwrap().post(&self.url).json(&question);
        let answer: Value = answer.send().await.unwrap().json().await.unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Ends anvil, as a crash would.
    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }
}

fn binary() -> PathBuf {
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let package = format!("../node_modules/@foundry-rs/anvil-{system}-{machine}/bin/anvil");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(package)
}

/// What a fake node answers to one method: a result, or an error object.
pub type Answer = Result<Value, Value>;

/// A JSON-RPC server that answers as a test tells it to.
pub struct FakeNode {
    pub url: String,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    server: tokio::task::JoinHandle<()>,
}

impl FakeNode {
    /// One that speaks proper JSON-RPC, alone and in batches; what it says is up to `answer`.
    pub async fn start(answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let one = move |question: &Value| {
            let (method, params) = (question["method"].as_str().unwrap(), &question["params"]);
            seen.lock().unwrap().push((method.to_owned(), params.clone()));
            match answer(method, params) {
                Ok(result) => json!({ "jsonrpc": "2.0", "id": question["id"], "result": result }),
                Err(error) => json!({ "jsonrpc": "2.0", "id": question["id"], "error": error }),
            }
        };
        let respond = move |_: HeaderMap, body: Bytes| {
            let answer = match serde_json::from_slice(&body).unwrap() {
                // Backwards, because the order of a batch's answers means nothing.
                Value::Array(batch) => batch.iter().map(&one).rev().collect(),
                single => one(&single),
            };
            answer.to_string().into_response()
        };
        Self::serve(asked, respond).await
    }

    /// One that answers with these very bytes.
    pub async fn raw(status: u16, headers: &'static [(&'static str, &'static str)], body: &str) -> Self {
        let body = body.to_owned();
        let respond = move |_: HeaderMap, _: Bytes| {
            let mut response = (StatusCode::from_u16(status).unwrap(), body.clone()).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            response
        };
        Self::serve(Arc::default(), respond).await
    }

    pub async fn serve(
        asked: Arc<Mutex<Vec<(String, Value)>>>,
        respond: impl Fn(HeaderMap, Bytes) -> Response + Send + Sync + 'static,
    ) -> Self {
        let respond = Arc::new(respond);
        let handler = move |headers: HeaderMap, body: Bytes| {
            let respond = Arc::clone(&respond);
            async move { respond(headers, body) }
        };
        let app = Router::new().route("/", post(handler.clone())).route("/{*path}", post(handler));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, asked, server }
    }

    pub fn node(&self, profile: Profile) -> RpcNode {
        node_at(&self.url, profile)
    }

    /// What was asked, with its parameters, in order.
    pub fn questions(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }

    /// The methods that were asked, in order.
    pub fn methods(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(method, _)| method.clone()).collect()
    }

    /// The parameters of the last question with this method.
    pub fn params(&self, method: &str) -> Value {
        let asked = self.asked.lock().unwrap();
        asked.iter().rev().find(|(asked, _)| asked == method).expect("it was asked").1.clone()
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A hash that is easy to recognize: one byte over and over.
pub fn hash(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

pub fn url(text: &str) -> Url {
    text.parse().unwrap()
}
