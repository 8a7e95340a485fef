//! `POST /v1/inference/stream`: the answer of `POST /v1/inference`, token by token.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use bytes::Bytes;
use salt402_paywall::Order;
use salt402_paywall::openapi::PaymentHeaders;
use salt402_protocol::{Address, Amount, Problem};
use serde::Serialize;
use serde_json::json;

use crate::api::Api;
use crate::circuit::Circuits;
use crate::dialect::Dialect;
use crate::execution::{Failed, Given, Head, Purchase, Recorder};
use crate::gateway::{Gateway, Inner};
use crate::meter::Meter;
use crate::paid::{Sale, serve};
use crate::passed::{conclude, note};
use crate::priced_request::{InferenceRequest, PricedRequest};
use crate::question::Question;
use crate::reading::Reading;
use crate::upstream::passing::PassedOn;
use crate::upstream::tokens::Tokens;

/// The event that ends a stream.
const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// A piece of the text.
#[derive(Serialize)]
struct Token<'a> {
    token: &'a str,
    /// Its number, from 0.
    index: u64,
}

/// A request whose answer is streamed.
struct Streamed(PricedRequest);

/// An answer of a model, for a payment, token by token
#[utoipa::path(post, path = "/v1/inference/stream", tag = "inference", request_body = InferenceRequest,
    params(PaymentHeaders),
    responses((status = 200, description = "Events `data: {\"token\":\"The\",\"index\":0}`, then `data: [DONE]`. A stream that breaks off says so in an event `data: {\"error\":{…}}`, and the same proof has it run again. The same request with the same proof and quote id gets the same stream again.",
        body = String, content_type = "text/event-stream",
        headers(
            ("X-Payment-Receipt" = String, description = "PaymentView as one line of JSON."),
            ("Server-Timing" = String, description = "What verification and the first token took."),
            ("X-Accel-Buffering" = String, description = "`no`"),
            ("Cache-Control" = String, description = "`no-store, private`"),
            ("Vary" = String, description = "The payment headers.")))))]
pub(crate) async fn handle(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let read = |catalogue: &_, method, path, body: &_| {
        PricedRequest::understand(catalogue, method, path, body)
            .map(|reading: Reading<_>| reading.map(Streamed))
    };
    serve(&gateway.0, request, Dialect::Problem, read).await
}

impl Sale for Streamed {
    fn model(&self) -> &str {
        self.0.model()
    }

    fn order(&self) -> &Order {
        self.0.order()
    }

    fn meter(&self, ceiling: Amount) -> Meter {
        self.0.meter(ceiling)
    }

    fn full(&self) -> Option<Problem> {
        self.0.full()
    }

    async fn outcome(self, gateway: &Inner, purchase: Purchase) -> Result<Given, Problem> {
        let (circuits, payer) = (gateway.circuits.clone(), purchase.payment.payer);
        let meter = purchase.meter.clone();
        let run = |recorder| run(self.0, circuits, payer, meter, recorder);
        gateway.executions.stream(purchase, run).await
    }
}

async fn run(
    request: PricedRequest,
    circuits: Circuits,
    payer: Address,
    meter: Option<Arc<Meter>>,
    recorder: Recorder,
) -> Result<Bytes, Failed> {
    let PricedRequest { name, model, prompt, tokens, temperature, .. } = &request;
    let upstream = &model.upstream;
    let mut body = json!({
        "model": upstream.model().unwrap_or(name),
        "messages": [{ "role": "user", "content": prompt }],
        "max_tokens": tokens,
        "stream": true,
    });
    if meter.is_some() {
        body["stream_options"] = json!({ "include_usage": true });
    }
    if let Some(temperature) = temperature {
        body["temperature"] = json!(temperature);
    }
    let body = body.to_string().into();
    let asked = PassedOn {
        api: Api::Chat,
        body,
        streamed: true,
        strips_usage: true,
        tells_cost: false,
        payer: Some(payer),
    };
    let _place = upstream.enter().await;
    let question = Question::begin(&circuits, name);
    let streamed = async {
        let mut passing = question.ask(|| upstream.pass(&asked)).await?;
        let mut read = Tokens::default();
        let mut index = 0u64;
        while let Some(piece) = passing.next().await? {
            note(meter.as_deref(), &passing);
            write(&recorder, read.push(&piece)?, &mut index).await?;
        }
        note(meter.as_deref(), &passing);
        let rest = if passing.is_stream() {
            read.push(&passing.last())?
        } else {
            // A server that does not stream is read all the same.
            Tokens::of_document(&passing.last())?
        };
        write(&recorder, rest, &mut index).await?;
        recorder.head(Head::events());
        Ok(DONE)
    };
    conclude(streamed.await, question)
}

async fn write(recorder: &Recorder, tokens: Vec<String>, index: &mut u64) -> std::io::Result<()> {
    for token in tokens {
        recorder.head(Head::events());
        let event = serde_json::to_string(&Token { token: &token, index: *index })?;
        *index += 1;
        recorder.write(format!("data: {event}\n\n").into()).await?;
    }
    Ok(())
}
