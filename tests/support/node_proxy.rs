//! A proxy in front of an anvil. It counts requests and can change answers.

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

/// A function that changes a method's result.
type Change = Arc<dyn Fn(&str, Value) -> Value + Send + Sync>;

/// A failure instead of an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An HTTP status without JSON-RPC.
    Status(u16),
    /// A JSON-RPC error.
    Error(i64, String),
    /// No answer, with the connection kept open.
    Silence,
    /// The connection is closed within the answer.
    Closed,
}

/// A function that decides by method which calls fail.
type MethodFault = Arc<dyn Fn(&str) -> Option<Fault> + Send + Sync>;

/// A function that decides by the calls which requests fail.
type RequestFault = Arc<dyn Fn(&[Value]) -> Option<Fault> + Send + Sync>;

/// A proxy in front of an anvil.
#[derive(Debug)]
pub struct NodeProxy {
    port: u16,
    proxy: Arc<Proxy>,
    task: JoinHandle<()>,
}

struct Proxy {
    anvil: String,
    client: reqwest::Client,
    /// The number of calls by method. Each call of a batch counts.
    asked: Mutex<BTreeMap<String, u64>>,
    /// The number of requests by method. Each method counts once per request.
    requests: Mutex<BTreeMap<String, u64>>,
    /// Changes answers. `None`: changes nothing.
    change: Mutex<Option<Change>>,
    /// The failures before the node gets the request, and after.
    faults_before: Mutex<Option<MethodFault>>,
    faults_after: Mutex<Option<MethodFault>>,
    /// Failures decided by the calls, before the node gets the request.
    request_faults: Mutex<Option<RequestFault>>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("anvil", &self.anvil).finish_non_exhaustive()
    }
}

impl NodeProxy {
    /// Starts a transparent proxy in front of an anvil.
    pub async fn before(anvil: String) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let truth: Change = Arc::new(|_, result| result);
        let (asked, change) = (Mutex::default(), Mutex::new(Some(truth)));
        let (faults_before, faults_after, request_faults) =
            (Mutex::default(), Mutex::default(), Mutex::default());
        let requests = Mutex::default();
        let proxy = Arc::new(Proxy {
            anvil,
            client,
            asked,
            requests,
            change,
            faults_before,
            faults_after,
            request_faults,
        });
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&proxy));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("an address").port();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { port, proxy, task }
    }

    /// The HTTP address.
    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How often a method was called.
    pub fn asked(&self, method: &str) -> u64 {
        self.proxy.asked.lock().expect("the counts").get(method).copied().unwrap_or(0)
    }

    /// How often each method was called.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.proxy.asked.lock().expect("the counts").clone()
    }

    /// The number of requests that contain each method.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.proxy.requests.lock().expect("the counts").clone()
    }

    /// From now on, matching requests do not reach the node.
    pub fn refuses_questions(&self, fault_of: impl Fn(&[Value]) -> Option<Fault> + Send + Sync + 'static) {
        *self.proxy.request_faults.lock().expect("the lock") = Some(Arc::new(fault_of));
    }

    /// From now on, results are changed.
    pub fn answers(&self, change: impl Fn(&str, Value) -> Value + Send + Sync + 'static) {
        *self.proxy.change.lock().expect("the change") = Some(Arc::new(change));
    }

    /// From now on, the node executes matching calls, but their answers are lost.
    pub fn loses(&self, fault_of: impl Fn(&str) -> Option<Fault> + Send + Sync + 'static) {
        *self.proxy.faults_after.lock().expect("the lock") = Some(Arc::new(fault_of));
    }

    /// From now on, matching calls do not reach the node.
    pub fn refuses(&self, fault_of: impl Fn(&str) -> Option<Fault> + Send + Sync + 'static) {
        *self.proxy.faults_before.lock().expect("the lock") = Some(Arc::new(fault_of));
    }

    /// From now on, every request fails.
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
    let fault_of = proxy.request_faults.lock().expect("the lock").clone();
    if let Some(fault) = fault_of.and_then(|fault_of| fault_of(&questions)) {
        return spoiled(&fault, &question).await;
    }
    if let Some(fault) = fault(&proxy.faults_before, &methods) {
        return spoiled(&fault, &question).await;
    }
    let Some(change) = change else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let sent = proxy.client.post(&proxy.anvil).json(&question).send().await;
    let Ok(sent) = sent else { return StatusCode::BAD_GATEWAY.into_response() };
    let Ok(mut told) = sent.json::<Value>().await else { return StatusCode::BAD_GATEWAY.into_response() };
    if let Some(fault) = fault(&proxy.faults_after, &methods) {
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

fn fault(fault_of: &Mutex<Option<MethodFault>>, methods: &BTreeMap<String, String>) -> Option<Fault> {
    let fault_of = fault_of.lock().expect("the lock").clone()?;
    methods.values().find_map(|method| fault_of(method))
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
