//! A request of `POST /v1/inference` as it is sold, and its answer.

use std::sync::Arc;

use bytes::Bytes;
use salt402_paywall::Order;
use salt402_protocol::{Address, Amount, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::circuit::Circuits;
use crate::execution::{Failed, Given, Head, Purchase};
use crate::gateway::Inner;
use crate::meter::{Meter, Seen};
use crate::paid::Sale;
use crate::priced_request::PricedRequest;
use crate::question::Question;
use crate::upstream::completion::{Completion, Task, Usage};

/// What a client is answered.
#[derive(Serialize, ToSchema)]
pub(crate) struct InferenceResponse<'a> {
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
    usage: Told,
}

/// Tokens, and what was charged for them.
#[derive(Serialize, ToSchema)]
struct Told {
    #[serde(flatten)]
    usage: Usage,
    /// What was charged, in base units, where that is not what was paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Amount>,
}

impl Sale for PricedRequest {
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
        Meter::new(&self.model, self.quantities(), self.cost.clone(), ceiling)
    }

    fn full(&self) -> Option<Problem> {
        self.model.upstream.full()
    }

    async fn outcome(self, gateway: &Inner, purchase: Purchase) -> Result<Given, Problem> {
        let circuits = gateway.circuits.clone();
        let (payer, meter) = (purchase.payment.payer, purchase.meter.clone());
        gateway.executions.outcome(purchase, || run(self, circuits, payer, meter)).await
    }
}

/// Asks the model. What it returns is kept for the payer.
pub(crate) async fn run(
    request: PricedRequest,
    circuits: Circuits,
    payer: Address,
    meter: Option<Arc<Meter>>,
) -> Result<(Head, Bytes), Failed> {
    let PricedRequest { name, model, prompt, tokens, temperature, hurried, .. } = &request;
    let (max_tokens, temperature, hurried) = (*tokens, *temperature, *hurried);
    let task = Task { prompt, max_tokens, temperature, payer: Some(payer), hurried };
    let _place = model.upstream.enter().await;
    let question = Question::begin(&circuits, name);
    let completion = question.ask(|| model.upstream.complete(&task)).await;
    let Completion { output, reasoning, refusal, finish_reason, usage } = question.end(completion)?;
    let cost = meter.map(|meter| {
        meter.note(Seen::of(&usage));
        meter.amount()
    });
    let answer = InferenceResponse {
        model: name,
        output: &output,
        reasoning: reasoning.as_deref(),
        refusal: refusal.as_deref(),
        finish_reason: &finish_reason,
        usage: Told { usage, cost },
    };
    let body = serde_json::to_vec(&answer).map_err(|_| Failed::ran("the answer could not be written"))?;
    Ok((Head::json(), body.into()))
}
