//! The way of a paid request: it is read, paid for, run once per payment, and answered.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use salt402_http::clock::{now_ms, since_ms};
use salt402_http::{
    BodyReservation, PAYMENT, Target, no_store, read_json, read_json_of_payer, server_timing, vary,
};
use salt402_paywall::{
    Authorized, Begun, Decision, Granted, Moved, Order, Paywall, Presented, quote_required, shows_payment,
};
use salt402_protocol::api::{ClaimView, PaymentView, TabView};
use salt402_protocol::{Amount, Code, Problem, Proof};
use tokio::time::Instant;

use crate::catalogue::Catalogue;
use crate::charging::May;
use crate::circuit::Circuits;
use crate::dialect::Dialect;
use crate::execution::{Failed, Given, Head, MODEL_HEADER, Purchase};
use crate::gateway::Inner;
use crate::meter::Meter;
use crate::probe::probed;
use crate::reading::{Reading, Unsold};
use crate::stream_body::streamed;
use crate::tab::{Tab, Told};
use crate::under_way::Hold;
use crate::upstream::failure::FailureClass;

/// The response header with the receipt of the payment, as one line of JSON.
pub(crate) const RECEIPT_HEADER: &str = "x-payment-receipt";

/// The response header with what was charged, in base units, where that is not what was paid.
const CHARGE_HEADER: &str = "x-payment-charge";

/// When to ask again for an answer whose charge is on its way, in milliseconds.
const SETTLED_AGAIN_MS: u64 = 2000;

/// Tells nginx, and proxies that follow it, to pass each piece of an answer on at once.
const BUFFERING_HEADER: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A request that is sold.
pub(crate) trait Sale: Send + Sync + Sized + 'static {
    /// Why it is not sold now, if that is so: its server keeps failing.
    fn unsold(&self, gateway: &Inner) -> Option<Problem>;

    /// What must be paid, for exactly this request.
    fn order(&self) -> &Order;

    /// What counts what it uses, of which this much may be charged, in base units.
    fn meter(&self, ceiling: Amount) -> Meter;

    /// The models that it is for, by the names that they are sold by.
    fn names(&self) -> Vec<String>;

    /// What a stream costs at its beginning, which can be paid as it goes. `None`: it cannot.
    fn begins(&self) -> Option<Amount> {
        None
    }

    /// Whether it has several answers, of which each may fail alone.
    fn has_parts(&self) -> bool {
        false
    }

    /// Why nothing more is taken on for it, if that is so.
    fn full(&self) -> Option<Problem>;

    /// Runs it once for a payment, or gives what an earlier run gave.
    fn outcome(
        self,
        gateway: &Inner,
        purchase: Purchase,
    ) -> impl Future<Output = Result<Given, Problem>> + Send;
}

/// Reads a body, by method, target and bytes.
pub(crate) trait Reads<S>:
    FnOnce(&Catalogue, String, String, &[u8]) -> Result<Reading<S>, Problem> + Send
{
}

impl<S, F> Reads<S> for F where
    F: FnOnce(&Catalogue, String, String, &[u8]) -> Result<Reading<S>, Problem> + Send
{
}

/// Answers a request that is paid for, or says how to pay.
pub(crate) async fn walk<S: Sale>(
    gateway: &Arc<Inner>,
    request: Request,
    dialect: Dialect,
    read: impl Reads<S>,
) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let presented = Presented::of(&parts)?;
    gateway.lease.check()?;
    if let Some(told) = probed(gateway, &parts, &body, &presented) {
        return Ok(told);
    }
    let request = Request::from_parts(parts, body);
    let (reading, reservation) = understand(gateway, request, read).await?;
    let priced = match reading {
        Reading::Sold(priced) => *priced,
        // What is sold does not carry the room that this needs.
        Reading::Unsold(unsold) => {
            return Box::pin(redeem(gateway, *unsold, &presented, dialect, reservation)).await;
        }
    };
    let presented = presented.beginning_at(priced.begins());
    let unsold = unkept(gateway).or_else(|| priced.unsold(gateway));
    if let Some(problem) = unsold.as_ref().filter(|_| !presented.pays()) {
        return Err(problem.clone());
    }
    // What is signed now is not settled for what is not sold now.
    let full = priced.full().or_else(|| unsold.clone().filter(|_| presented.signed.is_some()));
    let started = Instant::now();
    let (payment, claim, authorized, bare) =
        match decide(&gateway.paywall, priced.order(), &presented, full).await? {
            Decision::Granted(Granted { payment, claim, authorized, bare, .. }) => {
                (payment, claim, authorized, bare)
            }
            // A refusal says how to pay, and this is no time for it.
            Decision::Unpaid(offer) => return unsold.map_or_else(|| Ok(dialect.offer(&offer)), Err),
        };
    let verified = started.elapsed();
    // What was paid for is limited by its payments.
    drop(reservation);
    let order = priced.order();
    let (view, within) = (claim.tab.clone(), claim.within(now_ms()));
    let (first, hold) = reserve(gateway, order, &payment, claim, authorized.as_ref()).await?;
    let tab =
        view.filter(|_| hold.is_some()).and_then(|view| tab(gateway, order, &presented, &payment, &view));
    let most = tab.as_ref().map_or(payment.amount, |tab| tab.most());
    let meter = authorized.as_ref().map(|_| Arc::new(priced.meter(most).holding(hold).on(tab)));
    let purchase = Purchase::new(payment, first, order.description.clone()).charged(meter).within(within);
    let (receipt, started) = (purchase.payment.clone(), Instant::now());
    let given = priced.outcome(gateway, purchase).await;
    give(gateway, (&presented, bare), dialect, &receipt, authorized, given, [verified, started.elapsed()])
        .await
}

/// The stream that a voucher has begun which need not pay for all of it.
fn tab(
    gateway: &Inner,
    order: &Order,
    presented: &Presented,
    payment: &PaymentView,
    view: &TabView,
) -> Option<Arc<Tab>> {
    let Some(Proof::Voucher(voucher)) = presented.proof else { return None };
    let begun = Begun { payment: payment.payment_id, voucher, request: order.sold.digest, most: view.most };
    Some(gateway.tabs.open(begun, payment.amount, *view))
}

/// Writes down what was authorized before it is run. Returns whether it is run for the first time, and what is held until it was run
/// and what it used is on disk.
pub(crate) async fn reserve(
    gateway: &Inner,
    order: &Order,
    payment: &PaymentView,
    claim: ClaimView,
    authorized: Option<&Authorized>,
) -> Result<(bool, Option<Hold>), Problem> {
    let Some(authorized) = authorized else { return Ok((claim.first, None)) };
    match gateway.charging.reserve(payment, order.sold.digest, authorized).await? {
        May::Run { first, hold } => Ok((first, Some(hold))),
        May::Ran => Ok((false, None)),
    }
}

/// Whether it was paid for. While nothing more is taken on, no price is told and no payment is used up, but whoever's
/// payment was used for this request before is let in.
pub(crate) async fn decide(
    paywall: &Paywall,
    order: &Order,
    presented: &Presented,
    full: Option<Problem>,
) -> Result<Decision, Problem> {
    let Some(full) = full else { return paywall.decide(order, presented).await };
    if !presented.pays() {
        return Err(full);
    }
    let again = Presented { too_soon: presented.too_soon.or(Some(Duration::ZERO)), ..presented.clone() };
    match paywall.decide(order, &again).await {
        Ok(granted @ Decision::Granted { .. }) => Ok(granted),
        Ok(Decision::Unpaid(_)) | Err(_) => Err(full),
    }
}

/// Serves what is no longer sold to those who paid while it was sold. What cannot be served is owed to them.
async fn redeem<S: Sale>(
    gateway: &Arc<Inner>,
    unsold: Unsold<S>,
    presented: &Presented,
    dialect: Dialect,
    reservation: BodyReservation,
) -> Result<Response<Body>, Problem> {
    let Unsold { problem, order, request } = unsold;
    let started = Instant::now();
    let Some(Granted { payment, claim, authorized, bare, .. }) =
        gateway.paywall.redeem(&order, presented).await?
    else {
        return Err(problem);
    };
    let verified = started.elapsed();
    drop(reservation);
    tracing::warn!(payment = %payment.payment_id, why = problem.detail, served = request.is_some(),
        "what is not sold any more was paid for before");
    let (view, within) = (claim.tab.clone(), claim.within(now_ms()));
    let (first, hold) = reserve(gateway, &order, &payment, claim, authorized.as_ref()).await?;
    let tab =
        view.filter(|_| hold.is_some()).and_then(|view| tab(gateway, &order, presented, &payment, &view));
    let most = tab.as_ref().map_or(payment.amount, |tab| tab.most());
    // What is not sold now has no price of the moment, and so all that was authorized is charged if it is run.
    let meter = authorized.as_ref().map(|_| match &request {
        Some(request) => request.meter(most).on(tab),
        None => Meter::of_nothing(),
    });
    let meter = meter.map(|meter| Arc::new(meter.holding(hold)));
    let purchase = Purchase::new(payment, first, order.description).charged(meter).within(within);
    let (receipt, started) = (purchase.payment.clone(), Instant::now());
    let given = match request {
        Some(request) => request.outcome(gateway, purchase).await,
        None => {
            let owed = Failed { class: FailureClass::Permanent, detail: problem.detail, after: None };
            gateway.executions.outcome(purchase, || std::future::ready(Err(owed))).await
        }
    };
    give(gateway, (presented, bare), dialect, &receipt, authorized, given, [verified, started.elapsed()])
        .await
}

/// The request, and the memory that it takes.
pub(crate) async fn understand<S>(
    gateway: &Inner,
    request: Request,
    read: impl Reads<S>,
) -> Result<(Reading<S>, BodyReservation), Problem> {
    let method = request.method().as_str().to_owned();
    let path = Target::of(request.uri(), request.version())?.as_str().to_owned();
    let read_body = if shows_payment(request.headers()) {
        read_json_of_payer(request, gateway.body_limit).await
    } else {
        read_json(request, gateway.body_limit).await
    };
    let body = read_body.map_err(|fault| fault.0)?;
    read(&gateway.catalogue, method, path, &body.bytes).map(|reading| (reading, body.reservation))
}

/// Why nothing may be paid for now: its server keeps failing, or the answer could not be kept.
pub(crate) fn unsold(gateway: &Inner, circuits: &Circuits, name: &str) -> Option<Problem> {
    unkept(gateway).or_else(|| circuits.unsold(name))
}

/// Why nothing may be paid for now, whatever it is: its answer could not be kept.
pub(crate) fn unkept(gateway: &Inner) -> Option<Problem> {
    let error = gateway.store.writable().err()?;
    tracing::warn!(%error, "nothing is sold while answers cannot be kept");
    let detail = "the server cannot store anything now, so nothing is sold: ask again later; whoever has paid does not pay \
                  again, and shows the same proof again";
    Some(Problem::new(Code::StorageUnavailable, detail).retry_after(2000))
}

/// The answer that a payment paid for. `bare`: whether everybody can show it so. `authorized`: where what was used is charged.
/// `took`: how long its verification took, and what came after it.
pub(crate) async fn give(
    gateway: &Inner,
    (presented, bare): (&Presented, bool),
    dialect: Dialect,
    payment: &PaymentView,
    authorized: Option<Authorized>,
    given: Result<Given, Problem>,
    took: [Duration; 2],
) -> Result<Response<Body>, Problem> {
    let given = given.map_err(|problem| dialect.after_payment(problem))?;
    let age = match &given {
        Given::Whole(answer) => since_ms(answer.kept_at_ms),
        Given::Stream(..) => Duration::ZERO,
        Given::Several(several) => since_ms(several.kept_at_ms),
    };
    // A stream is settled at its end, after its head.
    let charge = match (&given, &authorized) {
        (Given::Whole(_), Some(authorized)) => Some(settled(gateway, payment, authorized, dialect).await?),
        _ => None,
    };
    if bare && !gateway.bare.may(payment.payment_id, age) {
        return Err(dialect.after_payment(quote_required()));
    }
    let mut response = match given {
        Given::Whole(whole) => answer(&whole.head, Body::from(whole.body)),
        Given::Stream(head, reader) => {
            let tab = (presented.as_it_goes && head.is_events()).then(|| gateway.tabs.of(payment.payment_id));
            answer(&head, streamed(reader, dialect, tab.flatten().map(Told::of)))
        }
        Given::Several(several) => several.response,
    };
    let shown = charge.as_ref().and_then(|charge| charge.payment.as_deref()).unwrap_or(payment);
    let headers = response.headers_mut();
    mark_paid(headers, shown, took, "model");
    match &charge {
        Some(charge) => tell(headers, charge, shown, presented)?,
        None if authorized.is_none() => headers.extend(presented.receipt(payment)),
        None => {}
    }
    Ok(response)
}

/// Tells what was charged, to whoever has shown this.
pub(crate) fn tell(
    headers: &mut HeaderMap,
    charge: &Charged,
    payment: &PaymentView,
    presented: &Presented,
) -> Result<(), Problem> {
    let amount = HeaderValue::from_str(&charge.amount.to_string()).map_err(unwritten)?;
    headers.insert(CHARGE_HEADER, amount);
    if charge.is_settled {
        headers.extend(presented.receipt_of(payment, charge.amount));
    }
    Ok(())
}

fn unwritten(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "a header could not be written");
    Problem::new(Code::Internal, "the answer's headers could not be written; show the same proof again")
}

/// What was charged for an answer.
pub(crate) struct Charged {
    pub(crate) amount: Amount,
    /// Whether it was moved or counted. If not, it is on its way.
    pub(crate) is_settled: bool,
    /// The payment that moved it, if there is one.
    pub(crate) payment: Option<Box<PaymentView>>,
}

/// Has what was used settled. An answer whose charge was not moved is kept, and given when it was. What is charged of a channel is
/// covered by its deposit, whenever it is counted.
pub(crate) async fn settled(
    gateway: &Inner,
    payment: &PaymentView,
    authorized: &Authorized,
    dialect: Dialect,
) -> Result<Charged, Problem> {
    let (amount, moved) = gateway.charging.moved(payment.payment_id).await?;
    match moved {
        Moved::Done(payment) => Ok(Charged { amount, is_settled: true, payment }),
        Moved::Pending(problem) if authorized.question.is_some() => {
            let detail = format!("the answer is kept until what it cost is settled: {}", problem.detail);
            let pause = problem.retry_after_ms.unwrap_or(SETTLED_AGAIN_MS);
            let pending = Problem::new(Code::SettlementPending, detail).retry_after(pause);
            Err(dialect.after_payment(pending))
        }
        Moved::Pending(_) => Ok(Charged { amount, is_settled: false, payment: None }),
        Moved::Refused(problem) => {
            let detail = format!(
                "the answer is kept, and {amount} base units that it cost could not be settled: {}; let the balance and \
                 Permit2's allowance cover it, and send the same payment again",
                problem.detail
            );
            Err(dialect.after_payment(Problem::new(Code::PayerRefused, detail).retry_after(5000)))
        }
    }
}

fn answer(head: &Head, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::OK);
    let kind = HeaderValue::from_str(&head.content_type);
    let kind = kind.unwrap_or(HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    if let Some(model) = head.model.as_deref().and_then(|model| HeaderValue::from_str(model).ok()) {
        response.headers_mut().insert(MODEL_HEADER, model);
    }
    response
}

/// Marks an answer as paid for, and for nobody else. It says by which payment, and what took how long: `what` names the last part.
pub(crate) fn mark_paid(
    headers: &mut HeaderMap,
    payment: &PaymentView,
    took: [Duration; 2],
    what: &'static str,
) {
    no_store(headers);
    vary(headers);
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if kind.to_ascii_lowercase().starts_with(b"text/event-stream") {
        headers.insert(BUFFERING_HEADER, HeaderValue::from_static("no"));
    }
    let receipt = serde_json::to_string(payment).ok().and_then(|text| HeaderValue::from_str(&text).ok());
    if let Some(receipt) = receipt {
        headers.insert(RECEIPT_HEADER, receipt);
    }
    let [verified, served] = took;
    server_timing(headers, &[(PAYMENT, verified), (what, served)]);
}
