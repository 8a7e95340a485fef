//! What a body of `POST /v1/inference` asks for, and what that costs.

use salt402_protocol::object::Object;
use salt402_protocol::{Code, Problem, RequestDigest};
use salt402_verifier::http::{Order, Sold};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{Catalogue, Model};

/// What a client asks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InferenceRequest {
    /// Which model.
    model: String,
    /// What it is asked.
    prompt: String,
    /// How many tokens it may generate; left out, the model's default.
    #[serde(default)]
    max_tokens: Option<u32>,
    /// How freely it chooses, from 0 to 2; left out, the upstream's default.
    #[serde(default)]
    temperature: Option<f32>,
}

/// A request that was understood, and what it costs.
#[derive(Debug)]
pub struct Bid {
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
    /// What is to be paid, for exactly these bytes.
    pub order: Order,
}

impl Bid {
    /// Reads a body, which is understood in one way or refused.
    pub fn read(catalogue: &Catalogue, method: String, path: String, body: &[u8]) -> Result<Self, Problem> {
        let digest = RequestDigest::of(&method, &path, body);
        let Object(request) = serde_json::from_slice::<Object<InferenceRequest>>(body).map_err(|error| {
            Problem::new(Code::MalformedJson, format!("the body was not understood: {error}"))
        })?;
        let InferenceRequest { model: name, prompt, max_tokens, temperature } = request;
        let model = catalogue.get(&name).cloned().ok_or_else(|| {
            let detail = format!("model: there is no such model here; there are: {}", catalogue.names());
            Problem::new(Code::UnknownModel, detail)
        })?;
        let invalid = |detail: String| Err(Problem::new(Code::InvalidRequest, detail));
        if prompt.is_empty() {
            return invalid("prompt: it is empty".into());
        }
        if prompt.len() > model.max_prompt_bytes {
            return invalid(format!("prompt: at most {} bytes for this model", model.max_prompt_bytes));
        }
        let tokens = max_tokens.unwrap_or(model.default_tokens);
        if tokens == 0 || tokens > model.max_tokens {
            return invalid(format!("max_tokens: from 1 to {} for this model", model.max_tokens));
        }
        if temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
            return invalid("temperature: from 0 to 2".into());
        }
        let read = model.prompt_tokens(prompt.len());
        let Some(amount) = model.price.of(read, tokens) else {
            return invalid("max_tokens: the price of so many tokens is beyond any amount".into());
        };
        let mut description = format!("one answer of {name} with up to {tokens} tokens");
        if !model.price.per_prompt_token.is_zero() {
            description.push_str(&format!(" to a prompt of up to {read}"));
        }
        let order = Order { method, path, sold: Sold::one(digest), before: None, amount, description };
        Ok(Self { name, model, prompt, tokens, temperature, order })
    }
}
