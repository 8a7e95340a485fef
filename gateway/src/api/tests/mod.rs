//! Bodies that tried to get more than they paid for, and those of clients that want nothing odd. `g1_` to `g3_` are traps that gateways
//! before models have fallen into: members that pass a price by, doubled members, usage.

mod others;
mod page;
mod traps;

use std::sync::Arc;

use salt402_protocol::{Amount, Code, Problem, U256};
use serde_json::{Value, json};

use crate::api::members::Member;
use crate::api::passed::{Passed, PassedReading};
use crate::api::sampling::SAMPLING;
use crate::api::{chat, completions, embeddings, images, messages, rerank, responses};
use crate::catalogue::{Catalogue, Model};
use crate::kinds::{Api, Server};
use crate::pricing::Price;
use crate::upstream::Upstream;

/// A picture of one dot.
const DOT: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// A model on such a server: a request 1,000,000, a token written 1,000, one read 1, an image 500.
fn model(server: Server) -> Model {
    let amount = |units: u64| Amount(U256::from(units));
    Model {
        description: String::new(),
        price: Price {
            per_request: amount(1_000_000),
            per_token: amount(1_000),
            per_prompt_token: amount(1),
            per_cached_token: None,
            per_reasoning_token: None,
            per_image: Some(amount(500)),
            image_sizes: [("1x1".to_owned(), amount(7_000))].into(),
            minimum: Amount::ZERO,
        },
        by_use: false,
        continuous_usage: true,
        adjustments: [].into(),
        rate: None,
        image_size: Some("1x1".into()),
        default_tokens: 16,
        max_tokens: 100,
        max_prompt_bytes: 10_000,
        template_tokens: 32,
        message_tokens: 16,
        tools_tokens: 512,
        server,
        apis: Api::ALL.into(),
        endpoint: None,
        upstream: Arc::new(Upstream::Demo),
    }
}

fn catalogue(model: Model) -> Catalogue {
    Catalogue([("m".to_owned(), model)].into())
}

fn understand(server: Server, api: Api, body: &str) -> Result<PassedReading, Problem> {
    understand_of(model(server), api, body)
}

fn understand_of(model: Model, api: Api, body: &str) -> Result<PassedReading, Problem> {
    let catalogue = catalogue(model);
    Passed::understand(api, None, &catalogue, "POST".into(), api.path().into(), body.as_bytes())
}

fn sold(server: Server, api: Api, body: &Value) -> Passed {
    sold_of(model(server), api, body)
}

fn sold_of(model: Model, api: Api, body: &Value) -> Passed {
    match understand_of(model, api, &body.to_string()) {
        Ok(PassedReading::Sold(passed)) => *passed,
        other => panic!("{body}: {other:?}"),
    }
}

/// What is sent on.
fn sent(server: Server, api: Api, body: &Value) -> Value {
    serde_json::from_slice(&sold(server, api, body).body).unwrap()
}

fn amount(passed: &Passed) -> u64 {
    passed.order.amount.0.to::<u64>()
}

/// A body that no configuration sells. Its refusal names the member.
fn never(api: Api, body: &Value, member: &str) {
    for server in [Server::Any, Server::LlamaCpp, Server::Vllm, Server::Ollama, Server::OpenAi] {
        match understand(server, api, &body.to_string()) {
            Err(problem) => {
                assert!(matches!(problem.code, Code::InvalidRequest | Code::MalformedJson), "{body}");
                assert!(problem.detail.contains(member), "{body}: {}", problem.detail);
            }
            Ok(reading) => panic!("{body} was read on {server:?}: {reading:?}"),
        }
    }
}

/// A body that this configuration does not sell and another may have sold.
fn not_now(server: Server, api: Api, body: &Value, member: &str) {
    match understand(server, api, &body.to_string()) {
        Ok(PassedReading::Unsold(unsold)) => {
            assert!(unsold.problem.detail.contains(member), "{}", unsold.problem.detail);
            assert_eq!(unsold.order.amount.0, U256::MAX);
        }
        other => panic!("{body}: {other:?}"),
    }
}

/// The tables of each API.
fn tables() -> [(Api, Vec<&'static [Member]>); 7] {
    [
        (Api::Chat, vec![chat::MEMBERS, SAMPLING]),
        (Api::Completions, vec![completions::MEMBERS, SAMPLING]),
        (Api::Embeddings, vec![embeddings::MEMBERS]),
        (Api::Messages, vec![messages::MEMBERS]),
        (Api::Responses, vec![responses::MEMBERS]),
        (Api::Rerank, vec![rerank::MEMBERS]),
        (Api::Images, vec![images::MEMBERS]),
    ]
}

/// A chat with these members too.
fn chat(members: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}
