//! The way of a request that shows an API key: what it may cost is reserved of the key's balance, it is run once, what it used is charged, and
//! it is answered.
//!
//! Nothing is told here of how to pay for the request itself: whoever pays beside a key would pay for what the key is for. What tops the
//! balance up is bought by itself (`balance`).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response};
use salt402_http::{Caller, address_limited, address_wait};
use salt402_paywall::{Presented, shows_payment};
use salt402_protocol::{Code, PaymentId, Problem};
use tokio::time::Instant;

use crate::dialect::Dialect;
use crate::draws::{Reserved, reserve};
use crate::execution::{Given, Purchase};
use crate::gateway::Inner;
use crate::keys::{KeyShown, Keys};
use crate::paid::{RECEIPT_HEADER, Reads, Sale, give, understand, unkept};
use crate::reading::Reading;

/// The header with the id of a request, under which the history of its balance has it. OpenAI's clients read it.
const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The same for Anthropic's.
const ANTHROPIC_ID_HEADER: HeaderName = HeaderName::from_static("request-id");

/// Reads the key of a request that claims to show one, and refuses a second way to pay.
pub(crate) fn read_key(headers: &HeaderMap) -> Result<KeyShown, Problem> {
    if shows_payment(headers) {
        let detail = "the request shows an API key and something to pay with: send one of them. Nothing was taken. A payment that was made \
                      for a balance is shown to POST /v1/balance, without the key";
        return Err(Problem::new(Code::MalformedProof, detail));
    }
    KeyShown::read(headers)?
        .ok_or_else(|| Problem::new(Code::MalformedHeader, "the API key was not understood"))
}

/// Answers it.
pub(crate) async fn walk<S: Sale>(
    gateway: &Arc<Inner>,
    keys: &Keys,
    request: Request,
    dialect: Dialect,
    read: impl Reads<S>,
) -> Result<Response<Body>, Problem> {
    let shown = read_key(request.headers())?;
    if let Some(wait) = address_wait(request.extensions()) {
        return Err(address_limited(wait));
    }
    let client = Caller::of(request.extensions());
    gateway.lease.check()?;
    let (reading, reservation) = understand(gateway, request, read).await?;
    let priced = match reading {
        Reading::Sold(priced) => *priced,
        Reading::Unsold(unsold) => return Err(unsold.problem),
    };
    if let Some(problem) = unkept(gateway).or_else(|| priced.unsold(gateway)).or_else(|| priced.full()) {
        return Err(problem);
    }
    let started = Instant::now();
    let order = priced.order();
    let reserved = reserve(gateway, keys, &shown, order, priced.names(), client).await?;
    drop(reservation);
    let Reserved { payment, authorized, first, hold, once } = reserved;
    let reserving = started.elapsed();
    let meter = Arc::new(priced.meter(payment.amount).holding(hold));
    let purchase =
        Purchase::new(payment.clone(), first, order.description.clone()).charged(Some(meter)).once(once);
    // What is answered is charged before a copy of the request looks at it, which would run what failed, and have it for nothing.
    let turn = if priced.has_parts() { Some(keys.several.wait(payment.payment_id).await) } else { None };
    let started = Instant::now();
    let given = priced.outcome(gateway, purchase).await;
    match &given {
        // They are on disk, and what they cost before they are told.
        Ok(Given::Several(several)) => gateway.charging.charge(payment.payment_id, several.served).await?,
        Err(_) if once => gateway.charging.release(payment.payment_id).await?,
        _ => {}
    }
    drop(turn);
    let took = [reserving, started.elapsed()];
    let nobody = Presented::default();
    let given = give(gateway, (&nobody, false), dialect, &payment, Some(authorized), given, took).await;
    let mut response = given.map_err(|problem| named(problem, &shown))?;
    mark(response.headers_mut(), payment.payment_id);
    Ok(response)
}

/// Says of an answer which request of the balance it is. It has no receipt: no payment was made for it.
pub(crate) fn mark(headers: &mut HeaderMap, draw: PaymentId) {
    headers.remove(RECEIPT_HEADER);
    if let Ok(id) = HeaderValue::from_str(&draw.to_string()) {
        headers.insert(REQUEST_ID_HEADER, id.clone());
        headers.insert(ANTHROPIC_ID_HEADER, id);
    }
}

/// What failed, as whoever has a key is told: it shows no proof.
fn named(mut problem: Problem, shown: &KeyShown) -> Problem {
    if shown.idempotency.is_some() && problem.code == Code::UpstreamFailed {
        problem.status = 503;
        problem.detail = problem.detail.replace(
            "the payment stays good for this request: show the same proof again",
            "nothing was charged: send it again with the same Idempotency-Key",
        );
    }
    problem
}
