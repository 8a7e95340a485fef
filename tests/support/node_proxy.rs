//! A node between an anvil and whoever asks it: counts what it is asked, and changes what it answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Changes the result of a method.
type Change = Arc<dyn Fn(&str, Value) -> Value + Send + Sync>;

/// What comes instead of an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An HTTP status and no JSON-RPC.
    Status(u16),
    /// A JSON-RPC error.
    Error(i64, String),
    /// Nothing, and the connection stays open.
    Silence,
    /// The connection is closed in the middle of the answer.
    Closed,
}

/// Which method fails, and how. Asked after the node did what it was asked: its answer is lost.
type Loss = Arc<dyn Fn(&str) -> Option<Fault> + Send + Sync>;

/// Which request fails, by its questions, and how.
type Doubt = Arc<dyn Fn(&[Value]) -> Option<Fault> + Send + Sync>;

/// A proxy before an anvil.
#[derive(Debug)]
pub struct NodeProxy {
    port: u16,
    proxy: Arc<Proxy>,
    task: JoinHandle<()>,
}

struct Proxy {
    anvil: String,
    client: reqwest::Client,
    /// Calls by method; each of a batch counts.
    asked: Mutex<BTreeMap<String, u64>>,
    /// Requests by method; each counts once for every method that is in it.
    requests: Mutex<BTreeMap<String, u64>>,
    /// `None` answers nothing at all.
    change: Mutex<Option<Change>>,
    /// What fails before the node is asked, and after.
    refused: Mutex<Option<Loss>>,
    lost: Mutex<Option<Loss>>,
    /// What fails by what exactly is asked, before the node is.
    questioned: Mutex<Option<Doubt>>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("anvil", &self.anvil).finish_non_exhaustive()
    }
}

impl NodeProxy {
    /// One that tells the truth, before the anvil at an address.
    pub async fn before(anvil: String) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let truth: Change = Arc::new(|_, result| result);
        let (asked, change) = (Mutex::default(), Mutex::new(Some(truth)));
        let (refused, lost, questioned) = (Mutex::default(), Mutex::default(), Mutex::default());
        let requests = Mutex::default();
        let proxy = Arc::new(Proxy { anvil, client, asked, requests, change, refused, lost, questioned });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&proxy));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("an address").port();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { port, proxy, task }
    }

    /// Its address.
    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How often a method was asked for.
    pub fn asked(&self, method: &str) -> u64 {
        self.proxy.asked.lock().expect("the counts").get(method).copied().unwrap_or(0)
    }

    /// How often each method was asked for.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.proxy.asked.lock().expect("the counts").clone()
    }

    /// How many requests each method was in.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.proxy.requests.lock().expect("the counts").clone()
    }

    /// From now on, requests with these questions do not reach the node.
    pub fn refuses_questions(&self, doubt: impl Fn(&[Value]) -> Option<Fault> + Send + Sync + 'static) {
        *self.proxy.questioned.lock().expect("the doubt") = Some(Arc::new(doubt));
    }

    /// From now on, it answers a method with what this makes of the truth.
    pub fn answers(&self, change: impl Fn(&str, Value) -> Value + Send + Sync + 'static) {
        *self.proxy.change.lock().expect("the change") = Some(Arc::new(change));
    }

    /// From now on, the node does what it is asked, and of these methods the answer is lost.
    pub fn loses(&self, loss: impl Fn(&str) -> Option<Fault> + Send + Sync + 'static) {
        *self.proxy.lost.lock().expect("the loss") = Some(Arc::new(loss));
    }

    /// From now on, the node is not asked for these methods.
    pub fn refuses(&self, loss: impl Fn(&str) -> Option<Fault> + Send + Sync + 'static) {
        *self.proxy.refused.lock().expect("the loss") = Some(Arc::new(loss));
    }

    /// From now on, it fails.
    pub fn fails(&self) {
        *self.proxy.change.lock().expect("the change") = None;
    }
}

impl Drop for NodeProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(proxy): State<Arc<Proxy>>, Json(question): Json<Value>) -> Response {
    let change = proxy.change.lock().expect("the change").clone();
    let questions = question.as_array().cloned().unwrap_or_else(|| vec![question.clone()]);
    let mut methods = BTreeMap::new();
    for one in &questions {
        let method = one["method"].as_str().unwrap_or_default().to_owned();
        *proxy.asked.lock().expect("the counts").entry(method.clone()).or_default() += 1;
        methods.insert(one["id"].to_string(), method);
    }
    let each: std::collections::BTreeSet<&String> = methods.values().collect();
    for method in each {
        *proxy.requests.lock().expect("the counts").entry(method.clone()).or_default() += 1;
    }
    let doubt = proxy.questioned.lock().expect("the doubt").clone();
    if let Some(fault) = doubt.and_then(|doubt| doubt(&questions)) {
        return spoiled(&fault, &question).await;
    }
    if let Some(fault) = fault(&proxy.refused, &methods) {
        return spoiled(&fault, &question).await;
    }
    let Some(change) = change else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let sent = proxy.client.post(&proxy.anvil).json(&question).send().await;
    let Ok(sent) = sent else { return StatusCode::BAD_GATEWAY.into_response() };
    let Ok(mut told) = sent.json::<Value>().await else { return StatusCode::BAD_GATEWAY.into_response() };
    if let Some(fault) = fault(&proxy.lost, &methods) {
        return spoiled(&fault, &question).await;
    }
    let spoil = |one: &mut Value| {
        let method = methods.get(&one["id"].to_string()).map(String::as_str).unwrap_or_default();
        if let Some(result) = one.get_mut("result") {
            *result = change(method, result.take());
        }
    };
    match told.as_array_mut() {
        Some(several) => several.iter_mut().for_each(spoil),
        None => spoil(&mut told),
    }
    Json(told).into_response()
}

fn fault(loss: &Mutex<Option<Loss>>, methods: &BTreeMap<String, String>) -> Option<Fault> {
    let loss = loss.lock().expect("the loss").clone()?;
    methods.values().find_map(|method| loss(method))
}

async fn spoiled(fault: &Fault, question: &Value) -> Response {
    match fault {
        Fault::Status(status) => StatusCode::from_u16(*status).expect("a status").into_response(),
        Fault::Error(code, message) => {
            let error = json!({ "code": code, "message": message });
            let told = |one: &Value| json!({ "jsonrpc": "2.0", "id": one["id"], "error": error });
            Json(question.as_array().map_or_else(|| told(question), |many| many.iter().map(told).collect()))
                .into_response()
        }
        Fault::Silence => std::future::pending().await,
        Fault::Closed => {
            let broken = futures::stream::once(async { Err::<String, _>(std::io::Error::other("closed")) });
            Response::new(axum::body::Body::from_stream(broken))
        }
    }
}
