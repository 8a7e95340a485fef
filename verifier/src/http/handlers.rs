//! What each route answers.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use salt402_http::{Fault, StrictJson, Token, malformed_parameter};
use salt402_protocol::api::{
    AmbiguitiesResponse, CaptureRequest, CaptureResponse, ChannelView, IncidentsResponse, LeaseRequest,
    LeaseResponse, PaymentsResponse, QuoteRequest, QuoteResponse, Reservation, ReservationOutcome,
    ReserveRequest, StatusResponse, Verdict, VerifyRequest,
};
use salt402_protocol::request::parse_hash;
use salt402_protocol::{Code, Problem};

use crate::http::query::{AmbiguitiesQuery, IncidentsQuery, PaymentsQuery};
use crate::verify::verifier::Verifier;

/// A quote for a request
#[utoipa::path(post, path = "/v1/quotes", tag = "payments", request_body = QuoteRequest,
    responses((status = 200, description = "The quote. Nothing is stored of it.", body = QuoteResponse)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn quotes(
    State(verifier): State<Verifier>,
    StrictJson(request): StrictJson<QuoteRequest>,
) -> Result<Json<QuoteResponse>, Fault> {
    Ok(Json(verifier.offer(&request).await?))
}

/// Was this paid? With `claim`, use it up; with `wait_ms`, wait for it
#[utoipa::path(post, path = "/v1/verify", tag = "payments", request_body = VerifyRequest,
    responses((status = 200, description = "The verdict. A claim is on disk before it is told.", body = Verdict)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn verify(
    State(verifier): State<Verifier>,
    StrictJson(request): StrictJson<VerifyRequest>,
) -> Result<Json<Verdict>, Fault> {
    Ok(Json(verifier.verify(&request).await?))
}

/// Lease the name of a claimant, or renew the lease: of several processes that claim under one name, one does
#[utoipa::path(post, path = "/v1/leases", tag = "payments", request_body = LeaseRequest,
    responses((status = 200, description = "The name is held.", body = LeaseResponse)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn leases(
    State(verifier): State<Verifier>,
    StrictJson(request): StrictJson<LeaseRequest>,
) -> Result<Json<LeaseResponse>, Fault> {
    Ok(Json(verifier.lease(&request).await?))
}

/// Keep a signed payment (x402) for a request, before it is settled
#[utoipa::path(post, path = "/v1/reservations", tag = "payments", request_body = ReserveRequest,
    responses((status = 200, description = "For what it is kept. It is on disk before it is told.", body = Reservation)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn reservations(
    State(verifier): State<Verifier>,
    StrictJson(request): StrictJson<ReserveRequest>,
) -> Result<Json<Reservation>, Fault> {
    Ok(Json(verifier.reserve(&request).await?))
}

/// What became of a signed payment that is kept
#[utoipa::path(post, path = "/v1/reservations/outcome", tag = "payments", request_body = ReservationOutcome,
    responses((status = 200, description = "It is written down: an empty object.", body = Object)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn reservation_outcome(
    State(verifier): State<Verifier>,
    StrictJson(outcome): StrictJson<ReservationOutcome>,
) -> Result<Json<serde_json::Map<String, serde_json::Value>>, Fault> {
    verifier.conclude_reservation(&outcome).await?;
    Ok(Json(serde_json::Map::new()))
}

/// What is charged of an authorization
#[utoipa::path(post, path = "/v1/captures", tag = "payments", request_body = CaptureRequest,
    responses((status = 200, description = "What is charged: what was said first. It is on disk before it is told.", body = CaptureResponse)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn captures(
    State(verifier): State<Verifier>,
    StrictJson(request): StrictJson<CaptureRequest>,
) -> Result<Json<CaptureResponse>, Fault> {
    Ok(Json(verifier.capture(&request).await?))
}

/// What the index knows of a transaction
#[utoipa::path(get, path = "/v1/payments/{transaction}", tag = "payments",
    params(("transaction" = salt402_protocol::openapi::Hash, Path, description = "The transaction's hash."), PaymentsQuery),
    responses((status = 200, description = "Its payments; none if none are known.", body = PaymentsResponse)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn payments(
    State(verifier): State<Verifier>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<PaymentsResponse>, Fault> {
    let Path(transaction) = path.map_err(|error| malformed_parameter(error.body_text()))?;
    let hash = parse_hash(&transaction).ok_or_else(|| {
        let detail = "a transaction's hash is \"0x\" and 64 hexadecimal digits";
        Fault(Problem::new(Code::MalformedProof, detail))
    })?;
    let query = PaymentsQuery::read(&uri)?;
    Ok(Json(verifier.payments(query.chain, hash).await?))
}

/// What the index knows of a payment channel, and what was accepted of it by vouchers
#[utoipa::path(get, path = "/v1/channels/{channel}", tag = "payments",
    params(("channel" = salt402_protocol::openapi::Hash, Path, description = "The channel's identifier."), PaymentsQuery),
    responses((status = 200, description = "The channel and its account.", body = ChannelView)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn channel(
    State(verifier): State<Verifier>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<ChannelView>, Fault> {
    let Path(channel) = path.map_err(|error| malformed_parameter(error.body_text()))?;
    let id = parse_hash(&channel).ok_or_else(|| {
        malformed_parameter("a channel's identifier is \"0x\" and 64 hexadecimal digits".into())
    })?;
    let query = PaymentsQuery::read(&uri)?;
    Ok(Json(verifier.channel(query.chain, id).await?))
}

/// What an operator must know of, newest first
#[utoipa::path(get, path = "/v1/incidents", tag = "operation", params(IncidentsQuery),
    responses((status = 200, description = "The incidents, and where they go on.", body = IncidentsResponse)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn incidents(
    State(verifier): State<Verifier>,
    uri: Uri,
) -> Result<Json<IncidentsResponse>, Fault> {
    let (filter, limit) = IncidentsQuery::read(&uri)?;
    Ok(Json(verifier.incidents(&filter, limit).await?))
}

/// What may be a payment and is counted for nobody, newest first
#[utoipa::path(get, path = "/v1/ambiguities", tag = "operation", params(AmbiguitiesQuery),
    responses((status = 200, description = "The transactions that can be read in two ways, and where they go on.", body = AmbiguitiesResponse)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn ambiguities(
    State(verifier): State<Verifier>,
    uri: Uri,
) -> Result<Json<AmbiguitiesResponse>, Fault> {
    let query = AmbiguitiesQuery::read(&uri)?;
    Ok(Json(verifier.ambiguities(query.chain, query.cursor, query.limit).await?))
}

/// How things are
#[utoipa::path(get, path = "/v1/status", tag = "operation",
    responses((status = 200, description = "Chains, payments, claims, incidents.", body = StatusResponse)), security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn status(State(verifier): State<Verifier>) -> Result<Json<StatusResponse>, Fault> {
    Ok(Json(verifier.status().await?))
}

/// 200 while every chain's index is current, else 503; the reasons name nodes and are for callers with the token.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "Payments can be verified.", body = String, content_type = "text/plain")))]
pub(crate) async fn ready(
    State((verifier, token)): State<(Verifier, Option<Token>)>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Fault> {
    let status = verifier.readiness().await?;
    if status.ready {
        return Ok((StatusCode::OK, "ready\n"));
    }
    let wait = Duration::from_secs(1).as_millis() as u64;
    if !token.is_none_or(|token| token.admits(&headers).unwrap_or(false)) {
        let detail = "payments cannot be verified now: callers with the token, and the log, are told why";
        return Err(Problem::new(Code::NotReady, detail).retry_after(wait).into());
    }
    let reasons: Vec<_> = status
        .chains
        .iter()
        .filter_map(|chain| chain.reason.as_ref().map(|reason| format!("{}: {reason}", chain.network)))
        .collect();
    Err(Problem::new(Code::NotReady, reasons.join("; ")).retry_after(wait).into())
}
