//! The way of a request to a service: free, or paid for, run once per payment, and answered.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, header};
use axum::middleware;
use axum::routing::{MethodRouter, any};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use salt402_http::clock::now_ms;
use salt402_http::{
    BodyBudget, Caller, HeldBody, Target, address_limited, address_wait, limit_addresses, one_value,
    paced_body, problem_response, read_body,
};
use salt402_paywall::{
    Decision, Granted, Order, Paywall, Presented, Rule, after_signature, asked_once, offer_answer,
    pays_again, shows_payment,
};
use salt402_protocol::api::{PaymentView, Usage};
use salt402_protocol::{Code, PaymentId, Problem};
use tokio::time::Instant;

use crate::dialect::Dialect;
use crate::draws::{self, Reserved};
use crate::execution::{Answered, Delivered, Failed, PassedHead, Purchase};
use crate::gateway::{Gateway, Inner};
use crate::keyed::{mark, read_key};
use crate::keys::{KeyShown, Keys, is_shown, strip};
use crate::meter::Meter;
use crate::paid::{decide, mark_paid, reserve, settled, tell, unsold};
use crate::proxy::exchange::{self, Asked};
use crate::proxy::redirects::From;
use crate::question::Question;
use crate::services::Service;
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::payload::Payload;

/// The services that are sold by path, for any method. `None` if there is none.
pub(crate) fn services(gateway: &Gateway) -> Option<MethodRouter<Gateway>> {
    if gateway.0.services.is_empty() {
        return None;
    }
    let services = any(handle);
    Some(match gateway.0.addresses.clone() {
        Some(limits) => services.layer(middleware::from_fn_with_state(limits, limit_addresses)),
        None => services,
    })
}

/// Answers whatever is asked for at no path of the gateway's own.
async fn handle(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let shown = shows_payment(request.headers());
    let signs = shown && pays_again(request.headers());
    let answered = serve(&gateway.0, request).await;
    let refused = |problem| problem_response(&if signs { after_signature(problem) } else { problem });
    asked_once(shown, answered.unwrap_or_else(refused))
}

async fn serve(gateway: &Arc<Inner>, request: Request) -> Result<Response<Body>, Problem> {
    let (mut parts, body) = request.into_parts();
    refuse_upgrades(&parts)?;
    let key = gateway
        .keys
        .as_ref()
        .filter(|_| is_shown(&parts.headers))
        .map(|keys| (keys, read_key(&parts.headers)));
    if gateway.keys.is_some() {
        strip(&mut parts.headers);
    }
    let target = Target::of(&parts.uri, parts.version)?.as_str();
    let (service, rule) = gateway.services.find(parts.method.as_str(), target, &parts.headers)?;
    if rule.amount.is_zero() {
        return free(gateway, service, &parts, body).await;
    }
    // What is free does not carry the room that these need.
    match key {
        Some((keys, shown)) => Box::pin(keyed(gateway, (keys, shown?), service, rule, parts, body)).await,
        None => Box::pin(paid(gateway, service, rule, parts, body)).await,
    }
}

/// Refuses what is no single request with a single answer.
fn refuse_upgrades(request: &Parts) -> Result<(), Problem> {
    if request.headers.contains_key(header::UPGRADE) {
        let detail = "one request and its answer are sold here: WebSocket and other protocols are not passed on, so send \
                      the request without the header Upgrade";
        return Err(Problem::new(Code::MalformedHeader, detail));
    }
    if [Method::CONNECT, Method::TRACE].contains(&request.method) {
        return Err(Problem::new(Code::MethodNotAllowed, "this method is not passed on"));
    }
    Ok(())
}

/// A request without a price. Neither its body nor its answer is read here.
async fn free(
    gateway: &Inner,
    service: &Arc<Service>,
    request: &Parts,
    body: Body,
) -> Result<Response<Body>, Problem> {
    if let Some(wait) = address_wait(&request.extensions) {
        return Err(address_limited(wait));
    }
    if let Some(full) = service.admission.full() {
        return Err(full);
    }
    let permit = service.admission.enter().await;
    let payload = if body.is_end_stream() {
        Payload::Whole(Bytes::new())
    } else {
        Payload::Stream(paced_body(body, &BodyBudget::of(&request.extensions)))
    };
    let asked = Asked::of(service, request, Caller::of(&request.extensions));
    let answered = exchange::free(service, asked, payload).await;
    // What is free says of the service only that it cannot be reached: what has a price may fail all the same.
    if let Err(error) = &answered
        && matches!(error.kind, Failure::Unreachable | Failure::NotConnected)
    {
        gateway.service_circuits.note(service.name(), Err::<(), _>(error));
    }
    let (head, body) = answered.map_err(|error| free_failed(&error))?;
    Ok(answer(head, exchange::held(body, permit)))
}

fn free_failed(error: &UpstreamError) -> Problem {
    if error.kind == Failure::RequestBrokenOff {
        return Problem::new(Code::RequestTimeout, error.of_service());
    }
    let detail = format!("{}: ask again later", error.of_service());
    Problem::new(Code::ServiceUnavailable, detail).retry_after(1000)
}

async fn paid(
    gateway: &Arc<Inner>,
    service: &Arc<Service>,
    rule: &Rule,
    request: Parts,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let presented = Presented::of(&request)?;
    gateway.lease.check()?;
    let budget = BodyBudget::of(&request.extensions);
    let HeldBody { bytes, reservation } = read_body(body, service.options.body_limit, &budget).await?;
    let target = Target::of(&request.uri, request.version)?.as_str().to_owned();
    let order = rule.order(request.method.as_str().to_owned(), target, &bytes);
    let unsold = unsold(gateway, &gateway.service_circuits, service.name());
    if let Some(problem) = unsold.as_ref().filter(|_| !presented.pays()) {
        return Err(problem.clone());
    }
    let keeps = service.options.keep_answers.is_some();
    // Also where answers are kept, one that is too long is given once.
    let paywall = Paywall { keeps_answers: keeps, needs_quote: true, ..gateway.paywall.clone() };
    let started = Instant::now();
    // What is signed now is not settled for what is not sold now.
    let full = service.admission.full().or_else(|| unsold.clone().filter(|_| presented.signed.is_some()));
    let (payment, claim, authorized, usage) = match decide(&paywall, &order, &presented, full).await? {
        Decision::Granted(Granted { payment, claim, authorized, usage, .. }) => {
            (payment, claim, authorized, usage)
        }
        // A refusal says how to pay, and this is no time for it.
        Decision::Unpaid(offer) => {
            return unsold.map_or_else(|| Ok(offer_answer(&offer, &request.headers)), Err);
        }
    };
    let verified = started.elapsed();
    // What was paid for is limited by its payments.
    drop(reservation);
    let run = run(gateway, service, rule, &request, &order, &payment, bytes);
    let started = Instant::now();
    let within = claim.within(now_ms());
    let (first, hold) = reserve(gateway, &order, &payment, claim, authorized.as_ref()).await?;
    let mut purchase = purchase(&payment, first, usage, &order).within(within);
    purchase.meter = authorized.as_ref().map(|_| Arc::new(metered(rule, &payment).holding(hold)));
    let delivered = gateway.deliveries.outcome(purchase, keeps, run).await?;
    let mut charge = None;
    let (head, body) = match delivered {
        Delivered::Kept(head, body) => {
            if let Some(authorized) = &authorized {
                charge = Some(settled(gateway, &payment, authorized, Dialect::Problem).await?);
            }
            (head, Body::from(body))
        }
        Delivered::Once(head, body) => (head, body),
    };
    let mut response = answer(head, body);
    let shown = charge.as_ref().and_then(|charge| charge.payment.as_deref()).unwrap_or(&payment);
    let headers = response.headers_mut();
    mark_paid(headers, shown, [verified, started.elapsed()], "service");
    match &charge {
        Some(charge) => tell(headers, charge, shown, &presented)?,
        None if authorized.is_none() => headers.extend(presented.receipt(&payment)),
        // What is given once is charged at its end.
        None => {}
    }
    Ok(response)
}

/// A request that the balance of an API key pays for.
async fn keyed(
    gateway: &Arc<Inner>,
    (keys, shown): (&Keys, KeyShown),
    service: &Arc<Service>,
    rule: &Rule,
    request: Parts,
    body: Body,
) -> Result<Response<Body>, Problem> {
    if let Some(wait) = address_wait(&request.extensions) {
        return Err(address_limited(wait));
    }
    gateway.lease.check()?;
    let budget = BodyBudget::of(&request.extensions);
    let HeldBody { bytes, reservation } = read_body(body, service.options.body_limit, &budget).await?;
    let target = Target::of(&request.uri, request.version)?.as_str().to_owned();
    let order = rule.order(request.method.as_str().to_owned(), target, &bytes);
    let unsold = unsold(gateway, &gateway.service_circuits, service.name());
    if let Some(problem) = unsold.or_else(|| service.admission.full()) {
        return Err(problem);
    }
    let client = Caller::of(&request.extensions);
    let started = Instant::now();
    let models = vec![service.name().to_owned()];
    let Reserved { payment, authorized, first, hold, once } =
        draws::reserve(gateway, keys, &shown, &order, models, client).await?;
    let reserving = started.elapsed();
    drop(reservation);
    let run = run(gateway, service, rule, &request, &order, &payment, bytes);
    let started = Instant::now();
    let meter = Arc::new(metered(rule, &payment).holding(hold));
    let purchase =
        Purchase::new(payment.clone(), first, order.description.clone()).charged(Some(meter)).once(once);
    // With an `Idempotency-Key` the answer is given again, if it is kept.
    let keeps = service.options.keep_answers.is_some();
    let delivered = gateway.deliveries.outcome(purchase, keeps, run).await;
    if delivered.is_err() && once {
        gateway.charging.release(payment.payment_id).await?;
    }
    let mut charge = None;
    let (head, body) = match delivered? {
        Delivered::Kept(head, body) => {
            charge = Some(settled(gateway, &payment, &authorized, Dialect::Problem).await?);
            (head, Body::from(body))
        }
        Delivered::Once(head, body) => (head, body),
    };
    let mut response = answer(head, body);
    let headers = response.headers_mut();
    mark_paid(headers, &payment, [reserving, started.elapsed()], "service");
    if let Some(charge) = &charge {
        tell(headers, charge, &payment, &Presented::default())?;
    }
    mark(headers, payment.payment_id);
    Ok(response)
}

/// What counts what an answer costs. A rule whose price is by the answer no more charges all that was authorized while it was.
fn metered(rule: &Rule, payment: &PaymentView) -> Meter {
    match rule.by_answer {
        // Whoever authorizes more than is asked pays no more than that.
        Some(price) => Meter::of_answer(price, payment.amount.min(rule.amount)),
        None => Meter::of_all(payment.amount),
    }
}

/// A run of a paid request at its service.
fn run(
    gateway: &Arc<Inner>,
    service: &Arc<Service>,
    rule: &Rule,
    request: &Parts,
    order: &Order,
    payment: &PaymentView,
    bytes: Bytes,
) -> impl FnOnce() -> BoxFuture<'static, Result<Answered, Failed>> + Send + 'static + use<> {
    let mut asked = Asked::of(service, request, Caller::of(&request.extensions)).paid_by(payment);
    if rule.by_answer.is_some_and(|price| !price.per_row.is_zero()) {
        // Rows that are compressed are counted by nobody.
        asked.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    let host = one_value(&request.headers, header::HOST.as_str()).ok().flatten().map(str::to_owned);
    let host = request.uri.authority().map(ToString::to_string).or(host);
    let from = From { method: request.method.clone(), target: order.path.clone(), host };
    let (service, of_all) = (Arc::clone(service), Arc::clone(gateway));
    move || {
        let run = async move {
            let question = Question::begin(&of_all.service_circuits, service.name());
            let answered = exchange::paid(&service, asked, bytes).await;
            question.end(answered.and_then(|answered| from.checked(&of_all.services, answered)))
        };
        run.boxed()
    }
}

/// What is run once. Where the payment was made for several requests, each of them has an outcome of its own, under a name
/// that is made of the payment's and the request's.
fn purchase(payment: &PaymentView, first: bool, usage: Option<Usage>, order: &Order) -> Purchase {
    let (mut payment, mut sold) = (Box::new(payment.clone()), order.description.clone());
    if let Some(usage) = usage {
        sold = format!("{sold} (one of those that payment {} pays for)", payment.payment_id);
        payment.payment_id = of_use(payment.payment_id, usage.request_digest.0);
    }
    Purchase::new(payment, first, sold)
}

/// The name of what was done for one of several requests of a payment.
fn of_use(payment: PaymentId, request: salt402_protocol::B256) -> PaymentId {
    use sha2::{Digest as _, Sha256};
    let mut hasher = Sha256::new();
    hasher.update(b"salt402-use-v1\n");
    hasher.update(payment.0);
    hasher.update(request);
    PaymentId(salt402_protocol::B256::new(hasher.finalize().into()))
}

fn answer(head: PassedHead, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}
