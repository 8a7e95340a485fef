//! The routes of inference and of the APIs that are passed on: what is asked is a model's, or the best's of a route.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use salt402_paywall::Order;
use salt402_paywall::openapi::PaymentHeaders;
use salt402_protocol::object::Object;
use salt402_protocol::{Amount, Code, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::{self, Api, Passed};
use crate::catalogue::Catalogue;
use crate::dialect::Dialect;
use crate::execution::{Given, Purchase};
use crate::gateway::{Gateway, Inner};
use crate::inference::InferenceResponse;
use crate::inference_stream::Streamed;
use crate::meter::Meter;
use crate::model_route::Routes;
use crate::ordered::{charged_as, ordered};
use crate::paid::Sale;
use crate::passed::{dialect, reading};
use crate::priced_request::{InferenceRequest, PricedRequest};
use crate::reading::Reading;
use crate::routing::candidate::Run;
use crate::routing::routed::{Routed, Wanted};
use crate::serving::serve;

/// The header that names a session, which stays with the model that answered it.
const SESSION_HEADER: &str = "x-session-id";

/// What a client asks of a route.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoutedRequest {
    /// Which route; left out, the only one.
    #[serde(default)]
    model: Option<String>,
    /// What it is asked.
    prompt: String,
    /// How many tokens it may generate; left out, each model's default.
    #[serde(default)]
    max_tokens: Option<u32>,
    /// How freely it chooses, from 0 to 2; left out, the upstream's default.
    #[serde(default)]
    temperature: Option<f32>,
    /// A name for what belongs together, which stays with the model that answered it. The header `X-Session-Id` may say so instead.
    #[serde(default)]
    session: Option<String>,
}

/// What is asked of a model, or of a route.
pub(crate) enum Target<S, C> {
    Model(S),
    Route(Box<Routed<C>>),
}

impl<S: Sale, C: Run> Sale for Target<S, C> {
    fn unsold(&self, gateway: &Inner) -> Option<Problem> {
        match self {
            Self::Model(request) => request.unsold(gateway),
            Self::Route(routed) => routed.unsold(gateway),
        }
    }

    fn order(&self) -> &Order {
        match self {
            Self::Model(request) => request.order(),
            Self::Route(routed) => routed.order(),
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Model(request) => request.names(),
            Self::Route(routed) => routed.names(),
        }
    }

    fn meter(&self, ceiling: Amount) -> Meter {
        match self {
            Self::Model(request) => request.meter(ceiling),
            Self::Route(routed) => routed.meter(ceiling),
        }
    }

    fn begins(&self) -> Option<Amount> {
        match self {
            Self::Model(request) => request.begins(),
            Self::Route(routed) => routed.begins(),
        }
    }

    fn full(&self) -> Option<Problem> {
        match self {
            Self::Model(request) => request.full(),
            Self::Route(routed) => routed.full(),
        }
    }

    async fn outcome(self, gateway: &Inner, purchase: Purchase) -> Result<Given, Problem> {
        match self {
            Self::Model(request) => request.outcome(gateway, purchase).await,
            Self::Route(routed) => routed.outcome(gateway, purchase).await,
        }
    }
}

/// What a request of `POST /v1/inference` is for.
fn inference(
    request: InferenceRequest,
    routes: &Routes,
    catalogue: &Catalogue,
    wanted: Wanted,
    order: impl Fn(String, Amount) -> Order,
) -> Result<Reading<Target<PricedRequest, PricedRequest>>, Problem> {
    let Some(route) = routes.get(&request.model) else {
        let order = charged_as(catalogue, &request.model, order);
        return PricedRequest::priced(catalogue, request, order).map(|reading| reading.map(Target::Model));
    };
    let read = |candidate: &str| {
        let own = InferenceRequest { model: candidate.to_owned(), ..request.clone() };
        PricedRequest::priced(catalogue, own, charged_as(catalogue, candidate, &order))
    };
    let routed = Routed::understand(&request.model, route, wanted, read)?;
    Ok(routed.map(|routed| Target::Route(Box::new(routed))))
}

fn session(headers: &HeaderMap) -> Option<Vec<u8>> {
    headers.get(SESSION_HEADER).map(|value| value.as_bytes().to_vec())
}

/// An answer of a model, or of the best of a route, for a payment
#[utoipa::path(post, path = "/v1/inference", tag = "inference", request_body = InferenceRequest,
    params(PaymentHeaders),
    responses((status = 200, description = "The answer. The same request with the same proof and quote id gets it again; with the proof alone, a few times within a minute.",
        body = InferenceResponse<'_>,
        headers(
            ("X-Payment-Receipt" = String, description = "PaymentView as one line of JSON."),
            ("X-Salt402-Model" = String, description = "The model that answered, where a route was asked."),
            ("Server-Timing" = String, description = "What verification and the model took."),
            ("Cache-Control" = String, description = "`no-store, private`"),
            ("Vary" = String, description = "The payment headers.")))))]
pub(crate) async fn infer(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let wanted = Wanted { streamed: false, session: session(request.headers()) };
    let routes = gateway.0.routes.clone();
    let read = move |catalogue: &Catalogue, method, path, body: &[u8]| {
        let request = InferenceRequest::read(body)?;
        inference(request, &routes, catalogue, wanted, ordered(method, path, body))
    };
    serve(&gateway.0, request, Dialect::Problem, read).await
}

/// An answer of a model, or of the best of a route, for a payment, token by token
#[utoipa::path(post, path = "/v1/inference/stream", tag = "inference", request_body = InferenceRequest,
    params(PaymentHeaders),
    responses((status = 200, description = "Events `data: {\"token\":\"The\",\"index\":0}`, then `data: [DONE]`. A stream that breaks off says so in an event `data: {\"error\":{…}}`, and the same proof has it run again. The same request with the same proof and quote id gets the same stream again.",
        body = String, content_type = "text/event-stream",
        headers(
            ("X-Payment-Receipt" = String, description = "PaymentView as one line of JSON."),
            ("X-Salt402-Model" = String, description = "The model that answered, where a route was asked."),
            ("Server-Timing" = String, description = "What verification and the first token took."),
            ("X-Accel-Buffering" = String, description = "`no`"),
            ("Cache-Control" = String, description = "`no-store, private`"),
            ("Vary" = String, description = "The payment headers.")))))]
pub(crate) async fn infer_streamed(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let wanted = Wanted { streamed: true, session: session(request.headers()) };
    let routes = gateway.0.routes.clone();
    let read = move |catalogue: &Catalogue, method, path, body: &[u8]| {
        let request = InferenceRequest::read(body)?;
        let reading = inference(request, &routes, catalogue, wanted, ordered(method, path, body))?;
        Ok(reading.map(|target| match target {
            Target::Model(request) => Target::Model(Streamed(request)),
            Target::Route(routed) => Target::Route(routed),
        }))
    };
    serve(&gateway.0, request, Dialect::Problem, read).await
}

/// An answer of the best model of a route, for a payment
#[utoipa::path(post, path = "/v1/inference/routed", tag = "inference", request_body = RoutedRequest,
    params(PaymentHeaders),
    responses((status = 200, description = "The answer, which names the model. Who answers is chosen after the payment, by what the request needs, live load, measured latency and failures; the price holds for each of them. The same request with the same proof and quote id gets the same answer again.",
        body = InferenceResponse<'_>,
        headers(
            ("X-Payment-Receipt" = String, description = "PaymentView as one line of JSON."),
            ("X-Salt402-Model" = String, description = "The model that answered."),
            ("Server-Timing" = String, description = "What verification and the model took."),
            ("Cache-Control" = String, description = "`no-store, private`"),
            ("Vary" = String, description = "The payment headers.")))))]
pub(crate) async fn infer_routed(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let session = session(request.headers());
    let routes = gateway.0.routes.clone();
    let read = move |catalogue: &Catalogue, method: String, path: String, body: &[u8]| {
        routed(&routes, catalogue, session, method, path, body)
    };
    serve(&gateway.0, request, Dialect::Problem, read).await
}

fn routed(
    routes: &Routes,
    catalogue: &Catalogue,
    session: Option<Vec<u8>>,
    method: String,
    path: String,
    body: &[u8],
) -> Result<Reading<Target<PricedRequest, PricedRequest>>, Problem> {
    let Object(request) = serde_json::from_slice::<Object<RoutedRequest>>(body).map_err(|error| {
        Problem::new(Code::MalformedJson, format!("the body was not understood: {error}"))
    })?;
    let RoutedRequest { model, prompt, max_tokens, temperature, session: named } = request;
    let Some(model) = model.or_else(|| routes.only().map(str::to_owned)) else {
        let detail = format!("model: name a route; there are: {}", routes.names());
        return Err(Problem::new(Code::InvalidRequest, detail));
    };
    let order = ordered(method, path, body);
    if routes.get(&model).is_none() {
        // The route may be gone that somebody has paid for.
        let detail = format!("model: there is no such route here; there are: {}", routes.names());
        let order = order(format!("one answer as {model}"), crate::priced_request::PRICELESS);
        let problem = Problem::new(Code::UnknownModel, detail);
        return Ok(Reading::Unsold(Box::new(crate::reading::Unsold { problem, order, request: None })));
    }
    let request = InferenceRequest { model, prompt, max_tokens, temperature };
    let wanted = Wanted { streamed: false, session: named.map(String::into_bytes).or(session) };
    inference(request, routes, catalogue, wanted, order)
}

/// What a request costs that is for a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteCost {
    /// The route's name.
    pub name: String,
    /// What must be paid, in base units; by use, the most.
    pub amount: Amount,
    /// Whether what the one uses that answers is charged, of whoever pays in a way that allows it.
    pub by_use: bool,
    /// The candidates that take it, and what it costs at each of them alone.
    pub candidates: Vec<(String, Amount)>,
}

impl RouteCost {
    /// What a body costs at a path. `None` if it is for no route.
    pub fn read(
        routes: &Routes,
        catalogue: &Catalogue,
        path: &str,
        body: &[u8],
    ) -> Result<Option<Self>, Problem> {
        let (method, target) = ("POST".to_owned(), path.to_owned());
        match (path, Api::of_path(path)) {
            ("/v1/inference/routed", _) => Self::of(routed(routes, catalogue, None, method, target, body)?),
            ("/v1/inference" | "/v1/inference/stream", _) => {
                let request = InferenceRequest::read(body)?;
                let order = ordered(method, target, body);
                Self::of(inference(request, routes, catalogue, Wanted::default(), order)?)
            }
            (_, Some(api)) => {
                let order = ordered(method, target, body);
                Self::of(passed(api, None, routes, catalogue, None, body, order)?)
            }
            (_, None) => Ok(None),
        }
    }

    fn of<S, C: Run>(reading: Reading<Target<S, C>>) -> Result<Option<Self>, Problem> {
        match reading {
            Reading::Sold(target) => Ok(match *target {
                Target::Model(_) => None,
                Target::Route(routed) => {
                    let Routed { name, candidates, order, .. } = *routed;
                    let one = |candidate: &C| (candidate.name().to_owned(), candidate.order().amount);
                    Some(Self {
                        name,
                        amount: order.amount,
                        by_use: order.by_use,
                        candidates: candidates.iter().map(one).collect(),
                    })
                }
            }),
            Reading::Unsold(unsold) => Err(unsold.problem),
        }
    }
}

/// What a request of an API that is passed on is for.
fn passed(
    api: Api,
    named: Option<&str>,
    routes: &Routes,
    catalogue: &Catalogue,
    session: Option<Vec<u8>>,
    body: &[u8],
    order: impl Fn(String, Amount) -> Order,
) -> Result<Reading<Target<Passed, Passed>>, Problem> {
    let body = api::Body::read(named, body)?;
    let name = body.model.clone();
    let Some(route) = routes.get(&name) else {
        let order = charged_as(catalogue, &name, order);
        return Passed::of_model(api, name, catalogue, body, order)
            .map(|read| reading(read).map(Target::Model));
    };
    let read = |candidate: &str| {
        let order = charged_as(catalogue, candidate, &order);
        Passed::of_model(api, candidate.to_owned(), catalogue, body.clone(), order).map(reading)
    };
    let routed = Routed::<Passed>::understand(&name, route, Wanted { streamed: false, session }, read)?;
    Ok(routed.map(|routed| {
        // All were read from one body.
        let streamed = routed.candidates.first().is_some_and(|candidate| candidate.streamed);
        Target::Route(Box::new(Routed { streamed, ..routed }))
    }))
}

/// Answers a request of an API that is passed on. `named` is the model of an endpoint that has one.
pub(crate) async fn pass(
    gateway: &Gateway,
    api: Api,
    named: Option<&str>,
    request: Request,
) -> Response<Body> {
    let session = session(request.headers());
    let (routes, named) = (gateway.0.routes.clone(), named.map(str::to_owned));
    let read = move |catalogue: &Catalogue, method: String, path: String, body: &[u8]| {
        let order = ordered(method, path, body);
        passed(api, named.as_deref(), &routes, catalogue, session, body, order)
    };
    serve(&gateway.0, request, dialect(api), read).await
}
