//! A request of an API that is passed on to a model server, as it is sold: OpenAI's, Anthropic's, and those of models' own endpoints.

use std::sync::Arc;

use bytes::Bytes;
use salt402_paywall::Order;
use salt402_protocol::{Address, Amount, Problem};

use crate::api::{Api, Passed, PassedReading};
use crate::circuit::Circuits;
use crate::dialect::Dialect;
use crate::execution::{Failed, Given, Head, Purchase, Recorder};
use crate::gateway::Inner;
use crate::meter::{Meter, Seen};
use crate::paid::Sale;
use crate::question::Question;
use crate::reading::{Reading, Unsold};
use crate::upstream::cost::with_cost;
use crate::upstream::failure::UpstreamError;
use crate::upstream::passing::{PassedOn, Passing};

/// The same reading.
pub(crate) fn reading(reading: PassedReading) -> Reading<Passed> {
    match reading {
        PassedReading::Sold(passed) => Reading::Sold(passed),
        PassedReading::Unsold(unsold) => Reading::Unsold(Box::new(Unsold {
            problem: unsold.problem,
            order: unsold.order,
            request: unsold.request,
        })),
    }
}

/// In which form an API says that something is wrong.
pub(crate) const fn dialect(api: Api) -> Dialect {
    match api {
        Api::Messages => Dialect::Anthropic,
        Api::Responses => Dialect::Responses,
        Api::Chat | Api::Completions | Api::Embeddings | Api::Rerank | Api::Images => Dialect::OpenAi,
    }
}

impl Sale for Passed {
    fn unsold(&self, gateway: &Inner) -> Option<Problem> {
        gateway.circuits.unsold(&self.name)
    }

    fn order(&self) -> &Order {
        &self.order
    }

    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn meter(&self, ceiling: Amount) -> Meter {
        Meter::new(&self.model, self.of.clone(), self.cost.clone(), ceiling)
    }

    fn full(&self) -> Option<Problem> {
        self.model.upstream.full()
    }

    async fn outcome(self, gateway: &Inner, purchase: Purchase) -> Result<Given, Problem> {
        let (circuits, payer) = (gateway.circuits.clone(), purchase.payment.payer);
        let meter = purchase.meter.clone();
        if self.streamed {
            let run = |recorder| stream(self, circuits, payer, meter, recorder);
            gateway.executions.stream(purchase, run).await
        } else {
            gateway.executions.outcome(purchase, || document(self, circuits, payer, meter)).await
        }
    }
}

fn passed_on(passed: &Passed, payer: Address, tells_cost: bool) -> PassedOn {
    PassedOn {
        api: passed.api,
        body: passed.body.clone(),
        streamed: passed.streamed,
        strips_usage: passed.strips_usage,
        tells_cost,
        payer: Some(payer),
        hurried: passed.hurried,
    }
}

pub(crate) async fn document(
    passed: Passed,
    circuits: Circuits,
    payer: Address,
    meter: Option<Arc<Meter>>,
) -> Result<(Head, Bytes), Failed> {
    let (asked, upstream) = (passed_on(&passed, payer, meter.is_some()), &passed.model.upstream);
    let _place = upstream.enter().await;
    let question = Question::begin(&circuits, &passed.name);
    let answered = question.ask(|| upstream.document(&asked)).await;
    let (body, counts) = question.end(answered)?;
    let Some(meter) = meter else { return Ok((Head::json(), body)) };
    meter.note(Seen { counts, pieces: 0, ended: true });
    Ok((Head::json(), with_cost(body, meter.amount())))
}

/// Notes what is seen of an answer on its way.
pub(crate) fn note(meter: Option<&Meter>, passing: &Passing) {
    if let Some(meter) = meter {
        meter.note(Seen::of_passing(passing));
    }
}

pub(crate) async fn stream(
    passed: Passed,
    circuits: Circuits,
    payer: Address,
    meter: Option<Arc<Meter>>,
    recorder: Recorder,
) -> Result<Bytes, Failed> {
    let (asked, upstream) = (passed_on(&passed, payer, meter.is_some()), &passed.model.upstream);
    let _place = upstream.enter().await;
    let question = Question::begin(&circuits, &passed.name);
    let streamed = async {
        let mut passing = question.ask(|| upstream.pass(&asked)).await?;
        while let Some(piece) = passing.next().await? {
            note(meter.as_deref(), &passing);
            recorder.head(Head::events);
            recorder.write(piece).await?;
        }
        note(meter.as_deref(), &passing);
        recorder.head(|| if passing.is_stream() { Head::events() } else { Head::json() });
        Ok(match &meter {
            Some(meter) => passing.last_with_cost(meter.amount()),
            None => passing.last(),
        })
    };
    conclude(streamed.await, question)
}

/// Why a stream was not written to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unwritten {
    /// The model server failed.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// It could not be written down here.
    #[error(transparent)]
    Here(#[from] std::io::Error),
}

/// Notes how a stream went.
pub(crate) fn conclude(streamed: Result<Bytes, Unwritten>, question: Question<'_>) -> Result<Bytes, Failed> {
    match streamed {
        Ok(last) => question.end(Ok(last)),
        Err(Unwritten::Upstream(error)) => question.end(Err(error)),
        Err(Unwritten::Here(error)) => Err(question.failed_here(&error)),
    }
}
