//! What is passed on to model servers, and what comes back: bodies, answers, conditions of prices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use salt402_gateway::{
    Adjustment, Api, Beside, Catalogue, Model, Multiplier, Passed, Price, Quantities, Server, Upstream,
};
use salt402_protocol::{Amount, Code, U256};
use serde_json::Value;

const SERVERS: [Server; 5] = [Server::Any, Server::LlamaCpp, Server::Vllm, Server::Ollama, Server::OpenAi];

fn catalogue(server: Server) -> Catalogue {
    let amount = |units: u64| Amount(U256::from(units));
    let price = Price {
        per_request: amount(7),
        per_token: amount(3),
        per_prompt_token: amount(2),
        per_cached_token: None,
        per_reasoning_token: None,
        per_image: Some(amount(11)),
        image_sizes: [("1x1".to_owned(), amount(13))].into(),
        minimum: Amount::ZERO,
    };
    let model = Model {
        description: String::new(),
        price,
        by_use: false,
        continuous_usage: true,
        adjustments: [].into(),
        rate: None,
        image_size: Some("1x1".into()),
        default_tokens: 16,
        max_tokens: 4096,
        max_prompt_bytes: 1 << 16,
        template_tokens: 5,
        message_tokens: 3,
        tools_tokens: 50,
        server,
        apis: Api::ALL.into(),
        endpoint: None,
        upstream: Arc::new(Upstream::Demo),
    };
    Catalogue(BTreeMap::from([("m".to_owned(), model)]))
}

/// What is sent on is priced as what was sent: read again, it is sold for the same. Nothing that reaches around the price is in
/// it, and every text that a chat shows is in the price.
pub(crate) fn body(data: &[u8]) {
    let [choice, body @ ..] = data else { return };
    let api = Api::ALL[usize::from(*choice) % Api::ALL.len()];
    let server = SERVERS[usize::from(*choice) / Api::ALL.len() % SERVERS.len()];
    let catalogue = catalogue(server);
    let read = |body: &[u8]| Passed::read(api, None, &catalogue, "POST".into(), api.path().into(), body);
    let passed = match read(body) {
        Ok(passed) => passed,
        Err(problem) => {
            let known = [Code::MalformedJson, Code::UnknownModel, Code::InvalidRequest];
            return assert!(known.contains(&problem.code), "{problem:?}");
        }
    };
    let again = read(&passed.body).expect("what is sent on is sold");
    assert_eq!((&again.of, again.order.amount), (&passed.of, passed.order.amount));
    assert_eq!(again.body, passed.body, "it is written one way");
    let sent: Value = serde_json::from_slice(&passed.body).unwrap();
    let members = sent.as_object().unwrap();
    assert_eq!(members["model"], "m");
    for member in ["n_predict", "best_of", "priority", "lora", "id_slot", "chat_template", "user", "metadata"]
    {
        assert!(!members.contains_key(member), "{member}");
    }
    let tokens = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
    let written: Vec<_> = tokens.iter().filter_map(|name| members.get(*name)).collect();
    if api.writes_tokens() {
        assert!(written.len() == 1 && written[0].as_u64() == Some(u64::from(passed.of.max_tokens)));
    } else {
        assert!(written.is_empty());
    }
    let least = 7 + 2 * passed.of.prompt_tokens + 3 * u64::from(passed.of.max_tokens) * passed.of.choices;
    assert!(passed.order.amount.0 >= U256::from(least));
    if api == Api::Chat {
        let shown = texts(&members["messages"]);
        assert!(passed.of.prompt_tokens >= shown, "{shown} of {}", passed.of.prompt_tokens);
    }
}

/// The bytes of all texts, but of images and of what names a form.
fn texts(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(texts).sum(),
        Value::Object(members) => {
            let shown =
                members.iter().filter(|(name, _)| !matches!(name.as_str(), "type" | "url" | "detail"));
            shown.map(|(_, value)| texts(value)).sum()
        }
        _ => 0,
    }
}

/// An answer is the same however it is cut into pieces, and nothing passes that did not come.
pub(crate) fn answer(data: &[u8]) {
    let [choice, cut, answer @ ..] = data else { return };
    let api = Api::ALL[usize::from(*choice) % Api::ALL.len()];
    let (streamed, strips) = (choice & 0x40 != 0, choice & 0x80 != 0);
    let read = |size: usize| {
        let mut beside = Beside::new(api, streamed, strips);
        let mut passed = Vec::new();
        for piece in answer.chunks(size.max(1)) {
            passed.extend(beside.push(Bytes::copy_from_slice(piece)).concat());
        }
        let seen = beside.end();
        (passed, seen)
    };
    let (passed, seen) = read(answer.len());
    for size in [1, usize::from(*cut)] {
        let (other, again) = read(size);
        assert_eq!(other, passed);
        assert_eq!(format!("{again:?}"), format!("{seen:?}"));
    }
    let rest = seen.rest.as_deref().unwrap_or_default();
    if streamed && !strips && seen.finished {
        assert_eq!([&passed[..], rest].concat(), answer);
    }
    if !streamed {
        assert!(passed == answer && rest.is_empty());
    }
    assert!(passed.len() + rest.len() <= answer.len());
}

/// A condition that is taken has an answer for every request.
pub(crate) fn condition(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (multiplier, when) = text.split_once('\n').unwrap_or(("1", text));
    let Ok(multiplier) = Multiplier::parse(multiplier) else { return };
    assert_eq!(Multiplier::parse(&multiplier.to_string()), Ok(multiplier));
    let Ok(adjustment) = Adjustment::new(when.to_owned(), multiplier) else { return };
    let of = Quantities { api: Some(Api::Chat), max_tokens: 1, choices: 1, ..Quantities::default() };
    // It may have none for an odd number. It does not panic.
    let _ = adjustment.holds("m", &of, Duration::from_secs(1_764_014_400));
}
