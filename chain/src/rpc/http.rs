//! JSON-RPC over HTTP: single requests and batches, with limits on time and size.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::error::NodeError;
use crate::node::Work;
use crate::profile::Profile;
use crate::rpc::answers::{Answer, Answers, Envelope, cut};
use crate::rpc::budget::Budget;
use crate::rpc::endpoint::{Endpoint, is_loopback, shown};
use crate::rpc::error_body::RpcError;
use crate::rpc::error_text::FailedRequest;
use crate::rpc::learned_limit::LearnedLimit;
use crate::rpc::meter::Meter;
use crate::rpc::questions::Question;
use crate::rpc::too_long::TooLong;
use crate::rpc::{answers, error_body, error_text};

/// The HTTP client of one node, for one kind of work. Clones share one budget.
#[derive(Clone)]
pub(crate) struct Http {
    pub(crate) client: Client,
    pub(crate) timeout: Duration,
    /// The node's address in errors.
    pub(crate) node: String,
    url: Url,
    pub(crate) max_answer_bytes: usize,
    longest_rest: Duration,
    secrets: Arc<[String]>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) meter: Meter,
    /// The costs by method. Empty if all methods cost the same.
    costs: Arc<BTreeMap<String, u64>>,
    pub(crate) batches: Arc<LearnedLimit>,
    /// The most contracts in one log query.
    pub(crate) addresses: Arc<LearnedLimit>,
    pub(crate) work: Work,
    /// The requests whose answers were recently too long.
    pub(crate) too_long: Arc<TooLong>,
}

impl Http {
    /// Opens no connection; the first request does.
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
            // A redirect would turn the request into a GET and send the API keys elsewhere.
            .redirect(redirect::Policy::none())
            // A WebSocket needs an HTTP/1.1 request, but other crates of the build may enable HTTP/2.
            .http1_only()
            .tcp_nodelay(true);
        if is_loopback(&endpoint.http) && endpoint.ws.as_ref().is_none_or(is_loopback) {
            builder = builder.no_proxy();
        }
        let plain =
            endpoint.http.scheme() == "http" && endpoint.ws.as_ref().is_none_or(|ws| ws.scheme() == "ws");
        if plain {
            // HTTP needs no root certificates, and a small container may have none.
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
            batches: Arc::new(LearnedLimit::new(profile.max_batch)),
            addresses: Arc::new(LearnedLimit::new(profile.max_addresses)),
            work: Work::Head,
            too_long: Arc::default(),
        })
    }

    /// Sends one request. A `null` result is parsed like any other, so use an `Option` if it has a meaning.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, question: &Question) -> Result<T, NodeError> {
        self.afford(std::slice::from_ref(question)).await?;
        let asked = Instant::now();
        let answer = self.ask_now(question).await;
        self.note(asked, answer.as_ref().err());
        answer
    }

    async fn ask_now<T: DeserializeOwned>(&self, question: &Question) -> Result<T, NodeError> {
        let asked = FailedRequest::one(question.method);
        let body = self.post(asked, &question.body(1)).await?;
        let envelope = match error_body::in_list(&body) {
            Some(error) => return Err(self.meaning(asked, error)),
            None => Envelope::read(&body)?,
        };
        envelope.expect_id(1)?;
        let result = envelope.open(asked, |asked, error| self.meaning(asked, error))?;
        answers::read(question.method, result)
    }

    /// Sends several calls in one batch, so that one node answers all.
    ///
    /// # Errors [`NodeError::BatchTooLarge`] if the node takes fewer. Without sending, if that is already known.
    pub(crate) async fn ask_together(&self, questions: &[Question]) -> Result<Answers, NodeError> {
        // A pair is always tried, because a block's header and logs must come together.
        let most = self.batches.most().max(2);
        if questions.len() > most {
            return Err(NodeError::BatchTooLarge { asked: questions.len(), limit: Some(most) });
        }
        self.afford(questions).await?;
        let asked = Instant::now();
        let answers = self.ask_together_now(questions).await;
        self.note(asked, answers.as_ref().err());
        answers
    }

    /// Sends calls that different nodes may answer, in as few batches as the node accepts.
    pub(crate) async fn ask_in_pieces(&self, questions: &[Question]) -> Result<Vec<Answers>, NodeError> {
        let (mut rest, mut pieces) = (questions, Vec::new());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.batches.most().min(rest.len()));
            match self.ask_together(now).await {
                // The limit was learned from the refusal, so the next batch is smaller.
                Err(NodeError::BatchTooLarge { .. }) if now.len() > 1 => {}
                piece => {
                    pieces.push(piece?);
                    rest = later;
                }
            }
        }
        Ok(pieces)
    }

    async fn ask_together_now(&self, questions: &[Question]) -> Result<Answers, NodeError> {
        let methods: Vec<_> = questions.iter().map(|question| question.method).collect();
        let asked =
            FailedRequest { method: methods.last().copied().unwrap_or_default(), together: methods.len() };
        // A node without batches may accept a single request.
        if let [question] = questions {
            let body = [b"[", self.post(asked, &question.body(1)).await?.as_slice(), b"]"].concat();
            return Ok(Answers::new(body, methods));
        }
        let batch = questions.iter().enumerate().map(|(place, question)| question.body(place + 1)).collect();
        let body = self.post(asked, &Value::Array(batch)).await?;
        // A refused batch is a single error, a list with one error, or the same error for every call.
        match error_body::whole(&body).map(|error| self.meaning(asked, error)) {
            None => Ok(Answers::new(body, methods)),
            // Calls revert, and no request does: all of them did, for the same reason.
            Some(error) if error.is_revert() => Ok(Answers::new(body, methods)),
            Some(error) => Err(error),
        }
    }

    /// Waits until the budget has the units for these calls.
    async fn afford(&self, questions: &[Question]) -> Result<(), NodeError> {
        let cost = |question: &Question| self.costs.get(question.method).copied().unwrap_or(1);
        let taken = self.budget.take(self.work, questions.iter().map(cost).sum()).await;
        self.meter.budget(self.budget.left());
        taken
    }

    fn note(&self, asked: Instant, error: Option<&NodeError>) {
        self.meter.request(asked.elapsed(), error.map_or("ok", NodeError::outcome));
    }

    async fn post(&self, asked: FailedRequest<'_>, question: &Value) -> Result<Vec<u8>, NodeError> {
        let request = self.client.post(self.url.clone()).timeout(self.timeout);
        let request = request.header(CONTENT_TYPE, "application/json").body(question.to_string());
        let mut response = request.send().await.map_err(|error| self.failed(&error))?;
        let status = response.status().as_u16();
        let retry_after = rest(&response).map(|time| time.min(self.longest_rest));
        let body = self.body(&mut response).await?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        // Nodes send JSON-RPC errors with any HTTP status. An error about the request is used whatever the status;
        // otherwise the status decides.
        let said = error_body::under_a_status(&body).map(|error| self.meaning(asked, error));
        match (status, said) {
            (
                _,
                Some(
                    error @ (NodeError::RangeTooLarge { .. }
                    | NodeError::BatchTooLarge { .. }
                    | NodeError::TooManyAddresses { .. }
                    | NodeError::AnswerRefused { .. }),
                ),
            ) => Err(error),
            (429, _) => Err(self.refused(retry_after)),
            (_, Some(NodeError::RateLimited { .. })) => Err(self.refused(retry_after)),
            (503, _) if retry_after.is_some() => Err(self.refused(retry_after)),
            // A gateway sends 413 for an answer that it refuses to forward.
            (413, None) => Err(NodeError::AnswerRefused { message: format!("HTTP status {status}") }),
            (401 | 403, _) => Err(NodeError::Denied { node: self.node.clone(), status }),
            (_, Some(error)) if error_body::whole(&body).is_some() => Err(error),
            _ => Err(NodeError::Status { node: self.node.clone(), status }),
        }
    }

    /// Interprets an error of a query that named several contracts. If these are too many, or lists are not understood,
    /// later queries name fewer.
    pub(crate) fn named_too_many(&self, error: NodeError, named: usize) -> NodeError {
        let limit = match error {
            // A single contract cannot be too many, so the answer is too long.
            NodeError::TooManyAddresses { .. } if named <= 1 => {
                return NodeError::RangeTooLarge { blocks: 0, limit: None };
            }
            NodeError::TooManyAddresses { limit, .. } => limit,
            NodeError::Rpc { code: -32602 | -32600, .. } if named > 1 => None,
            other => return other,
        };
        self.addresses.refused(named, limit);
        NodeError::TooManyAddresses { asked: named, limit }
    }

    /// The answers to a batch, in the order of the calls.
    pub(crate) fn open<'a>(&self, answers: &'a Answers) -> Result<Vec<Answer<'a>>, NodeError> {
        answers.open(|asked, error| self.meaning(asked, error))
    }

    /// Interprets an error and records the limits that it names.
    fn meaning(&self, asked: FailedRequest<'_>, error: RpcError) -> NodeError {
        let error = error_text::meaning(asked, error.code, self.clean(&error.message));
        match &error {
            NodeError::RateLimited { retry_after: None } => self.budget.refused(None),
            NodeError::BatchTooLarge { asked, limit } => self.batches.refused(*asked, *limit),
            _ => {}
        }
        error
    }

    fn refused(&self, retry_after: Option<Duration>) -> NodeError {
        self.budget.refused(retry_after);
        NodeError::RateLimited { retry_after }
    }

    async fn body(&self, response: &mut Response) -> Result<Vec<u8>, NodeError> {
        let limit = self.max_answer_bytes;
        let length = response.content_length();
        let too_long = || NodeError::AnswerTooLong { limit, announced: length };
        let announced = usize::try_from(length.unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_long());
        }
        let mut body = Vec::with_capacity(announced);
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(&error))? {
            if chunk.len() > limit - body.len() {
                return Err(too_long());
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

    /// A node's text without our secrets, as one line of limited length.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &*self.secrets {
            text = text.replace(secret, "…");
        }
        cut(&text)
    }
}

fn rest(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The innermost cause. The outer ones only repeat that a request failed, with its URL.
fn deepest(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(|error| error.source()) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}
