//! A request of an API that is passed on to a model server, as it is sold: OpenAI's, Anthropic's, and those of models' own endpoints.

use std::sync::Arc;

use bytes::Bytes;
use salt402_paywall::Order;
use salt402_protocol::{Address, Amount, Code, Problem};

use crate::api::{Api, Passed, PassedReading};
use crate::catalogue::Model;
use crate::circuit::Circuits;
use crate::dialect::Dialect;
use crate::execution::{Failed, Given, Head, Purchase, Recorder};
use crate::gateway::Inner;
use crate::meter::{Meter, Seen};
use crate::paid::Sale;
use crate::pricing::{Cost, Quantities, Used};
use crate::question::Question;
use crate::reading::{Reading, Unsold};
use crate::tab::NotGiven;
use crate::upstream::cost::with_cost;
use crate::upstream::failure::{FailureClass, UpstreamError};
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

    /// The events of the Responses API are numbered, and ours are not among them.
    fn begins(&self) -> Option<Amount> {
        let cost = self.cost.as_ref().filter(|_| self.streamed && self.api != Api::Responses)?;
        least(cost, &self.model, &self.of)
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

/// What a stream costs of which the first token was written: its prompt was read.
pub(crate) fn least(cost: &Cost, model: &Model, of: &Quantities) -> Option<Amount> {
    let used = Used { prompt: of.prompt_tokens, written: 1, ..Used::default() };
    cost.of_used(&model.price, of, &used).map(|least| least.min(cost.amount))
}

fn passed_on(passed: &Passed, payer: Address, metered: bool) -> PassedOn {
    let counting = passed.counting.as_ref().filter(|_| metered);
    PassedOn {
        api: passed.api,
        body: counting.unwrap_or(&passed.body).clone(),
        streamed: passed.streamed,
        strips_usage: passed.strips_usage,
        continuous_usage: counting.is_some(),
        tells_cost: metered,
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
        // Boxed, so that the stream does not hold what only its beginning needs.
        let mut passing = Box::pin(question.ask(|| upstream.pass(&asked))).await?;
        if let Some(meter) = &meter {
            meter.taken_on();
        }
        while let Some(piece) = passing.next().await? {
            note(meter.as_deref(), &passing);
            give(&recorder, meter.as_deref(), piece).await?;
        }
        note(meter.as_deref(), &passing);
        if passing.is_stream() {
            recorder.head(Head::events);
        }
        end(meter.as_deref()).await?;
        recorder.head(|| if passing.is_stream() { Head::events() } else { Head::json() });
        Ok(match &meter {
            Some(meter) => passing.last_with_cost(meter.amount()),
            None => passing.last(),
        })
    };
    let ended = (&recorder, meter.as_deref(), dialect(passed.api));
    conclude(streamed.await, question, ended)
}

/// Gives a piece of a stream, once it is paid for.
pub(crate) async fn give(recorder: &Recorder, meter: Option<&Meter>, piece: Bytes) -> Result<(), Unwritten> {
    recorder.head(Head::events);
    if let Some(meter) = meter
        && let Some(tab) = meter.tab()
    {
        recorder.give(tab, meter.amount(), &piece).await?;
    }
    Ok(recorder.write(piece).await?)
}

/// Waits until the end of a stream is paid for.
pub(crate) async fn end(meter: Option<&Meter>) -> Result<(), Unwritten> {
    if let Some(meter) = meter
        && let Some(tab) = meter.tab()
    {
        tab.end(meter.amount()).await?;
    }
    Ok(())
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
    /// It is paid as it goes, and was not given.
    #[error(transparent)]
    NotGiven(#[from] NotGiven),
}

/// Notes how a stream went. What was given of one that is paid as it goes is its answer, whatever ended it.
pub(crate) fn conclude(
    streamed: Result<Bytes, Unwritten>,
    question: Question<'_>,
    (recorder, meter, dialect): (&Recorder, Option<&Meter>, Dialect),
) -> Result<Bytes, Failed> {
    let given = meter.and_then(Meter::tab).filter(|tab| tab.has_given());
    let failed = match streamed {
        Ok(last) => return question.end(Ok(last)),
        Err(Unwritten::NotGiven(NotGiven::Stopped(problem))) => {
            // The model server did not fail.
            question.end(Ok(()))?;
            return match recorder.has_begun() {
                true => Ok(dialect.broken_event(&problem, false)),
                false => Err(Failed { class: FailureClass::Permanent, detail: problem.detail, after: None }),
            };
        }
        Err(Unwritten::Upstream(error)) => match question.end(Err::<Bytes, _>(error)) {
            Err(failed) => failed,
            Ok(last) => return Ok(last),
        },
        Err(Unwritten::Here(error)) => question.failed_here(&error),
        Err(Unwritten::NotGiven(NotGiven::Store(error))) => question.failed_here(&error),
    };
    let Some(tab) = given else { return Err(failed) };
    tab.cut();
    let detail = format!("{}; {} base units are charged for what was given", failed.detail, tab.charged());
    Ok(dialect.broken_event(&Problem::new(Code::UpstreamFailed, detail), false))
}
