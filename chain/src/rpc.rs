//! JSON-RPC over HTTP: one question or several at once, bounded in time and size.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, redirect};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use crate::budget::Budget;
use crate::either::ObjectOrList;
use crate::endpoint::{Endpoint, is_loopback, shown};
use crate::meter::Meter;
use crate::{NodeError, Profile, Work};

/// How much of a node's own words is kept.
const MESSAGE_CHARS: usize = 300;

/// One method with its parameters.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: &'static str,
    pub(crate) params: Value,
}

impl Question {
    pub(crate) fn new(method: &'static str, params: Value) -> Self {
        Self { method, params }
    }

    fn body(&self, id: usize) -> Value {
        json!({ "jsonrpc": "2.0", "id": id, "method": self.method, "params": self.params })
    }
}

/// The way to one node, for one kind of work. Clones are one way, with one budget.
#[derive(Clone)]
pub(crate) struct Http {
    pub(crate) client: Client,
    pub(crate) timeout: Duration,
    /// The node as errors name it.
    pub(crate) node: String,
    url: Url,
    pub(crate) max_answer_bytes: usize,
    longest_rest: Duration,
    secrets: Arc<[String]>,
    budget: Arc<Budget>,
    pub(crate) meter: Meter,
    /// Prices by method; none where all cost the same.
    costs: Arc<BTreeMap<String, u64>>,
    pub(crate) max_batch: usize,
    pub(crate) work: Work,
}

impl Http {
    /// Opens no connection: that is left to the first question.
    pub(crate) fn new(endpoint: &Endpoint, profile: &Profile) -> Result<Self, NodeError> {
        let bad = |what: String| NodeError::Endpoint { what };
        let mut headers = HeaderMap::new();
        if let Some(bearer) = &endpoint.bearer {
            let mut value = HeaderValue::from_str(&format!("Bearer {bearer}")).map_err(|_| {
                bad("its bearer token holds characters that no HTTP header may hold".to_owned())
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = Client::builder()
            .connect_timeout(endpoint.timeout)
            .default_headers(headers)
            // A redirect would turn the question into a GET, and carry the keys to wherever it points.
            .redirect(redirect::Policy::none())
            // A WebSocket starts as an HTTP/1.1 request, whatever other crates of the build would rather speak.
            .http1_only()
            .tcp_nodelay(true);
        if is_loopback(&endpoint.http) && endpoint.ws.as_ref().is_none_or(is_loopback) {
            builder = builder.no_proxy();
        }
        let plain =
            endpoint.http.scheme() == "http" && endpoint.ws.as_ref().is_none_or(|ws| ws.scheme() == "ws");
        if plain {
            // Nothing will be encrypted, so a machine without root certificates (a small container) is good enough.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| bad(deepest(&error)))?;
        let (allowed, priced) = endpoint.allowed(profile);
        let costs = if priced { profile.costs.clone() } else { BTreeMap::new() };
        Ok(Self {
            client,
            timeout: endpoint.timeout,
            node: shown(&endpoint.http),
            url: endpoint.http.clone(),
            max_answer_bytes: endpoint.max_answer_bytes,
            longest_rest: endpoint.longest_rest,
            secrets: endpoint.secrets().into(),
            budget: Arc::new(Budget::new(allowed, endpoint.longest_rest, Instant::now())),
            meter: Meter::new(profile, endpoint.label()),
            costs: Arc::new(costs),
            max_batch: profile.max_batch,
            work: Work::Head,
        })
    }

    /// Asks one question. A `null` answer is read like any other: ask for an `Option` where it means something.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, question: &Question) -> Result<T, NodeError> {
        self.afford(std::slice::from_ref(question)).await?;
        let asked = Instant::now();
        let answer = self.ask_now(question).await;
        self.note(asked, answer.as_ref().err());
        answer
    }

    async fn ask_now<T: DeserializeOwned>(&self, question: &Question) -> Result<T, NodeError> {
        let body = self.post(question.method, &question.body(1)).await?;
        let envelope = Envelope::read(&body)?;
        envelope.expect_id(1)?;
        read(question.method, envelope.open(question.method, self)?)
    }

    /// Asks several questions in one request, so that one node answers all of them.
    pub(crate) async fn ask_together(&self, questions: &[Question]) -> Result<Answers, NodeError> {
        if questions.len() > self.max_batch {
            let what = format!(
                "a batch of {} questions is more than max_batch = {}",
                questions.len(),
                self.max_batch
            );
            return Err(NodeError::Endpoint { what });
        }
        self.afford(questions).await?;
        let asked = Instant::now();
        let answers = self.ask_together_now(questions).await;
        self.note(asked, answers.as_ref().err());
        answers
    }

    async fn ask_together_now(&self, questions: &[Question]) -> Result<Answers, NodeError> {
        let batch = questions.iter().enumerate().map(|(place, question)| question.body(place + 1)).collect();
        let body = self.post("batch", &Value::Array(batch)).await?;
        let answers = Answers { body, methods: questions.iter().map(|question| question.method).collect() };
        // A batch that is refused whole comes as one error.
        if let Ok(refusal) = Envelope::read(&answers.body) {
            refusal.open(answers.methods.last().copied().unwrap_or_default(), self)?;
        }
        Ok(answers)
    }

    /// Waits until the budget has room for these questions.
    async fn afford(&self, questions: &[Question]) -> Result<(), NodeError> {
        let cost = |question: &Question| self.costs.get(question.method).copied().unwrap_or(1);
        let taken = self.budget.take(self.work, questions.iter().map(cost).sum()).await;
        self.meter.budget(self.budget.left());
        taken
    }

    fn note(&self, asked: Instant, error: Option<&NodeError>) {
        self.meter.request(asked.elapsed(), error.map_or("ok", NodeError::outcome));
    }

    async fn post(&self, method: &'static str, question: &Value) -> Result<Vec<u8>, NodeError> {
        let request = self.client.post(self.url.clone()).timeout(self.timeout);
        let request = request.header(CONTENT_TYPE, "application/json").body(question.to_string());
        let mut response = request.send().await.map_err(|error| self.failed(&error))?;
        let status = response.status().as_u16();
        let retry_after = rest(&response).map(|time| time.min(self.longest_rest));
        let body = self.body(&mut response).await?;
        match status {
            200..=299 => Ok(body),
            429 => Err(self.refused(retry_after)),
            503 if retry_after.is_some() => Err(self.refused(retry_after)),
            401 | 403 => Err(NodeError::Denied { node: self.node.clone(), status }),
            // Some nodes put an ordinary JSON-RPC error under a status of their choice.
            _ => match Envelope::read(&body).map(|envelope| envelope.error) {
                Ok(Some(error)) => Err(error.meaning(method, self)),
                _ => Err(NodeError::Status { node: self.node.clone(), status }),
            },
        }
    }

    fn refused(&self, retry_after: Option<Duration>) -> NodeError {
        self.budget.refused(retry_after);
        NodeError::RateLimited { retry_after }
    }

    async fn body(&self, response: &mut Response) -> Result<Vec<u8>, NodeError> {
        let limit = self.max_answer_bytes;
        let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(NodeError::AnswerTooLong { limit });
        }
        let mut body = Vec::with_capacity(announced);
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(&error))? {
            if chunk.len() > limit - body.len() {
                return Err(NodeError::AnswerTooLong { limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    pub(crate) fn failed(&self, error: &reqwest::Error) -> NodeError {
        if error.is_timeout() {
            return NodeError::Timeout { node: self.node.clone(), after: self.timeout };
        }
        NodeError::Unreachable { node: self.node.clone(), reason: self.clean(&deepest(error)) }
    }

    /// A foreign text as it may be shown: without our keys, in one line, of a readable length.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &*self.secrets {
            text = text.replace(secret, "…");
        }
        cut(&text)
    }
}

/// The answers to a batch, still as text.
pub(crate) struct Answers {
    body: Vec<u8>,
    methods: Vec<&'static str>,
}

impl Answers {
    /// The answers to two questions, an object and a list, in one pass over the text: that of a thousand logs is long.
    /// `None` where anything is unusual; [`Answers::open`] tells what it is.
    pub(crate) fn object_and_list<O: DeserializeOwned, L: DeserializeOwned>(&self) -> Option<(O, Vec<L>)> {
        let answers: [Usual<O, L>; 2] = serde_json::from_slice(&self.body).ok()?;
        let (mut object, mut list) = (None, None);
        for Usual { id, result, error } in answers {
            match (id, result, error) {
                (1, ObjectOrList::Object(read), None) => object = Some(read),
                (2, ObjectOrList::List(read), None) => list = Some(read),
                _ => return None,
            }
        }
        object.zip(list)
    }

    /// The answers in the order of the questions, each with the node's verdict on it.
    pub(crate) fn open<'a>(&'a self, http: &Http) -> Result<Vec<Answer<'a>>, NodeError> {
        let mut envelopes: Vec<Envelope<'a>> = parse(&self.body)?;
        let mut answers = Vec::with_capacity(self.methods.len());
        for (place, method) in self.methods.iter().enumerate() {
            // The order of a batch's answers is the node's to choose.
            let found = envelopes.iter().position(|envelope| envelope.has_id(place + 1));
            let envelope =
                found.map(|found| envelopes.swap_remove(found)).ok_or_else(|| NodeError::Malformed {
                    what: format!(
                        "{method} is missing from the answers to a batch; does the node allow batches?"
                    ),
                })?;
            answers.push(Answer { method, result: envelope.open(method, http) });
        }
        Ok(answers)
    }
}

/// A batch's answer as it usually is.
#[derive(Deserialize)]
#[serde(bound = "O: DeserializeOwned, L: DeserializeOwned")]
struct Usual<O, L> {
    id: u64,
    result: ObjectOrList<O, L>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

/// One answer of a batch.
#[derive(Clone)]
pub(crate) struct Answer<'a> {
    method: &'static str,
    result: Result<&'a RawValue, NodeError>,
}

impl Answer<'_> {
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<T, NodeError> {
        read(self.method, self.result?)
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    id: Value,
    // `null` is a result; only its absence is not.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcError>,
}

/// An error object, or whatever else a proxy puts in its place.
#[derive(Deserialize)]
#[serde(from = "Value")]
struct RpcError {
    code: i64,
    message: String,
}

impl From<Value> for RpcError {
    fn from(error: Value) -> Self {
        let message = error.get("message").unwrap_or(&error);
        Self {
            code: error.get("code").and_then(Value::as_i64).unwrap_or_default(),
            message: message.as_str().map_or_else(|| message.to_string(), str::to_owned),
        }
    }
}

impl<'a> Envelope<'a> {
    fn read(body: &'a [u8]) -> Result<Self, NodeError> {
        // Serde would read a batch as an envelope, its answers as the fields in order.
        if body.trim_ascii_start().first() == Some(&b'[') {
            return Err(NodeError::Malformed { what: "a batch came for a single question".to_owned() });
        }
        parse(body)
    }

    fn has_id(&self, id: usize) -> bool {
        self.id.as_u64() == u64::try_from(id).ok()
            || self.id.as_str().is_some_and(|text| text == id.to_string())
    }

    /// An answer under another id was meant for somebody else. An error may come before the node knew the id.
    fn expect_id(&self, id: usize) -> Result<(), NodeError> {
        if self.has_id(id) || self.error.is_some() {
            return Ok(());
        }
        Err(NodeError::Lied { what: "the answer to another question came".to_owned() })
    }

    fn open(self, method: &str, http: &Http) -> Result<&'a RawValue, NodeError> {
        match (self.error, self.result) {
            (Some(error), _) => Err(error.meaning(method, http)),
            (None, Some(result)) => Ok(result),
            (None, None) => {
                Err(NodeError::Malformed { what: format!("{method} has neither a result nor an error") })
            }
        }
    }
}

impl RpcError {
    fn meaning(self, method: &str, http: &Http) -> NodeError {
        let error = NodeError::from_rpc(method, self.code, http.clean(&self.message));
        if error == (NodeError::RateLimited { retry_after: None }) {
            http.budget.refused(None);
        }
        error
    }
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, NodeError> {
    serde_json::from_slice(body)
        .map_err(|error| NodeError::Malformed { what: cut(&format!("not JSON-RPC: {}", quiet(&error))) })
}

fn read<T: DeserializeOwned>(method: &str, result: &RawValue) -> Result<T, NodeError> {
    serde_json::from_str(result.get())
        .map_err(|error| NodeError::Malformed { what: cut(&format!("{method}: {}", quiet(&error))) })
}

/// Without what the node wrote: a gateway's answer may quote the address that it was asked at, and a key is in that.
fn quiet(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match (text.find('"'), text.rfind('"')) {
        (Some(first), Some(last)) if first < last => format!("{}\"…{}", &text[..=first], &text[last..]),
        _ => text,
    }
}

/// In one line, and not for ever.
fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_CHARS).collect()
}

fn rest(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The innermost cause: those around it repeat that a request failed, and name its URL.
fn deepest(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(|error| error.source()) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}
