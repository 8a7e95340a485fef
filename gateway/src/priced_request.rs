//! What a body of `POST /v1/inference` asks for, and what that costs.

use salt402_paywall::Order;
use salt402_protocol::object::Object;
use salt402_protocol::{Amount, Code, Problem, U256};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::catalogue::{Catalogue, Model};
use crate::ordered::{charged_as, ordered};
use crate::pricing::{Cost, Quantities, Unpriced};
use crate::reading::{Reading, Unsold};

/// What a client asks.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InferenceRequest {
    /// Which model.
    pub(crate) model: String,
    /// What it is asked.
    pub(crate) prompt: String,
    /// How many tokens it may generate; left out, the model's default.
    #[serde(default)]
    pub(crate) max_tokens: Option<u32>,
    /// How freely it chooses, from 0 to 2; left out, the upstream's default.
    #[serde(default)]
    pub(crate) temperature: Option<f32>,
}

impl InferenceRequest {
    /// Reads a body, which must have exactly one meaning.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Problem> {
        let read = serde_json::from_slice::<Object<Self>>(body);
        read.map(|Object(request)| request).map_err(|error| {
            Problem::new(Code::MalformedJson, format!("the body was not understood: {error}"))
        })
    }
}

/// The price if none is known: more than any payment, so that only a quote counts.
pub(crate) const PRICELESS: Amount = Amount(U256::MAX);

/// A request that was understood, and what it costs.
#[derive(Debug)]
pub struct PricedRequest {
    /// The model's name.
    pub name: String,
    /// The model.
    pub model: Model,
    /// What it is asked.
    pub prompt: String,
    /// How many tokens it may generate, which are paid for.
    pub tokens: u32,
    /// How freely it chooses, from 0 to 2.
    pub temperature: Option<f32>,
    /// What it costs at the most. `None` if it is not sold now.
    pub cost: Option<Cost>,
    /// What must be paid, for exactly these bytes.
    pub order: Order,
    /// Whether a server that is busy is not waited for, because others may be asked.
    pub(crate) hurried: bool,
}

impl PricedRequest {
    /// What it reads and writes at most.
    pub fn quantities(&self) -> Quantities {
        quantities(&self.model, &self.prompt, self.tokens)
    }

    /// Reads a body. It must have exactly one meaning, and what it asks for must be sold; otherwise it is refused.
    pub fn read(catalogue: &Catalogue, method: String, path: String, body: &[u8]) -> Result<Self, Problem> {
        match Self::understand(catalogue, method, path, body)? {
            Reading::Sold(request) => Ok(*request),
            Reading::Unsold(unsold) => Err(unsold.problem),
        }
    }

    /// Reads a body. It must have exactly one meaning; otherwise it is refused. What only the operator's limits refuse
    /// is told apart from what was never sold.
    pub(crate) fn understand(
        catalogue: &Catalogue,
        method: String,
        path: String,
        body: &[u8],
    ) -> Result<Reading<Self>, Problem> {
        let request = InferenceRequest::read(body)?;
        let order = charged_as(catalogue, &request.model, ordered(method, path, body));
        Self::priced(catalogue, request, order)
    }

    /// A request that was read. `order` makes what must be paid of a description and a price.
    pub(crate) fn priced(
        catalogue: &Catalogue,
        request: InferenceRequest,
        order: impl Fn(String, Amount) -> Order,
    ) -> Result<Reading<Self>, Problem> {
        let InferenceRequest { model: name, prompt, max_tokens, temperature } = request;
        let invalid = |detail: String| Problem::new(Code::InvalidRequest, detail);
        if prompt.is_empty() {
            return Err(invalid("prompt: it is empty".into()));
        }
        if max_tokens == Some(0) {
            return Err(invalid("max_tokens: at least 1".into()));
        }
        if temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
            return Err(invalid("temperature: from 0 to 2".into()));
        }
        let mut description = format!("one answer of {name}");
        let Some(model) = catalogue.get(&name).cloned() else {
            let detail = format!("model: there is no such model here; there are: {}", catalogue.names());
            let problem = Problem::new(Code::UnknownModel, detail);
            let order = order(description, PRICELESS);
            return Ok(Reading::Unsold(Box::new(Unsold { problem, order, request: None })));
        };
        if !model.is_of_texts() {
            let detail =
                format!("model: {name} is no model of texts: GET /v1/models says by which APIs it is served");
            let problem = Problem::new(Code::InvalidRequest, detail);
            let order = order(description, PRICELESS);
            return Ok(Reading::Unsold(Box::new(Unsold { problem, order, request: None })));
        }
        let tokens = max_tokens.unwrap_or(model.default_tokens);
        let read = model.prompt_tokens(prompt.len());
        let price = model.cost(&name, &quantities(&model, &prompt, tokens));
        let beyond = if prompt.len() > model.max_prompt_bytes {
            Some(invalid(format!("prompt: at most {} bytes for this model", model.max_prompt_bytes)))
        } else if tokens > model.max_tokens {
            Some(invalid(format!("max_tokens: from 1 to {} for this model", model.max_tokens)))
        } else {
            price.as_ref().err().map(Unpriced::problem)
        };
        description.push_str(&format!(" with up to {tokens} tokens"));
        if !model.price.per_prompt_token.is_zero() {
            description.push_str(&format!(" to a prompt of up to {read}"));
        }
        let order = order(description, price.as_ref().map_or(PRICELESS, |cost| cost.amount));
        let cost = price.ok();
        let priced = Self { name, model, prompt, tokens, temperature, cost, order, hurried: false };
        Ok(match beyond {
            None => Reading::Sold(Box::new(priced)),
            Some(problem) => {
                let order = priced.order.clone();
                Reading::Unsold(Box::new(Unsold { problem, order, request: Some(priced) }))
            }
        })
    }
}

fn quantities(model: &Model, prompt: &str, max_tokens: u32) -> Quantities {
    let prompt_tokens = model.prompt_tokens(prompt.len());
    Quantities { prompt_tokens, max_tokens, choices: 1, ..Quantities::default() }
}
