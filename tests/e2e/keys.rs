//! API keys and prepaid balances: an operator makes one or a payment buys one, requests draw it for what they used, and a tool needs a base
//! URL and a key alone.

use std::process::Command;
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::StatusCode;
use salt402_tests::{Answer, Scripted, Stack, StackOptions, TestService, inference};
use serde_json::{Value, json};

use crate::SALT402;
use crate::charging::{CHAT, chat};

pub(crate) const KEYS: &str = "leave_grace_s = 1
keys = { least = \"1000\", most = \"100000000000\", plans = [{ name = \"pro\", bonus_percent = 10, requests_per_minute = 1000, models = [\"counted\"] }] }";

/// What a request costs, with the three tokens that the model server reads and the two that it writes.
pub(crate) const USED: u64 = 1000 + 3 * 10 + 2;

pub(crate) fn options() -> StackOptions {
    StackOptions {
        chain: "vouchers = true".into(),
        model: "price_per_prompt_token = \"10\"".into(),
        gateway: KEYS.into(),
        ..StackOptions::default()
    }
}

/// What `salt402 keys` says.
pub(crate) fn keys(stack: &Stack, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(SALT402);
    command.arg("keys").args(args).arg("--config").arg(stack.config()).env("SALT402_LOG", "off");
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

/// A key that its operator makes, and its account.
pub(crate) fn made(stack: &Stack, args: &[&str]) -> (String, String) {
    let (code, said) = keys(stack, &[&["create", "--json"][..], args].concat());
    assert_eq!(code, 0, "{said}");
    let told: Value = serde_json::from_str(&said).unwrap();
    (told["key"].as_str().unwrap().to_owned(), told["account"].as_str().unwrap().to_owned())
}

pub(crate) fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

pub(crate) async fn ask(stack: &Stack, path: &str, body: &Value, key: &str) -> Answer {
    stack.post(&format!("{}{path}", stack.gateway), body, &[("authorization", &bearer(key))]).await
}

pub(crate) async fn look(stack: &Stack, path: &str, key: &str) -> Answer {
    let sent = stack.client.get(format!("{}{path}", stack.gateway)).bearer_auth(key).send().await.unwrap();
    let (status, headers) = (sent.status(), sent.headers().clone());
    Answer { status, headers, body: sent.text().await.unwrap() }
}

/// A figure of an account's balance.
pub(crate) async fn figure(stack: &Stack, key: &str, name: &str) -> u64 {
    let told = look(stack, "/v1/balance", key).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.body);
    told.json()[name].as_str().unwrap().parse().unwrap()
}

/// Waits until a figure of an account's balance is so much.
async fn until(stack: &Stack, key: &str, name: &str, wanted: u64) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while figure(stack, key, name).await != wanted && Instant::now() < give_up {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(figure(stack, key, name).await, wanted, "{name}");
}

/// An answer that leads nobody to pay: no dialect's header is in it.
pub(crate) fn offers_nothing(answer: &Answer) {
    for name in ["payment-required", "www-authenticate", "x-payment-details", "x-payment-required"] {
        assert!(!answer.headers.contains_key(name), "{name}: {}", answer.body);
    }
    assert!(answer.json().get("accepts").is_none(), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_draws_what_its_requests_used_and_its_history_says_so() {
    let stack = Stack::start_with(SALT402, options()).await;
    let (key, account) = made(&stack, &["--amount", "100000", "--label", "cursor"]);
    let whole = ask(&stack, CHAT, &chat("one", false), &key).await;
    assert_eq!(whole.status, StatusCode::OK, "{}", whole.body);
    assert_eq!(whole.headers["x-payment-charge"], USED.to_string());
    assert!(!whole.headers.contains_key("x-payment-receipt"), "no payment was made");
    assert!(!stack.upstream.last().headers.contains_key("authorization"), "the key is nobody else's");
    let left = 100_000 - USED;
    assert_eq!(figure(&stack, &key, "balance").await, left);

    // The same again is another request; a stream is charged at its end; Anthropic's tools send the key in a header of their own.
    let again = ask(&stack, CHAT, &chat("one", false), &key).await;
    assert_eq!((again.status, stack.upstream.asked()), (StatusCode::OK, 2));
    let streamed = ask(&stack, CHAT, &chat("two", true), &key).await;
    assert!(streamed.body.contains("[DONE]"), "{}", streamed.body);
    until(&stack, &key, "reserved", 0).await;
    let spent = figure(&stack, &key, "spent").await;
    assert!(spent > 2 * USED, "{spent}");
    let url = format!("{}/v1/inference", stack.gateway);
    let other = stack.post(&url, &inference("three"), &[("x-api-key", &key)]).await;
    assert_eq!(other.status, StatusCode::OK, "{}", other.body);
    assert_eq!(other.json()["usage"]["cost"], USED.to_string());

    // A batch is charged for what was answered.
    let batch = json!({ "requests": [inference("four"), inference("five")] });
    let answered = ask(&stack, "/v1/inference/batch", &batch, &key).await;
    assert_eq!(answered.status, StatusCode::OK, "{}", answered.body);
    until(&stack, &key, "reserved", 0).await;

    let history = look(&stack, "/v1/balance/history?limit=10", &key).await.json();
    let entries = history["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 6, "{history}");
    assert_eq!(entries[5]["kind"], "created");
    assert_eq!(entries[4]["id"], whole.headers["x-request-id"].to_str().unwrap());
    assert_eq!(
        (&entries[4]["amount"], &entries[4]["models"][0]),
        (&json!(USED.to_string()), &json!("counted"))
    );
    let charged: u64 =
        entries[..5].iter().map(|entry| entry["amount"].as_str().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(charged, figure(&stack, &key, "spent").await);
    assert_eq!(charged + figure(&stack, &key, "balance").await, 100_000);
    let next = format!("/v1/balance/history?limit=2&before={}", entries[4]["entry"]);
    assert_eq!(look(&stack, &next, &key).await.json()["entries"].as_array().unwrap().len(), 1);

    let (code, said) = keys(&stack, &["show", &account]);
    assert_eq!(code, 0);
    assert!(said.contains("cursor") && said.contains("is good") && !said.contains(&key), "{said}");
    assert!(!stack.process.as_ref().unwrap().log().contains(&key), "the log shows a key");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_key_is_said_alike_and_offers_nothing() {
    let stack = Stack::start_with(SALT402, options()).await;
    let (key, account) = made(&stack, &["--amount", "100000"]);
    let body = chat("one", false);
    let wrong = format!("{}0", &key[..key.len() - 1]);
    let wrong = if wrong == key { format!("{}1", &key[..key.len() - 1]) } else { wrong };
    let mut told = Vec::new();
    for bad in [wrong.as_str(), "sk-402-0123456789012345678901234567890123", "sk-402-x"] {
        let refused = ask(&stack, CHAT, &body, bad).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::UNAUTHORIZED, "key_refused"));
        offers_nothing(&refused);
        assert_eq!(refused.json()["error"]["type"], "authentication_error");
        told.push(refused.body);
        assert_eq!(look(&stack, "/v1/balance", bad).await.status, StatusCode::UNAUTHORIZED);
    }
    // A key beside a payment: nothing is taken of either.
    let hash = format!("0x{}", "ab".repeat(32));
    let url = format!("{}{CHAT}", stack.gateway);
    let both = stack.post(&url, &body, &[("authorization", &bearer(&key)), ("x-payment-proof", &hash)]).await;
    assert_eq!(
        (both.status, both.code().as_str()),
        (StatusCode::BAD_REQUEST, "malformed_proof"),
        "{}",
        both.body
    );
    assert_eq!(both.headers["x-should-retry"], "false");
    offers_nothing(&both);
    // What is no key of ours is what SDKs send that must send any: it is asked to pay.
    assert_eq!(ask(&stack, CHAT, &body, "unused").await.status, StatusCode::PAYMENT_REQUIRED);

    // A failure charges nothing, and may be tried again.
    stack.upstream.fail(1);
    let failed = ask(&stack, CHAT, &body, &key).await;
    assert_eq!((failed.status, failed.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "upstream_failed"));
    assert!(failed.json()["detail"].as_str().unwrap().contains("nothing was charged"), "{}", failed.body);
    until(&stack, &key, "reserved", 0).await;
    stack
        .upstream
        .script(Scripted::json(400, r#"{"error":{"message":"no","type":"invalid_request_error"}}"#));
    let never = ask(&stack, CHAT, &body, &key).await;
    assert_eq!((never.status.as_u16(), never.code().as_str()), (424, "upstream_failed"), "{}", never.body);
    until(&stack, &key, "reserved", 0).await;
    assert_eq!(figure(&stack, &key, "balance").await, 100_000);
    let (_, unserved) = {
        let mut command = Command::new(SALT402);
        command.args(["unserved", "list", "--config"]).arg(stack.config()).env("SALT402_LOG", "off");
        let output = command.output().unwrap();
        (output.status, String::from_utf8(output.stdout).unwrap())
    };
    assert!(!unserved.contains("base units"), "nothing is owed: {unserved}");

    // Limits, an end, and the revocation.
    let (code, said) = keys(&stack, &["limit", &account, "--model", "another", "--note", "ops"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(ask(&stack, CHAT, &body, &key).await.code(), "key_not_allowed");
    keys(&stack, &["limit", &account, "--per-minute", "1", "--note", "ops"]);
    assert_eq!(ask(&stack, CHAT, &body, &key).await.status, StatusCode::OK);
    let limited = ask(&stack, CHAT, &body, &key).await;
    assert_eq!((limited.status.as_u16(), limited.code().as_str()), (429, "key_limited"), "{}", limited.body);
    offers_nothing(&limited);
    keys(&stack, &["limit", &account, "--per-day", "1500", "--note", "ops"]);
    assert_eq!(ask(&stack, CHAT, &body, &key).await.code(), "key_limited");
    keys(&stack, &["revoke", &account, "--note", "lost"]);
    let revoked = ask(&stack, CHAT, &body, &key).await;
    assert_eq!((revoked.status, &revoked.body), (StatusCode::UNAUTHORIZED, &told[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_use_no_more_than_a_balance_has_and_the_next_are_told_how_to_top_it_up() {
    let stack = Stack::start_with(SALT402, options()).await;
    // The bound of a request is what its prompt may have and what it may write; four of them fit at once.
    let body = inference("one");
    let bound: u64 = u64::try_from(stack.quote(&body).await.amount.0).unwrap();
    let (key, account) = made(&stack, &["--amount", &(4 * bound).to_string()]);
    stack.upstream.delay(Duration::from_millis(800));
    let answers = join_all((0..16).map(|_| ask(&stack, "/v1/inference", &body, &key))).await;
    let served = answers.iter().filter(|answer| answer.status.is_success()).count() as u64;
    assert!((4..16).contains(&served), "{served}");
    for refused in answers.iter().filter(|answer| !answer.status.is_success()) {
        assert_eq!(
            (refused.status.as_u16(), refused.code().as_str()),
            (402, "balance_too_low"),
            "{}",
            refused.body
        );
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("/v1/balance") && detail.contains(&account), "{detail}");
        offers_nothing(refused);
    }
    stack.upstream.delay(Duration::ZERO);
    until(&stack, &key, "reserved", 0).await;
    assert_eq!(figure(&stack, &key, "spent").await, served * USED);
    assert_eq!(u64::from(stack.upstream.asked()), served);
    // OpenAI's and Anthropic's clients show the message that is in `error`.
    while ask(&stack, "/v1/inference", &body, &key).await.status.is_success() {}
    let told = ask(&stack, CHAT, &chat("one", false), &key).await.json();
    assert_eq!(told["error"]["message"], told["detail"], "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_between_reserving_and_answering_charges_once_what_is_asked_again() {
    let mut stack = Stack::start_with(SALT402, options()).await;
    let (key, _) = made(&stack, &["--amount", "100000"]);
    stack.upstream.delay(Duration::from_secs(20));
    let (client, url, authorization) =
        (stack.client.clone(), format!("{}{CHAT}", stack.gateway), bearer(&key));
    let cut = tokio::spawn(async move {
        let sent = client.post(url).json(&chat("cut", false)).header("authorization", authorization);
        sent.header("idempotency-key", "a").send().await.is_ok()
    });
    let give_up = Instant::now() + Duration::from_secs(30);
    while stack.upstream.asked() == 0 && Instant::now() < give_up {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let reserved = figure(&stack, &key, "reserved").await;
    assert!(reserved > USED, "{reserved}");
    stack.kill();
    assert!(!cut.await.unwrap(), "it was cut off");
    stack.upstream.delay(Duration::ZERO);
    stack.up().await;
    assert_eq!(figure(&stack, &key, "reserved").await, reserved, "it is on disk");

    let named = |body: Value| {
        let (stack, authorization) = (&stack, bearer(&key));
        async move {
            let headers = [("authorization", authorization.as_str()), ("idempotency-key", "a")];
            stack.post(&format!("{}{CHAT}", stack.gateway), &body, &headers).await
        }
    };
    let first = named(chat("cut", false)).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    let (again, other) = tokio::join!(named(chat("cut", false)), named(chat("other", false)));
    assert_eq!(again.body, first.body, "it is the same request");
    assert_eq!((other.status.as_u16(), other.code().as_str()), (422, "invalid_request"), "{}", other.body);
    assert_eq!(stack.upstream.asked(), 2, "once before the kill, and once after");
    until(&stack, &key, "reserved", 0).await;
    assert_eq!(figure(&stack, &key, "spent").await, USED);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_copies_of_a_batch_at_once_have_what_is_charged_and_no_more() {
    let gateway = format!("batch_at_once = 1\n{KEYS}");
    let stack = Stack::start_with(SALT402, StackOptions { gateway, ..options() }).await;
    let (key, _) = made(&stack, &["--amount", "1000000"]);
    let batch = json!({ "requests": [inference("one"), inference("two")] });
    let named = || async {
        let authorization = bearer(&key);
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", "a")];
        stack.post(&format!("{}/v1/inference/batch", stack.gateway), &batch, &headers).await
    };
    let answered = |answer: &Answer| {
        let results = answer.json()["results"].as_array().unwrap().clone();
        results.iter().filter(|result| result.get("error").is_none()).count()
    };
    // The first of the two fails. The copy comes while the second one is run.
    stack.upstream.fail(1);
    stack.upstream.delay(Duration::from_millis(1000));
    let later = async {
        let give_up = Instant::now() + Duration::from_secs(30);
        while stack.upstream.asked() < 2 && Instant::now() < give_up {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        named().await
    };
    let (first, copy) = tokio::join!(named(), later);
    assert_eq!(answered(&first), 1, "{}", first.body);
    assert_eq!(answered(&copy), 1, "what failed is had for nothing: {}", copy.body);
    assert_eq!(stack.upstream.asked(), 2);
    until(&stack, &key, "reserved", 0).await;
    let spent = figure(&stack, &key, "spent").await;
    stack.upstream.delay(Duration::ZERO);
    assert_eq!(answered(&named().await), 1);
    assert_eq!((stack.upstream.asked(), figure(&stack, &key, "spent").await), (2, spent));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_paid_by_a_key_that_it_never_sees() {
    let service = TestService::start().await;
    let sections = format!(
        "[[gateway.services]]\nname = \"data\"\nupstream = \"{}\"\npass_credentials = true\npaths = [{{ path = \"/data/*\", price = \"700\" }}]\n",
        service.url()
    );
    let stack = Stack::start_with(SALT402, StackOptions { sections, ..options() }).await;
    let (key, _) = made(&stack, &["--amount", "1500"]);
    let url = format!("{}/data/rows", stack.gateway);
    for left in [800, 100] {
        let headers = [("authorization", bearer(&key)), ("x-api-key", key.clone())];
        let headers = [(headers[0].0, headers[0].1.as_str()), (headers[1].0, headers[1].1.as_str())];
        let mut answer = stack.post(&url, &json!({}), &headers).await;
        // Nothing is sold of it before it has answered the gateway's own question.
        let give_up = Instant::now() + Duration::from_secs(30);
        while answer.status == StatusCode::SERVICE_UNAVAILABLE && Instant::now() < give_up {
            tokio::time::sleep(Duration::from_millis(50)).await;
            answer = stack.post(&url, &json!({}), &headers).await;
        }
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        until(&stack, &key, "balance", left).await;
    }
    assert_eq!(
        stack.post(&url, &json!({}), &[("authorization", &bearer(&key))]).await.code(),
        "balance_too_low"
    );
    let received = service.received();
    let asked: Vec<_> = received.iter().filter(|asked| asked.line.contains("/data/rows")).collect();
    assert_eq!(asked.len(), 2);
    for asked in asked {
        assert_eq!((asked.header("authorization"), asked.header("x-api-key")), (None, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_table_no_key_is_taken_and_no_route_is_there() {
    let stack = Stack::start(SALT402).await;
    let (key, _) = made(&stack, &["--amount", "100000"]);
    let answer = ask(&stack, "/v1/inference", &inference("one"), &key).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::PAYMENT_REQUIRED, "payment_required"));
    let url = format!("{}/v1/balance", stack.gateway);
    let bought = stack.post(&url, &json!({ "amount": "5000" }), &[]).await;
    assert_eq!(bought.status, StatusCode::NOT_FOUND);
    assert_eq!(look(&stack, "/v1/balance", &key).await.status, StatusCode::NOT_FOUND);
}
