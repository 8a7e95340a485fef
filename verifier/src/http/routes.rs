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
    IncidentsResponse, PaymentsResponse, QuoteRequest, QuoteResponse, StatusResponse, Verdict, VerifyRequest,
};
use salt402_protocol::{ChainId, Code, Problem, Proof};
use serde::Deserialize;
use tower_http::catch_panic::CatchPanicLayer;

use super::address::{self, AddressLimits};
use super::answer::{Fault, method_not_allowed, not_found, problem_response};
use super::forward_auth::{self, ForwardAuth};
use super::input::StrictJson;
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
        .route("/v1/incidents", get(incidents))
        .route("/v1/status", get(status))
        .with_state(verifier.clone())
        .merge(proxied)
        .route_layer(middleware::from_fn_with_state(options.token, token::check));
    finish(guarded.merge(health(verifier, options.metrics)))
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

async fn quotes(
    State(verifier): State<Verifier>,
    StrictJson(request): StrictJson<QuoteRequest>,
) -> Result<Json<QuoteResponse>, Fault> {
    Ok(Json(verifier.offer(&request).await?))
}

async fn verify(
    State(verifier): State<Verifier>,
    StrictJson(request): StrictJson<VerifyRequest>,
) -> Result<Json<Verdict>, Fault> {
    Ok(Json(verifier.verify(&request).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaymentsQuery {
    chain: ChainId,
}

async fn payments(
    State(verifier): State<Verifier>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<PaymentsQuery>, QueryRejection>,
) -> Result<Json<PaymentsResponse>, Fault> {
    let malformed = |detail: String| Fault(Problem::new(Code::MalformedParameter, detail));
    let Path(transaction) = path.map_err(|error| malformed(error.body_text()))?;
    let proof: Proof =
        transaction.parse().map_err(|error| Fault(Problem::new(Code::MalformedProof, format!("{error}"))))?;
    let Query(query) = query.map_err(|error| {
        malformed(format!("say which chain, as in ?chain=eip155:40204 ({})", error.body_text()))
    })?;
    Ok(Json(verifier.payments(query.chain, proof.transaction).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IncidentsQuery {
    /// Only those whose payment is not back.
    #[serde(default)]
    open: bool,
    #[serde(default = "incidents_at_once")]
    limit: u32,
}

fn incidents_at_once() -> u32 {
    100
}

async fn incidents(
    State(verifier): State<Verifier>,
    query: Result<Query<IncidentsQuery>, QueryRejection>,
) -> Result<Json<IncidentsResponse>, Fault> {
    let Query(IncidentsQuery { open, limit }) = query.map_err(|error| {
        let detail = format!("as in ?open=true&limit=100 ({})", error.body_text());
        Fault(Problem::new(Code::MalformedParameter, detail))
    })?;
    Ok(Json(verifier.incidents(open, limit.clamp(1, 1000)).await?))
}

async fn status(State(verifier): State<Verifier>) -> Result<Json<StatusResponse>, Fault> {
    Ok(Json(verifier.status().await?))
}

/// 200 while every chain's index is current, else 503 with the reasons.
async fn ready(State(verifier): State<Verifier>) -> Result<impl IntoResponse, Fault> {
    let status = verifier.status().await?;
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
