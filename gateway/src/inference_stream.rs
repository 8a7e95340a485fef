//! `POST /v1/inference/stream`: the answer of `POST /v1/inference`, token by token.

use std::sync::Arc;

use bytes::Bytes;
use salt402_paywall::Order;
use salt402_protocol::{Address, Amount, Problem};
use serde::Serialize;
use serde_json::json;

use crate::api::Api;
use crate::circuit::Circuits;
use crate::dialect::Dialect;
use crate::execution::{Failed, Given, Head, Purchase, Recorder};
use crate::gateway::Inner;
use crate::meter::Meter;
use crate::paid::Sale;
use crate::passed::{Unwritten, conclude, end, give, least, note};
use crate::priced_request::PricedRequest;
use crate::question::Question;
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
pub(crate) struct Streamed(pub(crate) PricedRequest);

impl Sale for Streamed {
    fn unsold(&self, gateway: &Inner) -> Option<Problem> {
        self.0.unsold(gateway)
    }

    fn order(&self) -> &Order {
        self.0.order()
    }

    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn meter(&self, ceiling: Amount) -> Meter {
        self.0.meter(ceiling)
    }

    fn begins(&self) -> Option<Amount> {
        begins(&self.0)
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

/// What a stream of it costs at its beginning.
pub(crate) fn begins(request: &PricedRequest) -> Option<Amount> {
    least(request.cost.as_ref()?, &request.model, &request.quantities())
}

pub(crate) async fn run(
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
    let continuous_usage = meter.is_some() && model.tells_continuous_usage(1);
    if continuous_usage {
        body["stream_options"] = json!({ "include_usage": true, "continuous_usage_stats": true });
    } else if meter.is_some() {
        body["stream_options"] = json!({ "include_usage": true });
    }
    if let Some(temperature) = temperature {
        body["temperature"] = json!(temperature);
    }
    let body = body.to_string().into();
    let (payer, hurried) = (Some(payer), request.hurried);
    let asked = PassedOn {
        api: Api::Chat,
        body,
        streamed: true,
        strips_usage: true,
        continuous_usage,
        tells_cost: false,
        payer,
        hurried,
    };
    let _place = upstream.enter().await;
    let question = Question::begin(&circuits, name);
    let streamed = async {
        // Boxed, so that the stream does not hold what only its beginning needs.
        let mut passing = Box::pin(question.ask(|| upstream.pass(&asked))).await?;
        if let Some(meter) = &meter {
            meter.taken_on();
        }
        let mut read = Tokens::default();
        let mut index = 0u64;
        while let Some(piece) = passing.next().await? {
            note(meter.as_deref(), &passing);
            write((&recorder, meter.as_deref()), read.push(&piece)?, &mut index).await?;
        }
        note(meter.as_deref(), &passing);
        let rest = if passing.is_stream() {
            read.push(&passing.last())?
        } else {
            // A server that does not stream is read all the same.
            Tokens::of_document(&passing.last())?
        };
        write((&recorder, meter.as_deref()), rest, &mut index).await?;
        recorder.head(Head::events);
        end(meter.as_deref()).await?;
        let Some(meter) = &meter else { return Ok(DONE) };
        let usage = json!({ "token": "", "index": index, "usage": { "cost": meter.charged() } });
        Ok([format!("data: {usage}\n\n").as_bytes(), &DONE].concat().into())
    };
    conclude(streamed.await, question, (&recorder, meter.as_deref(), Dialect::Problem))
}

async fn write(
    (recorder, meter): (&Recorder, Option<&Meter>),
    tokens: Vec<String>,
    index: &mut u64,
) -> Result<(), Unwritten> {
    for token in tokens {
        let event = serde_json::to_string(&Token { token: &token, index: *index });
        let event = event.map_err(std::io::Error::from)?;
        *index += 1;
        give(recorder, meter, format!("data: {event}\n\n").into()).await?;
    }
    Ok(())
}
