//! Requests that were changed at random: every answer is typed, the process lives, and nothing is sent for what was refused.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::U256;
use futures::stream::{self, StreamExt as _};
use salt402_protocol::{Address, X402Reason};
use salt402_tests::x402::{FACILITATOR, Terms, X402Payer, charging};
use salt402_tests::{Facilitating, FacilitatorOptions, PAYEE};
use serde_json::{Map, Value, json};

use crate::SALT402;

/// Numbers from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// Values that parsers stumble over.
fn odd(draw: &mut Draw) -> Value {
    let edge = U256::MAX.to_string();
    draw.one(&[
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!("0"),
        json!("-1"),
        json!("00"),
        json!("0x"),
        json!("0x0"),
        json!("1e3"),
        json!(" 5"),
        json!(edge),
        json!(format!("{edge}0")),
        json!("9".repeat(400)),
        json!("\u{0}"),
        json!("\u{202e}eip155:1"),
        json!("eip155:1"),
        json!("eip155:99999999999999999999"),
        json!("exact"),
        json!("upto"),
        json!("batch-settlement"),
        json!("0x0000000000000000000000000000000000000000"),
        json!(format!("0x{}", "f".repeat(40))),
        json!(format!("0x{}", "ab".repeat(65))),
        json!(format!("0x{}", "ab".repeat(3000))),
        json!([]),
        json!([[[[]]]]),
        json!({}),
        json!({ "info": { "from": [] } }),
    ])
}

/// The members of a request, as paths.
fn places(value: &Value, path: &str, all: &mut Vec<String>) {
    if !path.is_empty() {
        all.push(path.to_owned());
    }
    if let Value::Object(members) = value {
        for (name, member) in members {
            places(member, &format!("{path}/{name}"), all);
        }
    }
}

/// Changes one member.
fn change(body: &mut Value, draw: &mut Draw) {
    let mut all = Vec::new();
    places(body, "", &mut all);
    let place = draw.one(&all);
    let (parent, name) = place.rsplit_once('/').unwrap();
    let odd = odd(draw);
    let other = body.pointer(&draw.one(&all)).cloned().unwrap();
    let members: &mut Map<String, Value> = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match draw.below(6) {
        0 => drop(members.remove(name)),
        1 => drop(members.insert(name.to_owned(), odd)),
        2 => drop(members.insert(name.to_owned(), other)),
        3 => drop(members.insert(format!("{name}x"), odd)),
        4 => {
            let text = members[name].as_str().map(str::to_owned).unwrap_or_default();
            let changed = match draw.below(4) {
                0 => text.to_uppercase(),
                1 => text.chars().skip(1).collect(),
                2 => format!("{text}0"),
                _ => flipped(&text, draw),
            };
            members.insert(name.to_owned(), json!(changed));
        }
        _ => {
            if let Some(number) = members[name].as_str().and_then(|text| text.parse::<u64>().ok()) {
                members.insert(name.to_owned(), json!(number));
            }
        }
    }
}

/// Another character at one place.
fn flipped(text: &str, draw: &mut Draw) -> String {
    let place = draw.below(text.chars().count());
    let other = draw.one(&['0', '1', 'f', 'G', 'é', '"']);
    text.chars().enumerate().map(|(index, known)| if index == place { other } else { known }).collect()
}

/// A request as bytes, with what is changed below JSON.
fn bytes(body: &Value, draw: &mut Draw) -> Vec<u8> {
    let text = body.to_string();
    let mut raw = text.clone().into_bytes();
    match draw.below(14) {
        0 => raw.truncate(draw.below(raw.len())),
        1 => {
            let place = draw.below(raw.len());
            raw[place] = u8::try_from(draw.below(256)).unwrap();
        }
        2 => raw.extend_from_slice(text.as_bytes()),
        3 => raw = "[".repeat(draw.below(60_000)).into_bytes(),
        4 => raw.extend(std::iter::repeat_n(b' ', draw.below(80_000))),
        // A member twice: two readings.
        5 => raw = text.replacen('{', "{\"x402Version\":1,", 1).into_bytes(),
        _ => {}
    }
    raw
}

/// Whether an answer says what was judged, or is a problem document that clients of x402 read too. Returns the answer.
fn typed(path: &str, status: u16, kind: &str, text: &str, what: &str) -> Value {
    let answer: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{what}: {status} {text}"));
    let (good, why) =
        if path == "/verify" { ("isValid", "invalidReason") } else { ("success", "errorReason") };
    let is_good = answer[good].as_bool().unwrap_or_else(|| panic!("{what}: {status} {text}"));
    if !is_good {
        let reason = answer[why].as_str().unwrap_or_else(|| panic!("{what}: {status} {text}"));
        assert!(X402Reason::ALL.iter().any(|known| known.as_str() == reason), "{what}: {text}");
    }
    if status == 200 {
        assert!(kind.starts_with("application/json"), "{what}: {kind}");
    } else {
        assert!(matches!(status, 400 | 408 | 413 | 415 | 503), "{what}: {status} {text}");
        assert!(kind.starts_with("application/problem+json"), "{what}: {kind}");
        assert!(answer["code"].is_string() && answer["detail"].is_string(), "{what}: {text}");
        assert!(!is_good, "{what}: {text}");
    }
    answer
}

/// Every settlement, page by page.
fn all_settlements(stand: &Facilitating) -> Vec<Value> {
    const PAGE: usize = 1000;
    let (mut all, mut after) = (Vec::new(), u64::MAX >> 1);
    loop {
        let (limit, last) = (PAGE.to_string(), after.to_string());
        let (code, text) =
            stand.command(&["settlements", "list", "--limit", &limit, "--after", &last, "--json"]);
        assert_eq!(code, 0, "{text}");
        let Value::Array(rows) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        let number = rows.len();
        after = rows.last().map_or(after, |row| row["number"].as_u64().unwrap());
        all.extend(rows);
        if number < PAGE {
            return all;
        }
    }
}

/// `FACILITATOR_MUTATIONS` says how many, `MUTATION_SEED` which.
#[tokio::test(flavor = "multi_thread")]
async fn t9_whatever_is_changed_in_a_request_the_answer_is_typed_and_nothing_refused_is_sent() {
    let count: u64 = std::env::var("FACILITATOR_MUTATIONS").map_or(600, |text| text.parse().unwrap());
    let seed: u64 = match std::env::var("MUTATION_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("MUTATION_SEED={seed}");
    let no_limits = "gas_per_day = { all = 0, payer = 0 }\nmax_waiting = 10000";
    let options = FacilitatorOptions { facilitator: no_limits.into(), ..Default::default() };
    let stand = Facilitating::start_with(SALT402, options).await;
    let (payer, payee): (_, Address) = (X402Payer::new(), PAYEE.parse().unwrap());
    let facilitator: Address = FACILITATOR.parse().unwrap();
    stand.approve(payer.address, &stand.wrapped, U256::MAX).await;
    let process = stand.stack.process.as_ref().unwrap().id();
    let ask = async |number: u64| {
        let mut draw = Draw(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        draw.below(2);
        let terms = Terms::new(payee, 5 + u128::from(number % 50), number);
        let mut body = match draw.below(4) {
            0 => payer.eip3009(&stand.wrapped, &terms),
            1 => payer.permit2(&stand.wrapped, &terms),
            2 => charging(payer.upto(&stand.wrapped, &terms, facilitator), u128::from(number % 5)),
            _ => payer.sponsored(payer.permit2(&stand.wrapped, &terms), &stand.wrapped, &terms, 0),
        };
        for _ in 0..draw.below(3) {
            change(&mut body, &mut draw);
        }
        let raw = bytes(&body, &mut draw);
        let path = draw.one(&["/verify", "/settle", "/settle"]);
        let kind = if draw.below(40) == 0 { "text/plain" } else { "application/json" };
        let what = format!("seed {seed}, request {number} to {path}");
        let post = || {
            let request = stand.stack.client.post(format!("{}{path}", stand.url));
            request.header("content-type", kind).body(raw.clone()).send()
        };
        let mut pending = 0;
        loop {
            let response = post()
                .await
                .unwrap_or_else(|error| panic!("{what} of {} bytes of {kind}: {error:?}", raw.len()));
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let kind = headers.get("content-type").map_or("", |kind| kind.to_str().unwrap());
            let text = response.text().await.unwrap_or_else(|error| panic!("{what}: {error}"));
            let answer = typed(path, status, kind, &text, &what);
            if path == "/settle" && answer["errorReason"] == "settlement_pending" {
                pending += 1;
                assert!(pending < 20, "{what}: it stays pending");
                continue;
            }
            return (path, answer);
        }
    };
    let answers: Vec<(&str, Value)> = stream::iter(0..count).map(ask).buffer_unordered(16).collect().await;
    let settled: Vec<&Value> = answers
        .iter()
        .filter(|(path, answer)| *path == "/settle" && answer["success"] == true)
        .map(|it| &it.1)
        .collect();
    assert!(!settled.is_empty(), "nothing was good: seed {seed}");
    let refused =
        answers.iter().filter(|(_, answer)| answer["success"] == false || answer["isValid"] == false);
    println!("{} of {count} were settled, {} refused", settled.len(), refused.count());
    assert_eq!(stand.stack.process.as_ref().unwrap().id(), process);
    let health = stand.stack.get(&format!("{}/health", stand.url)).await;
    assert_eq!(health.status.as_u16(), 200, "seed {seed}: {}", health.body);
    // What was moved and sent is what was told, and nothing else.
    let moved: u128 =
        settled.iter().map(|answer| answer["amount"].as_str().unwrap().parse::<u128>().unwrap()).sum();
    assert_eq!(stand.paid(&stand.wrapped).await, moved, "seed {seed}");
    let transactions: BTreeSet<&str> = settled
        .iter()
        .map(|answer| answer["transaction"].as_str().unwrap())
        .filter(|transaction| !transaction.is_empty())
        .collect();
    assert_eq!(stand.nonce(FACILITATOR).await, transactions.len() as u64, "seed {seed}");
    let rows = all_settlements(&stand);
    assert!(rows.iter().all(|row| row["state"] == "settled"), "seed {seed}: {rows:?}");
    assert_eq!(rows.len(), settled.len(), "seed {seed}: a claim without an answer");
    // An honest one is settled after all of that.
    let honest = payer.eip3009(&stand.wrapped, &Terms::new(payee, 5, u64::MAX));
    assert_eq!(stand.settle_until_known(&honest).await["success"], true, "seed {seed}");
}
