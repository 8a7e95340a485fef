//! `GET /v1/forward-auth`: a proxy asks whether a request may pass.
//!
//! The proxy says which request in headers of its own: `X-Forwarded-Method` and `X-Forwarded-Uri` (Caddy, Traefik), or
//! `X-Original-Method` and `X-Original-URI` (nginx, HAProxy), or by the path after `/v1/forward-auth` (Envoy). It must
//! set them itself, over whatever a client sent. A proxy that asks this way does not show bodies, so the payment is
//! bound to method and target alone: put what costs by its body behind the gateway or the layer instead.
//!
//! The query of the asking address says nothing: Caddy writes its client's there. How to refuse is said by the path.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use salt402_http::clock::since_ms;
use salt402_http::{
    PAYMENT, is_method, no_store, one_value, problem_response, refuse_lookalikes, server_timing, vary,
};
use salt402_protocol::api::{ClaimView, PaymentView};
use salt402_protocol::{Code, Problem};

use crate::order::Order;
use crate::page::offer_answer;
use crate::paywall::{Decision, Paywall};
use crate::presented::Presented;
use crate::shown::{pays_again, shows_payment};
use crate::signed::{Granted, after_signature, asked_once};
use crate::tariff::Tariff;

/// Where it is asked.
pub const PATH: &str = "/v1/forward-auth";
/// Where nginx asks. Its `auth_request` hands on 401 and 403 alone, so every refusal is a 401 that says in
/// `X-Payment-Status` what it would be. No client has a part in the path, as Envoy's do in what stands behind [`PATH`].
pub const AUTH_REQUEST_PATH: &str = "/v1/auth-request";
/// The response header with the refusal's own status, where it was asked for under another.
const STATUS_HEADER: &str = "x-payment-status";

/// What stands before the routes of a proxy.
#[derive(Clone)]
pub struct ForwardAuth {
    /// How requests are paid for.
    pub paywall: Paywall,
    /// What they cost.
    pub tariff: Tariff,
    /// For how long after its first use the same proof lets the same request pass again. Zero: once, and a client
    /// whose connection breaks has to pay again.
    pub again_within: Duration,
}

/// Answers a proxy that asks whether a request may pass: 200, or what the request would be refused with.
pub async fn handle(State(auth): State<Arc<ForwardAuth>>, request: Request) -> Response<Body> {
    let (request, _) = request.into_parts();
    // Whoever has signed is not led to sign again.
    let signs = pays_again(&request.headers);
    let refused = |problem| problem_response(&if signs { after_signature(problem) } else { problem });
    let answered = answer(&auth, &request).await.unwrap_or_else(refused);
    asked_once(shows_payment(&request.headers), answered)
}

/// The same, refused with 401.
pub async fn handle_auth_request(auth: State<Arc<ForwardAuth>>, request: Request) -> Response<Body> {
    let answered = handle(auth, request).await;
    if answered.status().is_success() { answered } else { refused_as(StatusCode::UNAUTHORIZED, answered) }
}

/// The same refusal under another status, with its own in a header.
fn refused_as(status: StatusCode, mut answered: Response<Body>) -> Response<Body> {
    let meant = HeaderValue::from(answered.status().as_u16());
    answered.headers_mut().insert(STATUS_HEADER, meant);
    *answered.status_mut() = status;
    answered
}

async fn answer(auth: &ForwardAuth, request: &Parts) -> Result<Response<Body>, Problem> {
    let (method, target) = asked_for(request)?;
    refuse_lookalikes(&request.headers)?;
    let Some(rule) = auth.tariff.rule(&method, &target, &request.headers)? else { return Ok(pass()) };
    let presented = Presented::of(request)?;
    // What is answered is not counted here.
    let order = Order { by_use: false, ..rule.order(method, target, b"") };
    decide(auth, &order, &presented, &request.headers).await
}

/// Lets an order pass, or says how to pay for it. What was signed is settled before it passes.
async fn decide(
    auth: &ForwardAuth,
    order: &Order,
    presented: &Presented,
    headers: &HeaderMap,
) -> Result<Response<Body>, Problem> {
    let asked = Instant::now();
    match auth.paywall.decide(order, presented).await? {
        Decision::Granted(Granted { payment, claim, .. })
            if claim.first || recent(&claim, auth.again_within) =>
        {
            let mut passed = pass_paid(&payment, asked.elapsed());
            passed.headers_mut().extend(presented.receipt(&payment));
            Ok(passed)
        }
        // Its client would pay again at once.
        Decision::Granted(_) if pays_again(headers) => Err(Problem::new(
            Code::SignatureUsed,
            "the payment was used for this request before, and one payment serves one request",
        )),
        Decision::Granted(_) => {
            let problem = Problem::new(
                Code::AlreadyClaimed,
                "the payment was used for this request before, and one payment serves one request: pay again",
            );
            let offer = auth.paywall.offer(order, presented, problem).await?;
            Ok(offer_answer(&offer, headers))
        }
        Decision::Unpaid(offer) => Ok(offer_answer(&offer, headers)),
    }
}

/// The method and target of the request that a proxy asks about. Named in two ways it has two readings, and one of them
/// may be a client's.
pub fn asked_for(request: &Parts) -> Result<(String, String), Problem> {
    let headers = &request.headers;
    let forwarded = (one_value(headers, "x-forwarded-method")?, one_value(headers, "x-forwarded-uri")?);
    let original = (one_value(headers, "x-original-method")?, one_value(headers, "x-original-uri")?);
    let behind = request.uri.path_and_query().and_then(|path| path.as_str().strip_prefix(PATH));
    let behind = behind.filter(|rest| rest.starts_with('/'));
    let named = |method: &str, target: &str| {
        if !is_method(method) {
            let detail = "the method that is asked about is none: it is written in capital letters";
            return Err(Problem::new(Code::MalformedHeader, detail));
        }
        Ok((method.to_owned(), target.to_owned()))
    };
    match (forwarded, original, behind) {
        ((Some(method), Some(target)), (None, None), None) => named(method, target),
        ((None, None), (Some(method), Some(target)), None) => named(method, target),
        ((_, None), (None, None), Some(target)) => named(request.method.as_str(), target),
        _ => Err(Problem::new(
            Code::MalformedHeader,
            "which request is asked about? Let the proxy send either X-Forwarded-Method and X-Forwarded-Uri, or \
             X-Original-Method and X-Original-URI, and none of a client's",
        )),
    }
}

fn recent(claim: &ClaimView, within: Duration) -> bool {
    since_ms(claim.claimed_at_ms) < within
}

/// 200.
fn pass() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    no_store(headers);
    vary(headers);
    response
}

/// 200, who paid, and how long it took to find out, for the proxy to hand on to what it stands before.
fn pass_paid(payment: &PaymentView, took: Duration) -> Response<Body> {
    let mut response = pass();
    let headers = response.headers_mut();
    insert(headers, "x-payment-payer", &payment.payer.to_string());
    insert(headers, "x-payment-id", &payment.payment_id.to_string());
    insert(headers, "x-payment-amount", &payment.amount.to_string());
    server_timing(headers, &[(PAYMENT, took)]);
    response
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use salt402_http::clock;

    use super::*;

    #[test]
    fn a_claim_is_recent_for_as_long_as_is_said_and_where_it_is_of_the_future() {
        clock::set(Duration::from_secs(1000));
        let claim = |claimed_at_ms| ClaimView {
            first: false,
            claimed_at_ms,
            by_use: false,
            tab: None,
            exit_delay_s: None,
        };
        assert!(recent(&claim(990_001), Duration::from_secs(10)));
        assert!(!recent(&claim(990_000), Duration::from_secs(10)));
        assert!(recent(&claim(1_000_001), Duration::from_secs(10)));
    }
}
