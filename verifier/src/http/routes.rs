//! Which path asks what.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use axum::{Json, Router};
pub use metrics_exporter_prometheus::PrometheusHandle;
use salt402_protocol::api::{
    AmbiguitiesResponse, ChannelView, IncidentsResponse, PaymentsResponse, QuoteRequest, QuoteResponse,
    StatusResponse, Verdict, VerifyRequest,
};
use salt402_protocol::request::parse_hash;
use salt402_protocol::{ChainId, Code, Problem};
use salt402_store::{IncidentFilter, IncidentKind};
use serde::Deserialize;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::IntoParams;

use super::address::{self, AddressLimits};
use super::answer::{Fault, method_not_allowed, not_found, problem_response};
use super::forward_auth::{self, ForwardAuth};
use super::input::StrictJson;
use super::openapi;
use super::token::{self, Token};
use crate::Verifier;

/// What an API is given beside its verifier.
#[derive(Default)]
pub struct ApiOptions {
    /// What renders `/metrics`.
    pub metrics: Option<PrometheusHandle>,
    /// What a proxy may ask at `/v1/forward-auth`.
    pub auth: Option<ForwardAuth>,
    /// What callers of `/v1/…` must send.
    pub token: Option<Token>,
    /// How often the clients of a proxy may be asked about, by address.
    pub addresses: Option<AddressLimits>,
}

/// The whole API of a verifier.
pub fn router(verifier: Verifier, options: ApiOptions) -> Router {
    let proxied = match options.auth {
        Some(auth) => Router::new()
            .route(forward_auth::PATH, any(forward_auth::handle))
            .route(&format!("{}/{{*target}}", forward_auth::PATH), any(forward_auth::handle))
            .with_state(Arc::new(auth)),
        None => Router::new(),
    };
    let proxied = match options.addresses {
        Some(limits) => proxied.layer(middleware::from_fn_with_state(limits, address::limit)),
        None => proxied,
    };
    let guarded = Router::new()
        .route("/v1/quotes", post(quotes))
        .route("/v1/verify", post(verify))
        .route("/v1/payments/{transaction}", get(payments))
        .route("/v1/channels/{channel}", get(channel))
        .route("/v1/incidents", get(incidents))
        .route("/v1/ambiguities", get(ambiguities))
        .route("/v1/status", get(status))
        .with_state(verifier.clone())
        .merge(proxied)
        .route_layer(middleware::from_fn_with_state(options.token, token::check));
    let document = get(openapi::serve(&openapi::document()));
    finish(guarded.merge(health(verifier, options.metrics)).route(openapi::PATH, document))
}

/// What an operator's tools ask, alone: `/healthz`, `/readyz`, `/metrics`, `/v1/status`.
pub fn watch_router(verifier: Verifier, options: ApiOptions) -> Router {
    let guarded = Router::new()
        .route("/v1/status", get(status))
        .with_state(verifier.clone())
        .route_layer(middleware::from_fn_with_state(options.token, token::check));
    finish(guarded.merge(health(verifier, options.metrics)))
}

/// Gives a router its last words: for what it does not know, and for a panic.
pub fn finish(routes: Router) -> Router {
    routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed).layer(CatchPanicLayer::custom(
        |_| problem_response(&Problem::new(Code::Internal, "a fault of ours; it was logged")),
    ))
}

fn health(verifier: Verifier, metrics: Option<PrometheusHandle>) -> Router {
    let watched = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(verifier);
    match metrics {
        Some(handle) => watched.route("/metrics", get(move || async move { handle.render() })),
        None => watched,
    }
}

/// A quote for a request
#[utoipa::path(post, path = "/v1/quotes", tag = "payments", request_body = QuoteRequest,
    responses((status = 200, description = "The quote. Nothing is stored of it.", body = QuoteResponse)), security((), ("bearer" = []), ("token" = [])))]
pub(super) async fn quotes(
    State(verifier): State<Verifier>,
    StrictJson(request): StrictJson<QuoteRequest>,
) -> Result<Json<QuoteResponse>, Fault> {
    Ok(Json(verifier.offer(&request).await?))
}

/// Was this paid? With `claim`, use it up; with `wait_ms`, wait for it
#[utoipa::path(post, path = "/v1/verify", tag = "payments", request_body = VerifyRequest,
    responses((status = 200, description = "The verdict. A claim is on disk before it is told.", body = Verdict)), security((), ("bearer" = []), ("token" = [])))]
pub(super) async fn verify(
    State(verifier): State<Verifier>,
    StrictJson(request): StrictJson<VerifyRequest>,
) -> Result<Json<Verdict>, Fault> {
    Ok(Json(verifier.verify(&request).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PaymentsQuery {
    /// The chain.
    chain: ChainId,
}

/// What the index knows of a transaction
#[utoipa::path(get, path = "/v1/payments/{transaction}", tag = "payments",
    params(("transaction" = salt402_protocol::openapi::Hash, Path, description = "The transaction's hash."), PaymentsQuery),
    responses((status = 200, description = "Its payments; none if none are known.", body = PaymentsResponse)), security((), ("bearer" = []), ("token" = [])))]
pub(super) async fn payments(
    State(verifier): State<Verifier>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<PaymentsQuery>, QueryRejection>,
) -> Result<Json<PaymentsResponse>, Fault> {
    let malformed = |detail: String| Fault(Problem::new(Code::MalformedParameter, detail));
    let Path(transaction) = path.map_err(|error| malformed(error.body_text()))?;
    let hash = parse_hash(&transaction).ok_or_else(|| {
        let detail = "a transaction's hash is \"0x\" and 64 hexadecimal digits";
        Fault(Problem::new(Code::MalformedProof, detail))
    })?;
    let Query(query) = query.map_err(|error| {
        malformed(format!("say which chain, as in ?chain=eip155:40204 ({})", error.body_text()))
    })?;
    Ok(Json(verifier.payments(query.chain, hash).await?))
}

/// What the index knows of a payment channel, and what was accepted of it by vouchers
#[utoipa::path(get, path = "/v1/channels/{channel}", tag = "payments",
    params(("channel" = salt402_protocol::openapi::Hash, Path, description = "The channel's identifier."), PaymentsQuery),
    responses((status = 200, description = "The channel and its account.", body = ChannelView)), security((), ("bearer" = []), ("token" = [])))]
pub(super) async fn channel(
    State(verifier): State<Verifier>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<PaymentsQuery>, QueryRejection>,
) -> Result<Json<ChannelView>, Fault> {
    let malformed = |detail: String| Fault(Problem::new(Code::MalformedParameter, detail));
    let Path(channel) = path.map_err(|error| malformed(error.body_text()))?;
    let id = parse_hash(&channel)
        .ok_or_else(|| malformed("a channel's identifier is \"0x\" and 64 hexadecimal digits".into()))?;
    let Query(query) = query.map_err(|error| {
        malformed(format!("say which chain, as in ?chain=eip155:40204 ({})", error.body_text()))
    })?;
    Ok(Json(verifier.channel(query.chain, id).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct IncidentsQuery {
    /// `true`: those that are open; `false`: those that are not.
    open: Option<bool>,
    /// Those of a kind: `payment_lost`, `replay_attempt`, `omitted_log` or `voucher_at_risk`.
    kind: Option<String>,
    /// Those of a chain.
    chain: Option<ChainId>,
    /// Those that began, happened again or came right at this moment or later, in milliseconds since 1970 UTC.
    since: Option<u64>,
    /// At most so many, from 1 to 1000.
    #[serde(default = "incidents_at_once")]
    #[param(minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: u32,
    /// The `next_cursor` of the page before.
    cursor: Option<u64>,
}

fn incidents_at_once() -> u32 {
    100
}

/// What an operator must know of, newest first
#[utoipa::path(get, path = "/v1/incidents", tag = "operation", params(IncidentsQuery),
    responses((status = 200, description = "The incidents, and where they go on.", body = IncidentsResponse)), security((), ("bearer" = []), ("token" = [])))]
pub(super) async fn incidents(
    State(verifier): State<Verifier>,
    query: Result<Query<IncidentsQuery>, QueryRejection>,
) -> Result<Json<IncidentsResponse>, Fault> {
    let malformed = |detail: String| Fault(Problem::new(Code::MalformedParameter, detail));
    let Query(query) =
        query.map_err(|error| malformed(format!("as in ?open=true&limit=100 ({})", error.body_text())))?;
    let kind = match query.kind.as_deref() {
        None => None,
        Some(name) => {
            let known: Vec<_> = IncidentKind::ALL.iter().map(|kind| kind.name()).collect();
            let unknown = || malformed(format!("kind: there is no {name:?}; there are {}", known.join(", ")));
            Some(IncidentKind::named(name).ok_or_else(unknown)?)
        }
    };
    if !(1..=1000).contains(&query.limit) {
        return Err(malformed("limit: from 1 to 1000".into()));
    }
    let filter = IncidentFilter {
        open: query.open,
        kind,
        chain: query.chain,
        since_ms: query.since,
        before: query.cursor,
    };
    Ok(Json(verifier.incidents(&filter, query.limit).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AmbiguitiesQuery {
    /// The chain.
    chain: ChainId,
    /// At most so many, from 1 to 1000.
    #[serde(default = "incidents_at_once")]
    #[param(minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: u32,
    /// The `next_cursor` of the page before.
    cursor: Option<u64>,
}

/// What may be a payment and is counted for nobody, newest first
#[utoipa::path(get, path = "/v1/ambiguities", tag = "operation", params(AmbiguitiesQuery),
    responses((status = 200, description = "The transactions that can be read in two ways, and where they go on.", body = AmbiguitiesResponse)), security((), ("bearer" = []), ("token" = [])))]
pub(super) async fn ambiguities(
    State(verifier): State<Verifier>,
    query: Result<Query<AmbiguitiesQuery>, QueryRejection>,
) -> Result<Json<AmbiguitiesResponse>, Fault> {
    let malformed = |detail: String| Fault(Problem::new(Code::MalformedParameter, detail));
    let Query(query) = query.map_err(|error| {
        malformed(format!("say which chain, as in ?chain=eip155:40204&limit=100 ({})", error.body_text()))
    })?;
    if !(1..=1000).contains(&query.limit) {
        return Err(malformed("limit: from 1 to 1000".into()));
    }
    Ok(Json(verifier.ambiguities(query.chain, query.cursor, query.limit).await?))
}

/// How things are
#[utoipa::path(get, path = "/v1/status", tag = "operation",
    responses((status = 200, description = "Chains, payments, claims, incidents.", body = StatusResponse)), security((), ("bearer" = []), ("token" = [])))]
pub(super) async fn status(State(verifier): State<Verifier>) -> Result<Json<StatusResponse>, Fault> {
    Ok(Json(verifier.status().await?))
}

/// 200 while every chain's index is current, else 503 with the reasons.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "Payments can be verified.", body = String, content_type = "text/plain")))]
pub(super) async fn ready(State(verifier): State<Verifier>) -> Result<impl IntoResponse, Fault> {
    let status = verifier.standing().await?;
    if status.ready {
        return Ok((StatusCode::OK, "ready\n"));
    }
    let reasons: Vec<_> = status
        .chains
        .iter()
        .filter_map(|chain| chain.reason.as_ref().map(|reason| format!("{}: {reason}", chain.network)))
        .collect();
    let wait = Duration::from_secs(1).as_millis() as u64;
    Err(Problem::new(Code::NotReady, reasons.join("; ")).retry_after(wait).into())
}
