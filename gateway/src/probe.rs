//! A probe: a request without a body and without a payment. Whoever lists paid addresses asks so, and wants a 402.
//!
//! The answer offers nothing that could be paid by a transaction. What would be signed for it is not settled, since a request without a
//! body is refused before any money is taken.

use axum::body::{Body, HttpBody as _};
use axum::http::Response;
use axum::http::request::Parts;
use salt402_http::Target;
use salt402_paywall::{Presented, Probe};
use salt402_protocol::Amount;
use serde_json::{Value, json};

use crate::catalogue::{Catalogue, Model};
use crate::gateway::Inner;
use crate::kinds::Api;
use crate::model_route::Route;
use crate::pricing::{Quantities, reduced};

/// The answer to a probe; `None` for what is none, or where nobody could be told how to pay.
pub(crate) fn probed(
    gateway: &Inner,
    request: &Parts,
    body: &Body,
    presented: &Presented,
) -> Option<Response<Body>> {
    if presented.pays() || !body.is_end_stream() {
        return None;
    }
    let target = Target::of(&request.uri, request.version).ok()?;
    let path = target.as_str().split('?').next()?;
    let asked = gateway.catalogue.asked_at(path);
    let api = asked.map(|(api, _)| api);
    let named = asked.and_then(|(_, name)| name);
    let (least, name) = cheapest(gateway, path, api, named)?;
    let example = example(api, path, name, named.is_some());
    let input = json!({ "type": "http", "method": "POST", "bodyType": "json", "body": example });
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": { "input": {
            "type": "object",
            "properties": {
                "type": { "const": "http" }, "method": { "const": "POST" }, "bodyType": { "const": "json" },
                "body": { "type": "object", "properties": members(&example) },
            },
            "required": ["type", "method", "bodyType", "body"],
        } },
        "required": ["input"],
    });
    let extensions = json!({ "bazaar": { "info": { "input": input }, "schema": schema } });
    let probe = Probe {
        path: target.as_str(),
        amount: least,
        description: "a request of the least price",
        extensions,
    };
    gateway.paywall.probed(&probe, presented)
}

/// What the cheapest request costs that is sold at a path, and of whom it is asked.
fn cheapest<'a>(
    gateway: &'a Inner,
    path: &str,
    api: Option<Api>,
    named: Option<&str>,
) -> Option<(Amount, &'a String)> {
    let Inner { catalogue, routes, .. } = gateway;
    if path.ends_with("/routed") {
        let sold =
            routes.0.iter().filter_map(|(name, route)| Some((least_of_route(catalogue, name, route)?, name)));
        return sold.min_by_key(|(amount, _)| *amount);
    }
    let models = catalogue.0.iter().filter(|(name, model)| match (named, api) {
        (Some(named), _) => *name == named,
        (None, Some(api)) => model.apis.contains(&api),
        (None, None) => model.is_of_texts(),
    });
    let (amount, name) = models
        .filter_map(|(name, model)| Some((least(name, model, api)?, name)))
        .min_by_key(|(amount, _)| *amount)?;
    // A batch of one request.
    Some((if path.ends_with("/batch") { reduced(amount) } else { amount }, name))
}

/// What the shortest request costs of a route.
fn least_of_route(catalogue: &Catalogue, name: &str, route: &Route) -> Option<Amount> {
    let candidates: Vec<_> = route
        .candidates
        .iter()
        .filter_map(|name| Some((name, catalogue.get(name).filter(|model| model.is_of_texts())?)))
        .collect();
    let amount = match &route.price {
        Some(own) => {
            let of =
                candidates.iter().filter_map(|(_, model)| shortest(model, None)).reduce(Quantities::most)?;
            own.cost(name, &of).ok()?.amount
        }
        None => candidates.iter().filter_map(|(name, model)| least(name, model, None)).max()?,
    };
    (!amount.is_zero()).then_some(amount)
}

/// What the shortest request costs.
fn least(name: &str, model: &Model, api: Option<Api>) -> Option<Amount> {
    let shortest = shortest(model, api)?;
    model.cost(name, &shortest).ok().map(|cost| cost.amount).filter(|amount| !amount.is_zero())
}

/// What the shortest request reads and writes.
fn shortest(model: &Model, api: Option<Api>) -> Option<Quantities> {
    let made = match api {
        Some(Api::Images) => {
            Some((1, model.image_size.clone().or_else(|| model.price.image_sizes.keys().next().cloned())?))
        }
        _ => None,
    };
    let max_tokens = if api.is_none_or(Api::writes_tokens) { model.default_tokens } else { 0 };
    Some(Quantities {
        api,
        prompt_tokens: model.prompt_tokens(0),
        max_tokens,
        choices: 1,
        images: 0,
        made,
        streamed: false,
    })
}

/// A body that would be answered.
fn example(api: Option<Api>, path: &str, model: &str, is_named: bool) -> Value {
    let messages = json!([{ "role": "user", "content": "What is salt?" }]);
    let mut body = match api {
        Some(Api::Chat) => json!({ "messages": messages }),
        Some(Api::Messages) => json!({ "messages": messages, "max_tokens": 16 }),
        Some(Api::Completions | Api::Images) => json!({ "prompt": "What is salt?" }),
        Some(Api::Embeddings | Api::Responses) => json!({ "input": "What is salt?" }),
        Some(Api::Rerank) => json!({ "query": "salt", "documents": ["Salt is a mineral."] }),
        None if path.ends_with("/batch") => {
            return json!({ "requests": [{ "model": model, "prompt": "What is salt?" }] });
        }
        None => json!({ "prompt": "What is salt?" }),
    };
    if !is_named {
        body["model"] = json!(model);
    }
    body
}

/// The members of an example, by their kinds.
fn members(example: &Value) -> Value {
    let kind = |value: &Value| match value {
        Value::Array(_) => "array",
        Value::Number(_) => "integer",
        _ => "string",
    };
    let members = example.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.clone(), json!({ "type": kind(value) }))).collect()
}
