//! Whether a model or a service is sold. It is not sold before its server has answered once, nor while the server keeps
//! failing.
//!
//! A client that is told a price may pay it. If the server is gone, has another key or does not know the model, the
//! client gets nothing for it. Paid requests are run all the same, and from time to time the gateway asks a small
//! question of its own. After the first answer the model is sold again. If a server refuses the gateway's own question
//! for good, it would refuse every request.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use futures::FutureExt as _;
use salt402_protocol::{Code, Problem};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::catalogue::{Catalogue, Model};
use crate::measured::{Expected, Measured};
use crate::upstream::Upstream;
use crate::upstream::failure::{Failure, FailureClass, UpstreamError};
use crate::upstream::payload::Payload;
use crate::upstream::transport::Transport;

/// After how many failures in a row a model is no longer sold.
const FAILURES: u32 = 3;
/// The first and the longest pause before a failed server is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long after the start the gateway is not ready because a server has not answered yet. After that, only its own
/// model is not sold.
const FIRST: Duration = Duration::from_secs(2);
/// When to ask for the model again, in milliseconds.
const RETRY_MS: u64 = 5_000;

/// What is sold of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sold {
    Model,
    Service,
}

impl Sold {
    /// The word for it, which is also the label of its metrics.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Service => "service",
        }
    }
}

/// What is asked to know whether a server answers.
pub(crate) enum Asked {
    /// A model's server: a cheap question by an API, and the tokens to ask for if a server refuses to write a single
    /// one, as some do.
    Model { upstream: Arc<Upstream>, api: Api, default_tokens: u32 },
    /// A service's server, with `GET` for a path.
    Service { transport: Transport, path: String },
}

/// Servers, as their last answers show them. Clones share one state.
#[derive(Clone)]
pub(crate) struct Circuits {
    sold: Sold,
    servers: Arc<BTreeMap<String, Arc<Circuit>>>,
    begun: Instant,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Circuit {
    sold: Sold,
    name: String,
    asked: Asked,
    // A std mutex, because nothing is awaited while it is held.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether it ever answered or failed.
    tried: bool,
    /// How many failures there were since its last answer.
    failures: u32,
    /// Whether a task is asking it.
    probing: bool,
    /// What paid requests showed of it.
    measured: Measured,
}

impl Circuits {
    /// All models, before any of them was asked.
    pub(crate) fn new(catalogue: &Catalogue) -> Self {
        let asked = |model: &Model| Asked::Model {
            upstream: Arc::clone(&model.upstream),
            api: model.main_api(),
            default_tokens: model.default_tokens,
        };
        Self::of(Sold::Model, catalogue.0.iter().map(|(name, model)| (name.clone(), asked(model))))
    }

    /// These servers, before any of them was asked.
    pub(crate) fn of(sold: Sold, servers: impl Iterator<Item = (String, Asked)>) -> Self {
        let circuit = |(name, asked): (String, Asked)| {
            (name.clone(), Arc::new(Circuit { sold, name, asked, state: Mutex::default() }))
        };
        let (servers, begun) = (Arc::new(servers.map(circuit).collect()), Instant::now());
        Self { sold, servers, begun, tasks: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// The label of what is measured of a server.
    pub(crate) fn label(&self, name: &str) -> [(&'static str, String); 1] {
        [(self.sold.word(), name.to_owned())]
    }

    /// What went wrong, in words for a payer.
    pub(crate) fn words(&self, error: &UpstreamError) -> String {
        match self.sold {
            Sold::Model => error.to_string(),
            Sold::Service => error.of_service(),
        }
    }

    /// Asks each server for the first time.
    pub(crate) fn begin(&self) {
        for circuit in self.servers.values() {
            self.probe(circuit, Duration::ZERO);
        }
    }

    /// Stops asking.
    pub(crate) async fn finish(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Notes the result of a run. A fault of the request is no failure of the server. But every request may have that
    /// fault, which the gateway's own question shows.
    pub(crate) fn note<T>(&self, model: &str, answer: Result<T, &UpstreamError>) {
        let Some(circuit) = self.servers.get(model) else { return };
        if circuit.note(answer.map(drop), false) {
            self.probe(circuit, PAUSES.0);
        }
    }

    /// Notes how long a server took to answer a paid request, or that it failed one.
    pub(crate) fn measure(&self, model: &str, answered: Option<Duration>) {
        let Some(circuit) = self.servers.get(model) else { return };
        let (now, mut state) = (Instant::now(), circuit.lock());
        match answered {
            Some(took) => state.measured.answered(took, now),
            None => state.measured.failed(now),
        }
    }

    /// What is to be expected of a server, by what was measured.
    pub(crate) fn expected(&self, model: &str) -> Expected {
        let circuit = self.servers.get(model);
        circuit.map(|circuit| circuit.lock().measured.expected(Instant::now())).unwrap_or_default()
    }

    /// Whether a server answers our own question now.
    pub(crate) async fn answers(&self, model: &str) -> bool {
        let Some(circuit) = self.servers.get(model) else { return false };
        let answered = circuit.ask().await;
        circuit.note(answered.as_ref().copied(), true);
        answered.is_ok()
    }

    /// Why one is not sold now. `None` if it is.
    pub(crate) fn unsold(&self, model: &str) -> Option<Problem> {
        let why = self.servers.get(model)?.complaint()?;
        let detail = format!(
            "{why}, so nothing is sold of it: ask again later; whoever has paid does not pay again, and shows the same proof \
             again"
        );
        let code = match self.sold {
            Sold::Model => Code::ModelUnavailable,
            Sold::Service => Code::ServiceUnavailable,
        };
        Some(Problem::new(code, detail).retry_after(RETRY_MS))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Why nothing can be sold: every server fails, or one has not answered yet shortly after the start.
    pub(crate) fn ready(&self) -> Result<(), String> {
        let untried =
            self.begun.elapsed() < FIRST && self.servers.values().any(|circuit| !circuit.lock().tried);
        let complaints: Vec<_> = self.servers.values().filter_map(|circuit| circuit.complaint()).collect();
        let all = complaints.len() == self.servers.len();
        if untried || (all && !complaints.is_empty()) { Err(complaints.join("; ")) } else { Ok(()) }
    }

    /// Asks a server until it answers, unless that is done already.
    fn probe(&self, circuit: &Arc<Circuit>, first: Duration) {
        if std::mem::replace(&mut circuit.lock().probing, true) {
            return;
        }
        let (circuit, stop) = (Arc::clone(circuit), self.stop.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = circuit.ask_until_it_answers(first, || circuit.ask()) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

impl Circuit {
    /// A panic counts as a failure, because nobody else would ask again.
    async fn ask_until_it_answers<F>(&self, first: Duration, ask: impl Fn() -> F)
    where
        F: Future<Output = Result<(), UpstreamError>>,
    {
        let mut pause = first;
        loop {
            tokio::time::sleep(pause).await;
            // A run may have been answered meanwhile.
            if self.is_done() {
                return;
            }
            let answered = AssertUnwindSafe(ask()).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!(sold = self.sold.word(), name = self.name, "asking its server panicked");
                Err(Failure::Unreadable.into())
            });
            self.note(answered.as_ref().copied(), true);
            if self.is_done() {
                return;
            }
            pause = (pause * 2).clamp(PAUSES.0, PAUSES.1);
        }
    }

    /// Our own question.
    async fn ask(&self) -> Result<(), UpstreamError> {
        match &self.asked {
            Asked::Model { upstream, api, default_tokens } => match upstream.probe(*api, 1).await {
                Err(error) if error.class() == FailureClass::Permanent => {
                    upstream.probe(*api, *default_tokens).await
                }
                answered => answered,
            },
            Asked::Service { transport, path } => {
                // It was checked to be a path.
                let request = Request::get(path.as_str()).body(Payload::Whole(Bytes::new()));
                let request = request.map_err(|_| Failure::Refused(400))?;
                let status = transport.send(request).await?.status();
                let works = !status.is_server_error() && !status.is_informational();
                if works { Ok(()) } else { Err(Failure::Failed(status.as_u16()).into()) }
            }
        }
    }

    /// Whether it answers; then nobody asks it any more.
    fn is_done(&self) -> bool {
        let mut state = self.lock();
        let answers = state.tried && state.failures == 0;
        state.probing &= !answers;
        answers
    }

    /// Whether the server must be asked, because it did not answer. A permanent refusal counts only if the question is
    /// the gateway's own.
    fn note(&self, answer: Result<(), &UpstreamError>, own: bool) -> bool {
        let failed = answer.err().filter(|error| own || error.class() != FailureClass::Permanent);
        let mut state = self.lock();
        let was = state.is_sold();
        state.failures = match (&failed, state.tried) {
            // Not certain, so it counts as one failure at most.
            (None, _) if answer.is_err() => state.failures.max(1),
            (None, _) => 0,
            // Nobody was answered yet, so nothing speaks for the server.
            (Some(_), false) => FAILURES,
            (Some(_), true) => state.failures.saturating_add(1),
        };
        state.tried |= failed.is_some() || answer.is_ok();
        let is = state.is_sold();
        drop(state);
        if let (Some(error), true) = (failed, was || !is) {
            tracing::warn!(kind = self.sold.word(), name = self.name, %error, sold = is, "its server fails");
        }
        if !was && is {
            tracing::info!(kind = self.sold.word(), name = self.name, "its server answers, and it is sold");
        }
        let name = self.name.clone();
        let gauge = match self.sold {
            Sold::Model => metrics::gauge!("salt402_gateway_model_sold", "model" => name),
            Sold::Service => metrics::gauge!("salt402_gateway_service_sold", "service" => name),
        };
        gauge.set(if is { 1.0 } else { 0.0 });
        answer.is_err()
    }

    fn complaint(&self) -> Option<String> {
        let (state, name, kind) = (self.lock(), &self.name, self.sold.word());
        if state.is_sold() {
            None
        } else if state.tried {
            Some(format!("the server of the {kind} {name} keeps failing"))
        } else {
            Some(format!("the server of the {kind} {name} was not heard of yet"))
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn is_sold(&self) -> bool {
        self.tried && self.failures < FAILURES
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::routing::post;
    use axum::{Json, Router};
    use salt402_protocol::{Amount, U256};
    use serde_json::json;

    use super::*;
    use crate::api::Server;
    use crate::pricing::Price;
    use crate::upstream::ServerOptions;

    fn circuits() -> Circuits {
        of(Upstream::Demo)
    }

    /// A server with one model, which is asked for two tokens if a request does not say.
    fn of(upstream: Upstream) -> Circuits {
        let one = Amount(U256::from(1));
        let model = Model {
            description: String::new(),
            price: Price { per_request: one, ..Price::default() },
            by_use: false,
            continuous_usage: true,
            adjustments: [].into(),
            rate: None,
            image_size: None,
            default_tokens: 2,
            max_tokens: 2,
            max_prompt_bytes: 1,
            template_tokens: 1,
            message_tokens: 1,
            tools_tokens: 1,
            server: Server::Any,
            apis: [Api::Chat].into(),
            endpoint: None,
            upstream: Arc::new(upstream),
        };
        Circuits::new(&Catalogue([("one".to_owned(), model)].into_iter().collect()))
    }

    #[tokio::test]
    async fn c18_a_model_is_sold_once_its_server_answered_and_until_it_keeps_failing() {
        let circuits = circuits();
        assert!(circuits.unsold("one").unwrap().detail.contains("not heard of yet"));
        assert!(circuits.ready().is_err());
        circuits.note("one", Ok(()));
        assert!(circuits.unsold("one").is_none() && circuits.ready().is_ok());
        // Nobody asks the server meanwhile. Only what is noted here counts.
        circuits.servers["one"].lock().probing = true;
        for failures in 1..=FAILURES + 1 {
            circuits.note("one", Err::<(), _>(&Failure::Failed(500).into()));
            assert_eq!(circuits.unsold("one").is_some(), failures >= FAILURES, "{failures}");
        }
        let problem = circuits.unsold("one").unwrap();
        assert_eq!((problem.code, problem.status), (Code::ModelUnavailable, 503));
        assert!(problem.detail.contains("keeps failing") && problem.retry_after_ms.is_some());
        assert!(circuits.ready().unwrap_err().contains("one"));
        circuits.note("one", Ok(()));
        assert!(circuits.unsold("one").is_none() && circuits.ready().is_ok());
    }

    #[tokio::test]
    async fn c18_what_is_wrong_with_a_request_is_not_its_servers_failure() {
        let circuits = circuits();
        circuits.note("one", Ok(()));
        for _ in 0..2 * FAILURES {
            circuits.note("one", Err::<(), _>(&Failure::Refused(400).into()));
        }
        assert!(circuits.unsold("one").is_none());
        // It does not show either that the server answers others.
        circuits.servers["one"].lock().probing = true;
        for _ in 0..FAILURES {
            circuits.note("one", Err::<(), _>(&Failure::Failed(500).into()));
        }
        circuits.note("one", Err::<(), _>(&Failure::Refused(400).into()));
        assert!(circuits.unsold("one").is_some());
    }

    /// A server that always refuses to write fewer tokens than this.
    async fn choosy(least: u64) -> Upstream {
        let complete = async move |Json(ask): Json<serde_json::Value>| {
            let answer = json!({ "choices": [{ "message": { "content": "pong" } }] });
            if ask["max_tokens"].as_u64() < Some(least) {
                Err(StatusCode::BAD_REQUEST)
            } else {
                Ok(Json(answer))
            }
        };
        let router = Router::new().route("/v1/chat/completions", post(complete));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Upstream::openai(ServerOptions {
            base: url,
            model: "one".into(),
            key: None,
            timeout: Duration::from_secs(10),
            pause: Duration::from_secs(10),
            at_once: 0,
            queue: 0,
        })
        .unwrap()
    }

    #[tokio::test]
    async fn c18_a_model_whose_server_refuses_our_own_question_for_good_is_not_sold() {
        for (least, sold) in [(1, true), (2, true), (3, false)] {
            let circuits = of(choosy(least).await);
            circuits.begin();
            while !circuits.servers["one"].lock().tried {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(circuits.unsold("one").is_none(), sold, "at least {least}");
            // The refusal of somebody's request neither starts nor stops the sale.
            circuits.note("one", Err::<(), _>(&Failure::Refused(400).into()));
            assert_eq!(circuits.unsold("one").is_none(), sold, "at least {least}");
            circuits.finish().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn c18_a_server_that_failed_is_asked_until_it_answers_and_then_no_more() {
        let circuits = circuits();
        circuits.begin();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(circuits.unsold("one").is_none(), "the first question is asked at once");
        for _ in 0..FAILURES {
            circuits.note("one", Err::<(), _>(&Failure::Unreachable.into()));
        }
        assert!(circuits.unsold("one").is_some());
        tokio::time::sleep(PAUSES.0 * 2).await;
        assert!(circuits.unsold("one").is_none());
        assert!(!circuits.servers["one"].lock().probing);
        circuits.finish().await;
    }

    /// Otherwise it would never be tried, because nobody else asks.
    #[tokio::test(start_paused = true)]
    async fn a_question_that_panics_is_a_failure_and_is_asked_again() {
        let circuits = circuits();
        let circuit = &circuits.servers["one"];
        let asked = std::sync::atomic::AtomicU32::new(0);
        circuit
            .ask_until_it_answers(Duration::ZERO, || async {
                assert!(asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0, "a bug");
                assert!(circuits.unsold("one").unwrap().detail.contains("keeps failing"));
                Ok(())
            })
            .await;
        assert!(circuits.unsold("one").is_none());
    }

    /// A server that never answers: its own model waits as long as that may take.
    #[tokio::test(start_paused = true)]
    async fn one_server_that_hangs_keeps_the_others_out_for_a_moment_only() {
        let circuits = circuits();
        let asked = Asked::Model { upstream: Arc::new(Upstream::Demo), api: Api::Chat, default_tokens: 1 };
        let hanging = Circuit { sold: Sold::Model, name: "two".into(), asked, state: Mutex::default() };
        let one = Arc::clone(&circuits.servers["one"]);
        let models = [("one".to_owned(), one), ("two".to_owned(), Arc::new(hanging))];
        let circuits = Circuits { servers: Arc::new(models.into_iter().collect()), ..circuits };
        assert!(circuits.ready().is_err(), "none was tried");
        circuits.note("one", Ok(()));
        assert!(circuits.ready().is_err(), "one moment more");
        tokio::time::advance(FIRST).await;
        assert_eq!(circuits.ready(), Ok(()));
        assert!(circuits.unsold("two").unwrap().detail.contains("not heard of yet"));
        assert!(circuits.unsold("one").is_none());
    }
}
