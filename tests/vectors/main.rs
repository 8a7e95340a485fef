//! The conformance vectors of each dialect of a 402, as files in `protocol/vectors`: what is asked, what the 402 says, the paid request,
//! its answer, and refusals. `UPDATE=1` writes them.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod message;
mod seller;
mod speakers;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use salt402_paywall::Dialects;
use serde_json::{Map, Value, json};

use crate::message::{Answered, Asked};
use crate::seller::{Sale, Stands, ask};
use crate::speakers::{Speaker, all};

/// The most bytes of headers of a 402.
const MOST_OF_HEADERS: usize = 8 * 1024;

fn is_updating() -> bool {
    std::env::var_os("UPDATE").is_some()
}

fn folder(name: &str) -> PathBuf {
    salt402_tests::root().join("protocol/vectors").join(name)
}

/// What stands in a file, which is written first where it may be.
fn file(speaker: &Speaker, name: &str, now: impl FnOnce() -> String) -> String {
    let path = folder(speaker.name).join(name);
    if is_updating() {
        std::fs::create_dir_all(folder(speaker.name)).unwrap();
        std::fs::write(&path, now()).unwrap();
    }
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: UPDATE=1 writes it", path.display()))
}

/// Holds an answer against a file.
fn holds(speaker: &Speaker, name: &str, found: &str) {
    let wished = file(speaker, name, || found.to_owned());
    assert_eq!(found, wished, "{}/{name}: UPDATE=1 writes it", speaker.name);
}

async fn answer(sale: Sale, stands: Stands, asked: &Asked) -> Answered {
    Answered::read(ask(sale, stands, asked.request()).await).await
}

/// JSON in base64 or base64url as it is, and anything else as a text.
fn opened(text: &str) -> Value {
    let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')));
    let json = bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    json.or_else(|| serde_json::from_str(text).ok()).unwrap_or_else(|| json!(text))
}

/// The same for each word of a header.
fn plain(text: &str) -> Value {
    match (opened(text), text.split_once(' ')) {
        (Value::String(_), Some(("Payment", rest))) if !rest.contains(' ') => opened(rest),
        (Value::String(_), Some(("Payment", rest))) => {
            let part = |part: &str| {
                let (name, value) = part.split_once('=')?;
                Some((name.to_owned(), opened(value.trim_matches('"'))))
            };
            rest.split(", ").filter_map(part).collect()
        }
        (plain, _) => plain,
    }
}

fn pretty(members: Map<String, Value>) -> String {
    format!("{}\n", serde_json::to_string_pretty(&Value::Object(members)).unwrap())
}

/// What a 402 says in a dialect, in plain JSON.
fn said(speaker: &Speaker, unpaid: &Answered) -> String {
    let body = unpaid.json();
    let one = |name: &str| match name.strip_prefix('/') {
        Some(member) => (member.to_owned(), body[member].clone()),
        None => (name.to_owned(), plain(unpaid.header(name))),
    };
    pretty(speaker.says.iter().map(|name| one(name)).collect())
}

#[tokio::test]
async fn each_dialects_vectors_are_answered_as_the_files_say() {
    for speaker in &all() {
        let body = r#"{"model":"demo","prompt":"What is salt?"}"#;
        let asked = Asked::new(&[("host", "shop.example"), ("content-type", "application/json")], body);
        let asked = Asked::read(&file(speaker, "request.http", || asked.text()));
        let unpaid = answer(speaker.sale, Stands::Paid, &asked).await;
        assert_eq!(unpaid.status, 402, "{}", speaker.name);
        holds(speaker, "402.http", &unpaid.text());
        holds(speaker, "402.json", &said(speaker, &unpaid));

        let shown = (speaker.pays)(&unpaid);
        let paid = shown.iter().fold(asked.clone(), |asked, (name, value)| asked.with(name, value));
        let paid = Asked::read(&file(speaker, "paid.http", || paid.text()));
        let opened = shown.iter().map(|(name, value)| ((*name).to_owned(), plain(value))).collect();
        holds(speaker, "paid.json", &pretty(opened));
        let answered = answer(speaker.sale, Stands::Paid, &paid).await;
        assert_eq!(answered.status, 200, "{}: {}", speaker.name, answered.body);
        holds(speaker, "answer.http", &answered.text());
        if let Some(receipt) = speaker.receipt {
            let receipt = [(receipt.to_owned(), plain(answered.header(receipt)))];
            holds(speaker, "receipt.json", &pretty(receipt.into_iter().collect()));
        }
        refusals(speaker, &asked, &paid, shown[0].0).await;
    }
}

/// Whether an answer says how to pay, in any dialect.
fn offers(answered: &Answered) -> bool {
    let named = ["x-payment-details", "payment-required", "www-authenticate", "x-payment-required"];
    let also = ["x-payment-requirements"];
    let headers = named.iter().chain(&also).any(|name| answered.headers.contains_key(*name));
    headers || ["accepts", "x402", "paymentContract"].iter().any(|name| answered.json().get(name).is_some())
}

async fn refusals(speaker: &Speaker, asked: &Asked, paid: &Asked, name: &str) {
    let garbled = asked.with(name, if speaker.name == "mpp" { "Payment e30" } else { "e30" });
    let hash = format!("0x{}", "88".repeat(32));
    let both = match name {
        "x-payment-proof" => paid.with("x402-proof", &format!("evm:{hash}")),
        _ => paid.with("x-payment-proof", &hash),
    };
    let twice = {
        let value = paid.text();
        let value = value.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap();
        paid.with(name, value)
    };
    let mut written = String::new();
    for (what, asked, stands, status, is_offered) in [
        ("It cannot be read.", &garbled, Stands::Paid, Some(400), false),
        ("The header comes twice.", &twice, Stands::Paid, Some(400), false),
        ("Two things to pay with.", &both, Stands::Paid, Some(400), false),
        ("Time alone stands in the way: the same is sent again.", paid, Stands::Pending, None, false),
        ("No money moved.", paid, Stands::Unpaid, Some(402), true),
        ("It was used for something else.", paid, Stands::Used, None, !speaker.signs),
    ] {
        let refused = answer(speaker.sale, stands, asked).await;
        let text = refused.text();
        assert_ne!(refused.status, 200, "{}: {what} {text}", speaker.name);
        if let Some(status) = status {
            assert_eq!(refused.status, status, "{}: {what} {text}", speaker.name);
        }
        assert_eq!(offers(&refused), is_offered, "{}: {what} {text}", speaker.name);
        if speaker.signs && !is_offered {
            let status = refused.status.as_u16();
            assert!((400..500).contains(&status) && ![402, 408, 409, 429].contains(&status), "{what} {text}");
        }
        let shown = if is_offered {
            format!("HTTP/1.1 {}\n(as 402.http, with)\n{}\n", refused.status, because(&refused))
        } else {
            text
        };
        written.push_str(&format!("# {what}\n{}\n{shown}\n", asked.text()));
    }
    holds(speaker, "refusals.http", &written);
}

/// The members of a refusal that differ from those of a first 402.
fn because(refused: &Answered) -> String {
    let body = refused.json();
    let members: Map<_, _> =
        ["code", "detail"].iter().map(|name| ((*name).to_owned(), body[name].clone())).collect();
    pretty(members)
}

#[tokio::test]
async fn whatever_is_shown_beside_another_thing_to_pay_with_is_refused() {
    let mut shown = Vec::new();
    let asked = Asked::new(&[("host", "shop.example")], "{}");
    for speaker in &all() {
        let unpaid = answer(speaker.sale, Stands::Paid, &asked).await;
        shown.push((speaker.name, (speaker.pays)(&unpaid)));
    }
    let sale = all()[0].sale;
    for (one, first) in &shown {
        for (other, second) in &shown {
            if one == other {
                continue;
            }
            let both = first
                .iter()
                .chain(second)
                .fold(asked.clone(), |asked, (name, value)| asked.with(name, value));
            let refused = answer(sale, Stands::Paid, &both).await;
            assert_eq!(refused.status, 400, "{one} and {other}: {}", refused.body);
            assert!(!offers(&refused), "{one} and {other}: {}", refused.body);
        }
    }
}

#[tokio::test]
async fn a_402_has_headers_that_proxies_take_however_much_there_is_to_say() {
    let all_of = Dialects { masken: true, ..Dialects::default() };
    for length in [0, 100, 500, 1000, 2000, 3000, 4000, 5000] {
        let sale = Sale { dialects: all_of, ..all()[0].sale };
        let query = "x".repeat(length);
        let mut request = Asked::new(&[("host", "shop.example")], "{}").request();
        *request.uri_mut() = format!("/v1/inference?{query}").parse().unwrap();
        let unpaid = Answered::read(ask(sale, Stands::Paid, request).await).await;
        assert_eq!(unpaid.status, 402, "{}", unpaid.body);
        let bytes: usize =
            unpaid.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        assert!(bytes <= MOST_OF_HEADERS, "{length}: {bytes} bytes");
        assert!(unpaid.headers.contains_key("x-payment-details"));
        if length == 0 {
            for name in
                ["payment-required", "www-authenticate", "x-payment-requirements", "x-payment-required"]
            {
                assert!(unpaid.headers.contains_key(name), "{name} is left out of {bytes} bytes");
            }
            let body = unpaid.json();
            assert_eq!((&body["error"], &body["x402"]["version"]), (&json!("Payment Required"), &json!(1)));
            assert!(body["x402"]["receiver"].is_string(), "{body}");
        }
    }
}
