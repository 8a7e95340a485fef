//! `POST /v1/inference`: the request, its price, and its answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use salt402_http::clock::since_ms;
use salt402_http::{
    BodyReservation, PAYMENT, Target, no_store, problem_response, read_json, server_timing, vary,
};
use salt402_paywall::openapi::PaymentHeaders;
use salt402_paywall::{Decision, Presented, after_signature, offer_response, quote_required, settled_header};
use salt402_protocol::api::PaymentView;
use salt402_protocol::proof::PROOF_HEADER;
use salt402_protocol::x402::required::SIGNATURE_HEADER;
use salt402_protocol::{Code, Problem};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::circuit::Circuits;
use crate::execution::{Answer, Failed, Purchase};
use crate::gateway::{Gateway, Inner};
use crate::priced_request::{InferenceRequest, PricedRequest, Reading, Unsold};
use crate::upstream::completion::{Completion, Task, Usage};
use crate::upstream::failure::{FailureClass, UpstreamError};

/// The response header with the receipt of the payment, as one line of JSON.
pub(crate) const RECEIPT_HEADER: &str = "x-payment-receipt";

/// Whether a client may ask again on its own. OpenAI's clients read this header.
const SHOULD_RETRY_HEADER: &str = "x-should-retry";

/// What a client is answered.
#[derive(Serialize, ToSchema)]
struct InferenceResponse<'a> {
    /// The model that answers.
    model: &'a str,
    /// The text. Empty if the model wrote no answer, as when it reasoned until `max_tokens`.
    output: &'a str,
    /// What the model thought before, if the model server tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    /// Why there is no output, if the model refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    /// Why it stopped: `stop`, `length` at `max_tokens`, or another word of the model server.
    finish_reason: &'a str,
    /// Tokens read and written.
    usage: Usage,
}

/// An answer of a model, for a payment
#[utoipa::path(post, path = "/v1/inference", tag = "inference", request_body = InferenceRequest,
    params(PaymentHeaders),
    responses((status = 200, description = "The answer. The same request with the same proof and quote id gets it again; with the proof alone, a few times within a minute.",
        body = InferenceResponse<'_>,
        headers(
            ("X-Payment-Receipt" = String, description = "PaymentView as one line of JSON."),
            ("Server-Timing" = String, description = "What verification and the model took."),
            ("Cache-Control" = String, description = "`no-store, private`"),
            ("Vary" = String, description = "The payment headers.")))))]
pub(crate) async fn handle(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let signs = request.headers().contains_key(SIGNATURE_HEADER);
    let shown = signs || request.headers().contains_key(PROOF_HEADER);
    let mut response = serve(&gateway.0, request)
        .await
        .unwrap_or_else(|problem| problem_response(&if signs { after_signature(problem) } else { problem }));
    if shown && !response.status().is_success() {
        // Some clients ask again on their own without the proof. Then the request would be paid twice.
        response.headers_mut().insert(SHOULD_RETRY_HEADER, HeaderValue::from_static("false"));
    }
    response
}

async fn serve(gateway: &Inner, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let presented = Presented::of(&parts)?;
    gateway.lease.check()?;
    let request = Request::from_parts(parts, body);
    let (reading, reservation) = read(gateway, request).await?;
    let priced: Arc<PricedRequest> = match reading {
        Reading::Sold(priced) => Arc::from(priced),
        Reading::Unsold(unsold) => return redeem(gateway, *unsold, &presented, reservation).await,
    };
    let unsold = unsold(gateway, &priced.name);
    if let Some(problem) = unsold.as_ref().filter(|_| !presented.pays()) {
        return Err(problem.clone());
    }
    let started = Instant::now();
    let (payment, first) = match gateway.paywall.decide(&priced.order, &presented).await? {
        Decision::Granted { payment, claim } => (payment, claim.first),
        // A refusal says how to pay, and this is no time for it.
        Decision::Unpaid(offer) => return unsold.map_or_else(|| Ok(offer_response(&offer)), Err),
    };
    let verified = started.elapsed();
    // What was paid for is limited by its payments.
    drop(reservation);
    let purchase = Purchase { payment, first, sold: priced.order.description.clone() };
    let circuits = gateway.circuits.clone();
    give(gateway, &presented, purchase, verified, || run(priced, circuits)).await
}

/// Serves what is no longer sold to those who paid while it was sold. What cannot be served is owed to them.
async fn redeem(
    gateway: &Inner,
    unsold: Unsold,
    presented: &Presented,
    reservation: BodyReservation,
) -> Result<Response<Body>, Problem> {
    let Unsold { problem, order, request } = unsold;
    let started = Instant::now();
    let Some((payment, claim)) = gateway.paywall.redeem(&order, presented).await? else {
        return Err(problem);
    };
    let verified = started.elapsed();
    drop(reservation);
    tracing::warn!(payment = %payment.payment_id, why = problem.detail, served = request.is_some(),
        "what is not sold any more was paid for before");
    let purchase = Purchase { payment, first: claim.first, sold: order.description };
    let circuits = gateway.circuits.clone();
    let run = || async {
        match request {
            Some(request) => run(Arc::new(request), circuits).await,
            None => Err(Failed { class: FailureClass::Permanent, detail: problem.detail, after: None }),
        }
    };
    give(gateway, presented, purchase, verified, run).await
}

/// The answer that a payment paid for. It is run if there is no answer yet.
async fn give<F>(
    gateway: &Inner,
    presented: &Presented,
    purchase: Purchase,
    verified: Duration,
    run: impl FnOnce() -> F,
) -> Result<Response<Body>, Problem>
where
    F: Future<Output = Result<Bytes, Failed>> + Send + 'static,
{
    let (payment, started) = (purchase.payment.clone(), Instant::now());
    let Answer { body, kept_at_ms } = gateway.executions.outcome(purchase, run).await?;
    if presented.is_bare() && !gateway.bare.may(payment.payment_id, since_ms(kept_at_ms)) {
        return Err(quote_required());
    }
    let mut response = answer(&payment, body, verified, started.elapsed());
    if presented.signed.is_some() {
        response.headers_mut().extend(settled_header(&payment));
    }
    Ok(response)
}

/// The request, and the memory that it takes.
async fn read(gateway: &Inner, request: Request) -> Result<(Reading, BodyReservation), Problem> {
    let method = request.method().as_str().to_owned();
    let path = Target::of(request.uri(), request.version())?.as_str().to_owned();
    let body = read_json(request, gateway.body_limit).await.map_err(|fault| fault.0)?;
    PricedRequest::understand(&gateway.catalogue, method, path, &body.bytes)
        .map(|reading| (reading, body.reservation))
}

/// Why nothing may be paid for now: the model's server keeps failing, or the answer could not be kept.
fn unsold(gateway: &Inner, model: &str) -> Option<Problem> {
    if let Err(error) = gateway.store.writable() {
        tracing::warn!(%error, "nothing is sold while answers cannot be kept");
        let detail = "the server cannot store anything now, so nothing is sold: ask again later; whoever has paid does not pay \
                      again, and shows the same proof again";
        return Some(Problem::new(Code::StorageUnavailable, detail).retry_after(2000));
    }
    gateway.circuits.unsold(model)
}

/// Asks the model. What it returns is kept for the payer.
async fn run(request: Arc<PricedRequest>, circuits: Circuits) -> Result<Bytes, Failed> {
    let name = &request.name;
    let PricedRequest { prompt, tokens, temperature, .. } = &*request;
    let task = Task { prompt, max_tokens: *tokens, temperature: *temperature };
    let started = Instant::now();
    // While the server fails for everybody, a failure here says nothing about this request.
    let shut = circuits.unsold(name).is_some();
    let completion = complete(&request, &task, &circuits).await;
    circuits.note(name, completion.as_ref());
    metrics::histogram!("salt402_gateway_upstream_seconds", "model" => name.clone())
        .record(started.elapsed().as_secs_f64());
    let Completion { output, reasoning, refusal, finish_reason, usage } = completion.map_err(|error| {
        let class = match error.class() {
            FailureClass::Ran if shut => FailureClass::NotRun,
            class => class,
        };
        // A permanent refusal is not the server's fault.
        if class != FailureClass::Permanent {
            metrics::counter!("salt402_gateway_upstream_failures_total", "model" => name.clone())
                .increment(1);
        }
        Failed { class, detail: error.to_string(), after: error.after }
    })?;
    metrics::counter!("salt402_gateway_executions_total", "model" => name.clone()).increment(1);
    let answer = InferenceResponse {
        model: name,
        output: &output,
        reasoning: reasoning.as_deref(),
        refusal: refusal.as_deref(),
        finish_reason: &finish_reason,
        usage,
    };
    serde_json::to_vec(&answer).map(Bytes::from).map_err(|_| Failed {
        class: FailureClass::Ran,
        detail: "the answer could not be written".into(),
        after: None,
    })
}

/// The model server's answer. If the server answers the gateway's own question before and after and refuses only this
/// request, it refuses the request and not the gateway.
async fn complete(
    request: &PricedRequest,
    task: &Task<'_>,
    circuits: &Circuits,
) -> Result<Completion, UpstreamError> {
    let upstream = &request.model.upstream;
    match upstream.complete(task).await {
        Err(error) if error.lets_nobody_in() && circuits.answers(&request.name).await => {
            upstream.complete(task).await.map_err(UpstreamError::of_this_request)
        }
        completion => completion,
    }
}

fn answer(payment: &PaymentView, body: Bytes, verified: Duration, served: Duration) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    no_store(headers);
    vary(headers);
    let receipt = serde_json::to_string(payment).ok().and_then(|text| HeaderValue::from_str(&text).ok());
    if let Some(receipt) = receipt {
        headers.insert(RECEIPT_HEADER, receipt);
    }
    server_timing(headers, &[(PAYMENT, verified), ("model", served)]);
    response
}
