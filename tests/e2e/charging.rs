//! What was used is charged: a ceiling is signed, the request runs, and the payer pays for what it used, once.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy_primitives::U256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use reqwest::StatusCode;
use salt402_protocol::Asset;
use salt402_tests::x402::{FACILITATOR, Terms, Token, X402Payer};
use salt402_tests::{
    Act, Answer, CHAT_DONE, Facilitating, FacilitatorOptions, PAYEE_KEY, Scripted, Stack, StackOptions,
    TestService, chat_chunk, inference,
};
use serde_json::{Value, json};

use crate::SALT402;
use crate::claiming::channel;
use crate::vouchers::{accounts, opened, refused, served, show, taking_vouchers};

const SIGNATURES: &str = "
[payment.signatures]
token = \"WRAPPED_SALT\"
domain_name = \"Wrapped SALT\"
upto = true
";

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// What any request costs, what each token costs that is written, and what each costs that is read.
const REQUEST: u128 = 1000;
const READ: u128 = 10;
/// What the model server says that it has read and written, at these prices.
pub(crate) const USED: u128 = REQUEST + 3 * READ + 2;

async fn stand_with(signatures: &str) -> Facilitating {
    stand_of(signatures, "").await
}

/// With lines for `[payment.signatures]` and `[gateway]`.
pub(crate) async fn stand_of(signatures: &str, gateway: &str) -> Facilitating {
    let stack = StackOptions {
        payment: format!("{SIGNATURES}{signatures}"),
        model: "charge = \"used\"\nprice_per_prompt_token = \"10\"".into(),
        gateway: format!("leave_grace_s = 1\n{gateway}"),
        ..StackOptions::default()
    };
    let stand = Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    let payer = X402Payer::new().address;
    stand.fund(payer, 1_000_000_000_000_000_000).await;
    stand.approve(payer, &stand.wrapped, U256::MAX).await;
    stand
}

pub(crate) async fn stand() -> Facilitating {
    stand_with("").await
}

fn required(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.body);
    let header = answer.headers["payment-required"].to_str().unwrap();
    serde_json::from_slice(&STANDARD.decode(header).unwrap()).unwrap()
}

fn ceiling(required: &Value) -> u128 {
    required["accepts"][0]["amount"].as_str().unwrap().parse().unwrap()
}

/// What is sent to authorize what is asked, with the nonce of a number.
pub(crate) fn sign(stand: &Facilitating, payer: &X402Payer, required: &Value, number: u64) -> String {
    sign_until(stand, payer, required, number, u64::MAX)
}

/// The same, good until a second since 1970.
pub(crate) fn sign_until(
    stand: &Facilitating,
    payer: &X402Payer,
    required: &Value,
    number: u64,
    until: u64,
) -> String {
    sign_ceiling(&stand.wrapped, payer, required, number, until)
}

/// The same in a token.
pub(crate) fn sign_ceiling(
    token: &Token,
    payer: &X402Payer,
    required: &Value,
    number: u64,
    until: u64,
) -> String {
    let accepted = &required["accepts"][0];
    assert_eq!(
        (&accepted["scheme"], &accepted["extra"]["facilitatorAddress"]),
        (&json!("upto"), &json!(FACILITATOR))
    );
    let terms = Terms::new(accepted["payTo"].as_str().unwrap().parse().unwrap(), ceiling(required), number);
    let terms = Terms { valid_before: terms.valid_before.min(until), ..terms };
    let mut payload = payer.upto(token, &terms, FACILITATOR.parse().unwrap())["paymentPayload"].take();
    payload["accepted"] = accepted.clone();
    payload["resource"] = required["resource"].clone();
    STANDARD.encode(payload.to_string())
}

/// What `salt402 charges` says of a stand's charges, with its exit code.
fn charges(stand: &Facilitating, args: &[&str]) -> (i32, String) {
    let mut command = std::process::Command::new(SALT402);
    command.arg("charges").args(args).arg("--config").arg(stand.stack.config()).env("SALT402_LOG", "off");
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

pub(crate) async fn post(stand: &Facilitating, path: &str, body: &Value, signed: Option<&str>) -> Answer {
    let headers: Vec<_> = signed.map(|signed| ("payment-signature", signed)).into_iter().collect();
    stand.stack.post(&format!("{}{path}", stand.stack.gateway), body, &headers).await
}

pub(crate) async fn asked(stand: &Facilitating, path: &str, body: &Value) -> Value {
    required(&post(stand, path, body, None).await)
}

/// What an answer says of its settlement.
pub(crate) fn settled(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let header = answer.headers["payment-response"].to_str().unwrap();
    serde_json::from_slice(&STANDARD.decode(header).unwrap()).unwrap()
}

/// Waits until the payee has so much, and sees that it is no more.
pub(crate) async fn paid(stand: &Facilitating, amount: u128) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while stand.paid(&stand.wrapped).await < amount && Instant::now() < give_up {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(stand.paid(&stand.wrapped).await, amount);
}

pub(crate) fn chat(text: &str, stream: bool) -> Value {
    let mut body =
        json!({ "model": "counted", "messages": [{ "role": "user", "content": text }], "stream": stream });
    if stream {
        body["stream_options"] = json!({ "include_usage": true });
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn t1_a_ceiling_pays_for_one_request_what_it_used_and_once() {
    let stand = stand().await;
    let payer = X402Payer::new();
    let body = inference("one");
    let required = asked(&stand, "/v1/inference", &body).await;
    assert_eq!(required["accepts"].as_array().unwrap().len(), 2, "by use, and as it is signed: {required}");
    assert_eq!(required["accepts"][1]["scheme"], "exact");
    assert!(ceiling(&required) > USED, "{required}");
    let signed = sign(&stand, &payer, &required, 1);

    // Two requests at once with one signature, of which one is another's.
    let other = inference("another");
    let answers = join_all(
        [&body, &body, &body, &other].map(|body| post(&stand, "/v1/inference", body, Some(&signed))),
    )
    .await;
    let given: Vec<_> = answers.iter().filter(|answer| answer.status.is_success()).collect();
    assert!(!given.is_empty() && !answers[3].status.is_success(), "{answers:?}");
    for answer in &given {
        let told = settled(answer);
        assert_eq!((&told["success"], &told["amount"]), (&json!(true), &json!(USED.to_string())), "{told}");
        assert_eq!(answer.headers["x-payment-charge"], USED.to_string());
        let receipt: Value =
            serde_json::from_str(answer.headers["x-payment-receipt"].to_str().unwrap()).unwrap();
        assert_eq!(
            (&receipt["transaction"], &receipt["amount"]),
            (&told["transaction"], &json!(USED.to_string()))
        );
        assert_eq!(answer.json()["usage"]["cost"], USED.to_string(), "{}", answer.body);
    }
    assert_eq!(stand.stack.upstream.asked(), 1);
    assert_eq!(stand.paid(&stand.wrapped).await, USED);

    // It was kept for that request, and pays for no other, by its signature or by its nonce.
    let refused = post(&stand, "/v1/inference", &other, Some(&signed)).await;
    assert!(["signature_used", "quote_mismatch"].contains(&refused.code().as_str()), "{}", refused.body);
    let nonce = U256::from_be_bytes(Terms::new(payer.address, 0, 1).nonce.0);
    let proof = format!("permit2:{}:{nonce}", payer.address);
    let by_nonce = stand.stack.infer(&other, &[("x-payment-proof", &proof)]).await;
    assert!(!by_nonce.status.is_success(), "{}", by_nonce.body);

    // A client that signs again for the same request is answered from the first, and pays once.
    let again = sign(&stand, &payer, &asked(&stand, "/v1/inference", &body).await, 2);
    let before = stand.nonce(FACILITATOR).await;
    let answer = post(&stand, "/v1/inference", &body, Some(&again)).await;
    assert!(answer.status.is_success() || answer.code() == "quote_required", "{}", answer.body);
    assert_eq!((stand.nonce(FACILITATOR).await, stand.stack.upstream.asked()), (before, 1));
    assert_eq!(stand.paid(&stand.wrapped).await, USED);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_does_not_count_is_charged_by_the_bound_and_never_above_it() {
    let stand = stand().await;
    let payer = X402Payer::new();
    let mut sum = 0;
    let usage = |usage: Value| json!({ "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "x" } }], "usage": usage });
    let cases = [
        ("none", Value::Null, None),
        ("much", json!({ "prompt_tokens": 1_000_000, "completion_tokens": 1_000_000 }), None),
        ("zero", json!({ "prompt_tokens": 0, "completion_tokens": 0 }), Some(REQUEST)),
        ("total", json!({ "completion_tokens": 1, "total_tokens": 2 }), Some(REQUEST + READ + 1)),
    ];
    for (number, (name, counted, charge)) in cases.into_iter().enumerate() {
        let body = chat(name, false);
        let required = asked(&stand, CHAT, &body).await;
        let charge = charge.unwrap_or_else(|| ceiling(&required));
        stand.stack.upstream.script(Scripted::json(200, usage(counted).to_string()));
        let answer =
            post(&stand, CHAT, &body, Some(&sign(&stand, &payer, &required, 100 + number as u64))).await;
        assert_eq!(settled(&answer)["amount"], charge.to_string(), "{name}: {}", answer.body);
        if name != "none" {
            assert_eq!(answer.json()["usage"]["cost"], charge.to_string(), "{}", answer.body);
        }
        sum += charge;
        assert_eq!(stand.paid(&stand.wrapped).await, sum, "{name}");
    }
    // Nobody pays for nothing: what failed is run again for the same signature, and charged once.
    let body = chat("fails", false);
    let signed = sign(&stand, &payer, &asked(&stand, CHAT, &body).await, 200);
    stand.stack.upstream.fail(1);
    let failed = post(&stand, CHAT, &body, Some(&signed)).await;
    assert_eq!(failed.code(), "upstream_failed", "{}", failed.body);
    assert_eq!(stand.paid(&stand.wrapped).await, sum);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(settled(&post(&stand, CHAT, &body, Some(&signed)).await)["amount"], USED.to_string());
    assert_eq!(stand.paid(&stand.wrapped).await, sum + USED);
    // A request that can never be answered charges nothing, and its signature pays for nothing more.
    let body = chat("never", false);
    let signed = sign(&stand, &payer, &asked(&stand, CHAT, &body).await, 201);
    stand
        .stack
        .upstream
        .script(Scripted::json(400, r#"{"error":{"message":"no","type":"invalid_request_error"}}"#));
    let never = post(&stand, CHAT, &body, Some(&signed)).await;
    assert_eq!(never.code(), "signature_used", "{}", never.body);
    assert!(never.json()["detail"].as_str().unwrap().contains("nothing is charged"), "{}", never.body);
    let asked_before = stand.stack.upstream.asked();
    assert_eq!(post(&stand, CHAT, &body, Some(&signed)).await.code(), "signature_used");
    assert_eq!(stand.stack.upstream.asked(), asked_before);
    assert_eq!(stand.paid(&stand.wrapped).await, sum + USED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_charged_at_its_end_and_whoever_leaves_pays_for_what_was_written() {
    let stand = stand().await;
    let payer = X402Payer::new();
    let body = chat("whole", true);
    let required = asked(&stand, CHAT, &body).await;
    let signed = sign(&stand, &payer, &required, 1);
    let answer = post(&stand, CHAT, &body, Some(&signed)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert!(answer.body.ends_with(CHAT_DONE), "{}", answer.body);
    let last: Value = answer
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .rev()
        .nth(1)
        .map(|data| serde_json::from_str(data).unwrap())
        .unwrap();
    assert_eq!(last["usage"]["cost"], USED.to_string(), "{}", answer.body);
    paid(&stand, USED).await;
    // Who asks again has it again, with what became of the payment.
    let again = post(&stand, CHAT, &body, Some(&signed)).await;
    assert_eq!(
        (settled(&again)["amount"].as_str().unwrap(), &again.body),
        (&*USED.to_string(), &answer.body)
    );

    let body = chat("left", true);
    let required = asked(&stand, CHAT, &body).await;
    let signed = sign(&stand, &payer, &required, 2);
    let script = stand.stack.upstream.script_stream();
    for word in ["one", "two", "three"] {
        script.write(chat_chunk(word));
    }
    let mut response = stand.stack.open(CHAT, &body, &[("payment-signature", &signed)]).await;
    let mut text = String::new();
    while !text.contains("three") {
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    drop(response);
    // The bound of what is read, and the three pieces that were written.
    let read = ceiling(&required) - REQUEST - 16;
    paid(&stand, USED + REQUEST + read + 3).await;
    assert_eq!(stand.stack.upstream.left(), 1, "the model server was stopped");
    let again = post(&stand, CHAT, &body, Some(&signed)).await;
    assert!(
        again.status.is_success() && again.body.contains("three"),
        "what was paid for is kept: {}",
        again.body
    );
    assert_eq!(stand.stack.upstream.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn t8_a_payer_whose_charge_cannot_be_settled_is_served_no_more_until_it_is() {
    let stand = stand().await;
    let payer = X402Payer::new();
    let body = chat("revoked", false);
    let signed = sign(&stand, &payer, &asked(&stand, CHAT, &body).await, 1);
    // The allowance is there when it is verified, and gone when the answer is.
    stand.stack.upstream.delay(Duration::from_millis(1500));
    let shown = post(&stand, CHAT, &body, Some(&signed));
    let revoked = async {
        while stand.stack.upstream.asked() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stand.approve(payer.address, &stand.wrapped, U256::ZERO).await;
    };
    let (answer, ()) = tokio::join!(shown, revoked);
    stand.stack.upstream.delay(Duration::ZERO);
    assert_eq!(answer.code(), "payer_refused", "the answer is not given for nothing: {}", answer.body);
    assert!(!answer.headers.contains_key("payment-required"));
    assert_eq!(stand.paid(&stand.wrapped).await, 0);
    let (code, listed) = charges(&stand, &["list"]);
    assert!(
        code == 0 && listed.contains(&format!("{USED} of ")) && listed.contains("is owed, and tried again"),
        "{listed}"
    );

    // The allowance is back before the next one is verified, so that the debt alone stands in its way.
    let next = chat("next", false);
    let another = sign(&stand, &payer, &asked(&stand, CHAT, &next).await, 2);
    stand.approve(payer.address, &stand.wrapped, U256::from(1)).await;
    let asked_before = stand.stack.upstream.asked();
    let refused = post(&stand, CHAT, &next, Some(&another)).await;
    assert!(!refused.status.is_success(), "{}", refused.body);
    assert_eq!(stand.stack.upstream.asked(), asked_before);

    stand.approve(payer.address, &stand.wrapped, U256::MAX).await;
    let mut told = post(&stand, CHAT, &body, Some(&signed)).await;
    let give_up = Instant::now() + Duration::from_secs(60);
    while !told.status.is_success() && Instant::now() < give_up {
        tokio::time::sleep(Duration::from_millis(500)).await;
        told = post(&stand, CHAT, &body, Some(&signed)).await;
    }
    assert_eq!(told.status, StatusCode::OK, "{}", told.body);
    paid(&stand, USED).await;
    let served = post(&stand, CHAT, &next, Some(&another)).await;
    assert_eq!(settled(&served)["amount"], USED.to_string());
    paid(&stand, 2 * USED).await;
    let (_, listed) = charges(&stand, &["list", "--all"]);
    assert_eq!(listed.matches("is settled").count(), 2, "{listed}");
    assert_eq!(charges(&stand, &["list"]).1, "no charge is open\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn t8_what_is_owed_for_good_is_shown_and_written_off_and_its_payer_is_served_again() {
    let stand = stand().await;
    let payer = X402Payer::new();
    let body = chat("revoked", false);
    let signed = sign(&stand, &payer, &asked(&stand, CHAT, &body).await, 1);
    stand.stack.upstream.delay(Duration::from_millis(1500));
    let revoked = async {
        while stand.stack.upstream.asked() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stand.approve(payer.address, &stand.wrapped, U256::ZERO).await;
    };
    let (answer, ()) = tokio::join!(post(&stand, CHAT, &body, Some(&signed)), revoked);
    stand.stack.upstream.delay(Duration::ZERO);
    assert_eq!(answer.code(), "payer_refused", "{}", answer.body);
    let (_, listed) = charges(&stand, &["list"]);
    let payment = listed.split(' ').next().unwrap().to_owned();
    let (code, shown) = charges(&stand, &["show", &payment]);
    assert!(code == 2 && shown.contains("said last: ") && shown.contains("tried: "), "{code} {shown}");
    let json: Value = serde_json::from_str(&charges(&stand, &["list", "--json"]).1).unwrap();
    assert_eq!((&json[0]["state"], &json[0]["amount"]), (&json!("unpaid"), &json!(USED.to_string())));

    let (code, said) = charges(&stand, &["write-off", &payment, "--note", " "]);
    assert!(code == 1 && said.contains("--note"), "{said}");
    let unknown = format!("0x{}", "77".repeat(32));
    let (code, said) = charges(&stand, &["write-off", &unknown, "--note", "lost"]);
    assert!(code == 1 && said.contains("nothing is charged by use of a payment"), "{said}");
    let (code, said) = charges(&stand, &["write-off", &payment, "--note", "a friend\u{1b}[2J"]);
    assert!(code == 0 && said.contains("is written off"), "{said}");
    let (code, said) = charges(&stand, &["write-off", &payment, "--note", "twice"]);
    assert!(code == 1 && said.contains("is written off: a friend\\u001b[2J"), "{said}");
    assert_eq!(charges(&stand, &["show", &payment]).0, 2);
    assert_eq!(charges(&stand, &["list"]).1, "no charge is open\n");

    // Its payer is served again, and pays for that alone. What is written off is not given for nothing.
    stand.approve(payer.address, &stand.wrapped, U256::MAX).await;
    let next = chat("next", false);
    let another = sign(&stand, &payer, &asked(&stand, CHAT, &next).await, 2);
    assert_eq!(settled(&post(&stand, CHAT, &next, Some(&another)).await)["amount"], USED.to_string());
    paid(&stand, USED).await;
}

/// What is signed for a moment is settled too late. It is given up, and the next signature for the same request is heard.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_ends_too_soon_stands_in_the_way_of_no_other() {
    let stand = stand().await;
    let payer = X402Payer::new();
    let body = inference("soon");
    let required = asked(&stand, "/v1/inference", &body).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let soon = sign_until(&stand, &payer, &required, 1, now + 20);
    let refused = post(&stand, "/v1/inference", &body, Some(&soon)).await;
    assert_eq!(refused.code(), "signature_refused", "{}", refused.body);
    let signed = sign(&stand, &payer, &required, 2);
    let answer = post(&stand, "/v1/inference", &body, Some(&signed)).await;
    assert_eq!(settled(&answer)["amount"], USED.to_string());
    paid(&stand, USED).await;
    assert_eq!(stand.stack.upstream.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn t8_a_payer_has_no_more_open_than_the_operator_says() {
    let stand = stand_with("most_unsettled = \"3000\"\n").await;
    let payer = X402Payer::new();
    stand.stack.upstream.delay(Duration::from_millis(1500));
    let mut shown = Vec::new();
    for number in 0..4 {
        let body = inference(&format!("number {number}"));
        let signed = sign(&stand, &payer, &asked(&stand, "/v1/inference", &body).await, number);
        shown.push((body, signed));
    }
    let answers =
        join_all(shown.iter().map(|(body, signed)| post(&stand, "/v1/inference", body, Some(signed)))).await;
    let served = answers.iter().filter(|answer| answer.status.is_success()).count();
    let told: Vec<_> =
        answers.iter().filter(|answer| !answer.status.is_success()).map(Answer::code).collect();
    assert!(
        served >= 1 && !told.is_empty() && told.iter().all(|code| code == "account_limited"),
        "{served} {told:?}"
    );
    assert_eq!(stand.paid(&stand.wrapped).await, served as u128 * USED);
    // Later they are served, by the same signatures.
    stand.stack.upstream.delay(Duration::ZERO);
    for (body, signed) in &shown {
        let answer = post(&stand, "/v1/inference", body, Some(signed)).await;
        assert!(answer.status.is_success() || answer.code() == "quote_required", "{}", answer.body);
    }
    assert_eq!(stand.paid(&stand.wrapped).await, 4 * USED);
    assert_eq!(stand.stack.upstream.asked(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn f18_killed_at_any_step_the_gateway_charges_once_what_was_used() {
    let mut stand = stand().await;
    let payer = X402Payer::new();
    let seed: u64 = match std::env::var("CRASH_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("CRASH_SEED={seed}");
    let mut drawn = seed;
    let kills: u64 = std::env::var("CRASH_KILLS").map_or(6, |kills| kills.parse().unwrap());
    for number in 0..kills {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pause = Duration::from_micros((drawn >> 33) % 120_000);
        let body = inference(&format!("killed {number}"));
        let signed = sign(&stand, &payer, &asked(&stand, "/v1/inference", &body).await, number);
        let request = stand
            .stack
            .client
            .post(format!("{}/v1/inference", stand.stack.gateway))
            .header("payment-signature", &signed)
            .json(&body);
        let sent = tokio::spawn(async move { request.send().await.map(drop).is_ok() });
        tokio::time::sleep(pause).await;
        stand.stack.kill();
        let _ = sent.await;
        stand.up().await;
        // The payer shows the same again until it is answered.
        let give_up = Instant::now() + Duration::from_secs(60);
        let mut answer = post(&stand, "/v1/inference", &body, Some(&signed)).await;
        while !answer.status.is_success() && answer.code() != "quote_required" && Instant::now() < give_up {
            tokio::time::sleep(Duration::from_millis(200)).await;
            answer = post(&stand, "/v1/inference", &body, Some(&signed)).await;
        }
        assert_eq!(settled(&answer)["amount"], USED.to_string(), "seed {seed}, kill {number}");
        paid(&stand, u128::from(number + 1) * USED).await;
    }
    // Every base unit is accounted for in the rows too.
    let store =
        salt402_store::Store::open(salt402_store::Options::new(stand.stack.database())).await.unwrap();
    let open = store.open_charges().await.unwrap();
    assert_eq!(open, Default::default(), "seed {seed}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f18_what_was_used_is_settled_by_the_next_process_without_its_payer() {
    let mut stand = stand().await;
    let payer = X402Payer::new();
    let body = inference("settled later");
    let signed = sign(&stand, &payer, &asked(&stand, "/v1/inference", &body).await, 1);
    // Nothing is mined, so it is killed between the answer on disk and the settlement.
    stand.stack.anvil.ask("evm_setAutomine", json!([false])).await;
    let request = stand
        .stack
        .client
        .post(format!("{}/v1/inference", stand.stack.gateway))
        .header("payment-signature", &signed)
        .json(&body);
    let sent = tokio::spawn(async move { request.send().await.map(drop).is_ok() });
    while stand.stack.upstream.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stand.stack.kill();
    let _ = sent.await;
    stand.stack.anvil.ask("evm_setAutomine", json!([true])).await;
    stand.up().await;
    stand.stack.anvil.mine(1).await;
    paid(&stand, USED).await;
    let answer = post(&stand, "/v1/inference", &body, Some(&signed)).await;
    assert_eq!(settled(&answer)["amount"], USED.to_string());
    assert_eq!((stand.stack.upstream.asked(), stand.paid(&stand.wrapped).await), (1, USED));
}

/// What is used of a channel is spent, the rest pays for the next request, and the chain gets no more than was charged.
#[tokio::test(flavor = "multi_thread")]
async fn t22_of_a_voucher_what_was_used_is_spent_and_the_rest_pays_for_the_next() {
    const MOST: u64 = 1016;
    let options = StackOptions { model: "charge = \"used\"".into(), ..taking_vouchers() };
    let mut stack = Stack::start_with(SALT402, options).await;
    let channel = opened(&mut stack, Asset::Native, 4 * MOST, 1).await;
    let used = 1002;
    let answer = show(&stack, "one", &channel.proof(MOST)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(
        (answer.headers["x-payment-charge"].to_str().unwrap(), &answer.json()["usage"]["cost"]),
        ("1002", &json!("1002"))
    );
    let account = |rows: &std::collections::BTreeMap<_, salt402_store::VoucherRow>| {
        let account = rows[&channel.id].account;
        [account.ceiling, account.spent, account.reserved].map(|amount| amount.0.to::<u64>())
    };
    assert_eq!(account(&accounts(&stack).await), [MOST, used, 0]);
    // 14 are to credit, so that the next one is signed for that much less.
    let (code, detail) = refused(&stack, "two", &channel.proof(used + MOST - 1)).await;
    assert_eq!(code, "voucher_too_low", "{detail}");
    assert!(
        detail.ends_with(&format!("highest={MOST} spent={used} price={MOST} next={}", used + MOST)),
        "{detail}"
    );
    // Two at once, each for its own request: what is not known yet is taken.
    stack.upstream.delay(Duration::from_millis(700));
    let second = channel.proof(used + MOST);
    let (first, copy, third) =
        tokio::join!(show(&stack, "two", &second), show(&stack, "two", &second), async {
            tokio::time::sleep(Duration::from_millis(350)).await;
            refused(&stack, "three", &channel.proof(2 * used + MOST)).await
        });
    assert_eq!(first.body, copy.body);
    assert_eq!(third.0, "voucher_too_low", "{}", third.1);
    assert!(third.1.contains(&format!("spent={}", used + MOST)), "{}", third.1);
    stack.upstream.delay(Duration::ZERO);
    served(&stack, "three", &channel.proof(2 * used + MOST)).await;
    assert_eq!(account(&accounts(&stack).await), [2 * used + MOST, 3 * used, 0]);
    assert_eq!(stack.upstream.asked(), 3);
    // Killed between the answer and the count, the next process counts it.
    stack.kill();
    stack.up().await;
    assert_eq!(account(&accounts(&stack).await), [2 * used + MOST, 3 * used, 0]);
    let claim = channel.claim_call(&channel.voucher(2 * used + MOST), 3 * used);
    assert!(!claim.is_empty());
}

const ROWS: &str = r#"[{"id":1},{"id":2},{"id":3}]"#;

/// What a request uses that is under way could not be claimed of a closed channel.
#[tokio::test(flavor = "multi_thread")]
async fn t22_a_channel_is_closed_when_the_requests_have_ended_that_were_granted_on_it() {
    const MOST: u64 = 1016;
    let options = StackOptions { model: "charge = \"used\"".into(), ..taking_vouchers() };
    let mut stack = Stack::start_with(SALT402, options).await;
    let opened = opened(&mut stack, Asset::Native, 4 * MOST, 1).await;
    let id = opened.id.to_string();
    stack.upstream.delay(Duration::from_secs(5));
    let proof = opened.proof(MOST);
    let closing = async {
        while stack.upstream.asked() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        channel(&stack, &["close", &id], Some(PAYEE_KEY)).await
    };
    let (answer, (success, said)) = tokio::join!(show(&stack, "one", &proof), closing);
    assert!(!success && said.contains("have requests under way"), "{said}");
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    stack.upstream.delay(Duration::ZERO);
    refused(&stack, "two", &opened.proof(2 * MOST)).await;
    let give_up = Instant::now() + Duration::from_secs(30);
    let mut closed = channel(&stack, &["close", &id], Some(PAYEE_KEY)).await;
    while !closed.0 && Instant::now() < give_up {
        tokio::time::sleep(Duration::from_millis(200)).await;
        closed = channel(&stack, &["close", &id], Some(PAYEE_KEY)).await;
    }
    assert!(closed.0 && closed.1.contains("closed"), "{}", closed.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_charged_by_the_rows_and_bytes_of_its_answer() {
    let service = TestService::start().await;
    let path = |path: &str| {
        format!(
            "[[gateway.services.paths]]\npath = \"{path}/*\"\nprice = \"5000\"\nprice_per_row = \"100\"\nprice_per_byte = \"1\"\nminimum_price = \"50\"\n"
        )
    };
    let table = |name: &str, more: &str| {
        format!(
            "[[gateway.services]]\nname = \"{name}\"\nupstream = \"{}\"\n{more}\n{}",
            service.url(),
            path(&format!("/{name}"))
        )
    };
    let stack = StackOptions {
        payment: SIGNATURES.into(),
        sections: format!("{}\n{}", table("kept", "keep_answers_bytes = 4096"), table("once", "")),
        ..StackOptions::default()
    };
    let stand = Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    let payer = X402Payer::new();
    stand.fund(payer.address, 1_000_000_000_000_000_000).await;
    stand.approve(payer.address, &stand.wrapped, U256::MAX).await;
    let rows = 3 * 100 + ROWS.len() as u128;
    let many = "x".repeat(9000);
    let mut sum = 0;
    // Rows that nobody can count cost the most, and so does what is longer.
    let cases = [
        ("application/json", ROWS, rows),
        ("text/plain", ROWS, 5000),
        ("application/json", &*many, 5000),
        ("application/json", "", 50),
    ];
    for (number, (kind, body, charge)) in cases.into_iter().enumerate() {
        for (offset, name) in [(10, "kept"), (20, "once")] {
            let target = format!("/{name}/{number}");
            let required = asked(&stand, &target, &json!({})).await;
            assert_eq!(ceiling(&required), 5000);
            let signed = sign(&stand, &payer, &required, offset + number as u64);
            service.script([Act::answer("200 OK", &format!("content-type: {kind}\r\n"), body)]);
            let answer = post(&stand, &target, &json!({}), Some(&signed)).await;
            assert_eq!((answer.status, &*answer.body), (StatusCode::OK, body), "{target}");
            let sent = service.received();
            let encoding = sent.last().and_then(|received| received.header("accept-encoding"));
            assert_eq!(encoding, Some("identity"), "compressed rows could not be counted");
            if name == "kept" && body.len() < 4096 {
                assert_eq!(settled(&answer)["amount"], charge.to_string(), "{target}");
                assert_eq!(answer.headers["x-payment-charge"], charge.to_string());
            }
            sum += charge;
            paid(&stand, sum).await;
            // It is given again, or was given once, and is charged no second time.
            let again = post(&stand, &target, &json!({}), Some(&signed)).await;
            assert!(
                again.status.is_success() == (name == "kept" && body.len() < 4096),
                "{target}: {}",
                again.body
            );
            assert_eq!(stand.paid(&stand.wrapped).await, sum);
        }
    }
}
