//! What each route answers.

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use salt402_http::{address_limited, address_wait, no_store, one_value, read_json};
use salt402_protocol::x402::response::{SettleResponse, SupportedResponse, VerifyResponse};
use serde::Serialize;
use serde_json::{Value, json};

use crate::callers::FacilitatorError;
use crate::facilitator::Facilitator;
use crate::http::answer::{Wanted, problem_for, problem_of};
use crate::http::callers::Callers;

/// The largest body, in bytes. Official clients echo the whole offer, which a header of 16 KiB holds.
const LARGEST_BODY: usize = 64 * 1024;

/// The header by which a caller makes a request that it can repeat.
const KEY_HEADER: &str = "idempotency-key";

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) facilitator: Facilitator,
    pub(crate) callers: Callers,
}

/// What this is
#[utoipa::path(get, path = "/", tag = "facilitator", responses(
    (status = 200, description = "What this is, and where to ask.", body = Value, content_type = "application/json")))]
pub(crate) async fn about(State(api): State<Api>) -> Json<Value> {
    let networks: Vec<_> =
        api.facilitator.policy().networks.iter().map(|network| network.chain.to_string()).collect();
    Json(json!({
        "name": "salt402 facilitator",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Verifies payments that were signed for x402, and settles each once.",
        "networks": networks,
        "routes": ["GET /supported", "POST /verify", "POST /settle", "GET /health", "GET /openapi.json"],
    }))
}

/// Whether payments can be verified and settled
#[utoipa::path(get, path = "/health", tag = "health", responses(
    (status = 200, description = "They can.", body = Value, content_type = "application/json"),
    (status = 503, description = "They cannot now, on the networks that are named.", body = Value, content_type = "application/json")))]
pub(crate) async fn health(State(api): State<Api>) -> (StatusCode, Json<Value>) {
    let complaints = api.facilitator.health().await;
    if complaints.is_empty() {
        return (StatusCode::OK, Json(json!({ "status": "ok" })));
    }
    let networks: serde_json::Map<_, _> =
        complaints.into_iter().map(|(chain, why)| (chain.to_string(), why.into())).collect();
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "unavailable", "networks": networks })))
}

/// Which schemes are settled on which networks, and by whom
#[utoipa::path(get, path = "/supported", tag = "facilitator", responses(
    (status = 200, description = "The kinds of payments, the extensions, and the accounts that settle.", body = SupportedResponse)))]
pub(crate) async fn supported(State(api): State<Api>) -> Json<SupportedResponse> {
    Json(api.facilitator.supported())
}

/// Would this payment settle? Nothing is done
#[utoipa::path(post, path = "/verify", tag = "facilitator",
    request_body(content = Value, content_type = "application/json", description = "`x402Version`, `paymentPayload` and `paymentRequirements`, as x402 has them."),
    responses((status = 200, description = "The verdict.", body = VerifyResponse)),
    security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn verify(State(api): State<Api>, request: Request) -> Response<Body> {
    answer(&api, request, Wanted::Verdict).await
}

/// Settle this payment, once. Its success is told once, and again to whoever repeats the request with the same Idempotency-Key
#[utoipa::path(post, path = "/settle", tag = "facilitator",
    request_body(content = Value, content_type = "application/json", description = "As for `/verify`. Under `upto`, `paymentRequirements.amount` is what to charge."),
    params(("Idempotency-Key" = Option<String>, Header, description = "A text of the caller's own, new for each request that is served. With it, a repeated request is told the same success; without it, a success is told once.")),
    responses((status = 200, description = "What became of it. `settlement_pending`: send the same request again.", body = SettleResponse)),
    security((), ("bearer" = []), ("token" = [])))]
pub(crate) async fn settle(State(api): State<Api>, request: Request) -> Response<Body> {
    answer(&api, request, Wanted::Settlement).await
}

/// Limits and tokens come first, then the body, then the payment: nothing is recovered or asked for whoever may not ask.
async fn answer(api: &Api, request: Request, wanted: Wanted) -> Response<Body> {
    if let Some(wait) = address_wait(request.extensions()) {
        return problem_for(wanted, &address_limited(wait));
    }
    let caller = match api.callers.admit(request.headers(), salt402_http::Caller::of(request.extensions())) {
        Ok(caller) => caller,
        Err(problem) => return problem_for(wanted, &problem),
    };
    let key = match one_value(request.headers(), KEY_HEADER) {
        Ok(key) => key.map(str::to_owned),
        Err(problem) => return problem_for(wanted, &problem),
    };
    let held = match read_json(request, LARGEST_BODY).await {
        Ok(held) => held,
        Err(fault) => return problem_for(wanted, &fault.0),
    };
    // On the heap: what is here is moved by each layer around the route.
    let answer = match wanted {
        Wanted::Verdict => Box::pin(api.facilitator.verify(&held.bytes, caller)).await.map(ok),
        Wanted::Settlement => {
            Box::pin(api.facilitator.settle(&held.bytes, caller, key.as_deref())).await.map(ok)
        }
    };
    answer.unwrap_or_else(|error: FacilitatorError| problem_for(wanted, &problem_of(error)))
}

fn ok<T: Serialize>(answer: T) -> Response<Body> {
    let mut response = match serde_json::to_vec(&answer) {
        Ok(body) => Response::new(Body::from(body)),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    no_store(headers);
    response
}
