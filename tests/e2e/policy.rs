//! The operator's policy: how deep, how much before it is final, how often, and what changes between quote and proof.

use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;
use salt402_protocol::QuoteId;
use salt402_tests::{Answer, Stack, StackOptions, inference, payment_details};
use serde_json::json;

use crate::SALT402;

/// Not now, and nothing that would lead the payer to pay again.
fn waits(answer: &Answer, code: &str) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::PAYMENT_REQUIRED, code),
        "{}",
        answer.body
    );
    assert!(!answer.headers.contains_key("x-payment-details"), "whoever has paid is not asked to pay again");
    assert!(answer.headers.contains_key("retry-after"));
}

fn limited(answer: &Answer, code: &str) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::TOO_MANY_REQUESTS, code),
        "{}",
        answer.body
    );
    assert!(!answer.headers.contains_key("x-payment-details"));
    assert!(answer.headers.contains_key("retry-after"));
}

async fn paid(stack: &mut Stack, prompt: &str) -> (serde_json::Value, salt402_protocol::B256) {
    let body = inference(prompt);
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    (body, proof)
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_what_a_payer_may_owe_it_waits_for_finality() {
    // One request costs 1016, so two fit and a third does not.
    let chain = "[chains.local.policy]\nexposure = [{ most = \"2100\" }]\n\
                 [chains.local.overrides]\nfinality_depth = 4";
    let options = StackOptions { chain: chain.into(), gateway: "wait_ms = 0".into(), ..Default::default() };
    let mut stack = Stack::start_with(SALT402, options).await;
    let one = paid(&mut stack, "one").await;
    let two = paid(&mut stack, "two").await;
    let three = paid(&mut stack, "three").await;
    for (body, proof) in [&one, &two] {
        let answer = stack.infer_with(body, *proof).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    waits(&stack.infer_with(&three.0, three.1).await, "exposure_exceeded");
    // Right after a kill it is known what was granted.
    stack.kill();
    stack.up().await;
    waits(&stack.infer_with(&three.0, three.1).await, "exposure_exceeded");
    assert_eq!(stack.infer_with(&one.0, one.1).await.status, StatusCode::OK, "what was granted is answered");
    stack.anvil.mine(4).await;
    stack.indexed(stack.anvil.height().await).await;
    let answer = stack.infer_with(&three.0, three.1).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(stack.upstream.asked(), 3);
}

fn incidents(stack: &Stack, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(SALT402)
        .arg("incidents")
        .args(arguments)
        .arg("--config")
        .arg(stack.config())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_whose_payment_was_lost_waits_for_finality_until_the_operator_settles_it() {
    let options = StackOptions { gateway: "wait_ms = 0".into(), ..Default::default() };
    let mut stack = Stack::start_with(SALT402, options).await;
    let (body, proof) = paid(&mut stack, "lost").await;
    assert_eq!(stack.infer_with(&body, proof).await.status, StatusCode::OK);
    assert!(incidents(&stack, &["list"]).1.contains("no open incidents"));
    stack.anvil.reorg(1).await;
    let status = format!("{}/v1/status", stack.verifier);
    stack.until(&status, |answer| answer.json()["open_incidents"] == 1).await;

    let (body, proof) = paid(&mut stack, "after the loss").await;
    waits(&stack.infer_with(&body, proof).await, "payer_has_loss");
    let (ok, said) = incidents(&stack, &["list"]);
    assert!(ok && said.starts_with("1 payment_lost on eip155:40204 by 0x70997970"), "{said}");
    assert!(!incidents(&stack, &["settle", "7", "--note", "there is none"]).0);
    assert!(!incidents(&stack, &["settle", "1", "--note", " "]).0, "it wants a reason");
    let (ok, said) = incidents(&stack, &["settle", "1", "--note", "paid by invoice"]);
    assert!(ok, "{said}");
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let (_, said) = incidents(&stack, &["list", "--all"]);
    assert!(said.contains("settled: paid by invoice"), "{said}");
    assert_eq!(stack.status().await["open_incidents"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_asks_too_often_is_held_back_and_what_it_was_granted_is_answered() {
    let sections = "[limits]\nper_address = { per_minute = 1, burst = 3 }\ntrusted_proxies = [\"127.0.0.1\"]";
    let options = StackOptions { sections: sections.into(), ..Default::default() };
    let stack = Stack::start_with(SALT402, options).await;
    let body = inference("often");
    let from = |address: &'static str| [("x-forwarded-for", address)];
    let details = payment_details(&stack.infer(&body, &from("203.0.113.7")).await);
    let proof = stack.payer().pay(&details).await.to_string();
    let show = [("x-forwarded-for", "203.0.113.7"), ("x-payment-proof", proof.as_str())];
    let answer = stack.infer(&body, &show).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let other = inference("another");
    let details = payment_details(&stack.infer(&other, &from("203.0.113.7")).await);
    let second = stack.payer().pay(&details).await.to_string();

    limited(&stack.infer(&body, &from("203.0.113.7")).await, "address_limited");
    limited(&stack.infer(&body, &from("198.51.100.1, 203.0.113.7")).await, "address_limited");
    assert_eq!(stack.infer(&body, &show).await.body, answer.body, "a retry is always answered");
    let show = [("x-forwarded-for", "203.0.113.7"), ("x-payment-proof", second.as_str())];
    limited(&stack.infer(&other, &show).await, "address_limited");
    assert_eq!(stack.upstream.asked(), 1);
    // The payment stays good, and is served where there is no limit left to heed.
    let show = [("x-forwarded-for", "203.0.113.8"), ("x-payment-proof", second.as_str())];
    assert_eq!(stack.infer(&other, &show).await.status, StatusCode::OK);
    let metrics = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
    assert!(metrics.contains("salt402_limited_total{limit=\"address_limited\"} 3"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_a_proxy_have_limits_of_their_own() {
    let sections = "[limits]\nper_address = { per_minute = 1, burst = 1 }\n\
                    [forward_auth]\n[[forward_auth.routes]]\npath = \"/free\"\nprice = \"0\"\n\
                    [[forward_auth.routes]]\npath = \"/paid/*\"\nprice = \"777\"";
    let stack =
        Stack::start_with(SALT402, StackOptions { sections: sections.into(), ..Default::default() }).await;
    let ask_at = async |at: &str, path: &str, client: &str| {
        let url = format!("{}/v1/{at}", stack.verifier);
        let named = [("x-forwarded-method", "GET"), ("x-forwarded-uri", path), ("x-forwarded-for", client)];
        let mut request = stack.client.get(url);
        for (name, value) in named.into_iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        (response.status(), response.headers().clone())
    };
    let ask = async |path: &str, client: &str| ask_at("forward-auth", path, client).await;
    assert_eq!(ask("/paid/x", "203.0.113.7").await.0, StatusCode::PAYMENT_REQUIRED);
    let (status, headers) = ask("/paid/x", "203.0.113.7").await;
    assert_eq!(
        (status, &headers["x-payment-code"]),
        (StatusCode::TOO_MANY_REQUESTS, &"address_limited".parse().unwrap())
    );
    // nginx hands on 401 and no 429.
    let (status, headers) = ask_at("auth-request", "/paid/x", "203.0.113.7").await;
    assert_eq!((status, headers.contains_key("retry-after")), (StatusCode::UNAUTHORIZED, true));
    assert_eq!(headers["x-payment-status"], "429");
    assert_eq!(
        ask("/free", "203.0.113.7").await.0,
        StatusCode::OK,
        "what costs nothing is not counted against"
    );
    assert_eq!(ask("/paid/x", "203.0.113.8").await.0, StatusCode::PAYMENT_REQUIRED, "another client");
    for _ in 0..3 {
        assert_eq!(ask("/paid/x", "").await.0, StatusCode::PAYMENT_REQUIRED, "a proxy that does not say");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_payments_of_an_account_passes_the_cool_down() {
    let options = StackOptions { sections: "[limits]\ncool_down_s = 2".into(), ..Default::default() };
    let mut stack = Stack::start_with(SALT402, options).await;
    let one = paid(&mut stack, "one").await;
    let two = paid(&mut stack, "two").await;
    assert_eq!(stack.infer_with(&one.0, one.1).await.status, StatusCode::OK);
    let refused = stack.infer_with(&two.0, two.1).await;
    limited(&refused, "cool_down");
    assert_eq!(stack.infer_with(&one.0, one.1).await.status, StatusCode::OK);
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    tokio::time::sleep(Duration::from_secs(wait)).await;
    let answer = stack.infer_with(&two.0, two.1).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_payment_for_several_requests_lets_each_pass_and_no_more_of_them() {
    let sections = r#"
[forward_auth]
again_within_s = 600

[[forward_auth.routes]]
path = "/paid/*"
methods = ["GET"]
price = "777"
uses = 3

[[forward_auth.routes]]
path = "/dear/*"
price = "9999"
uses = 3
"#;
    let mut stack =
        Stack::start_with(SALT402, StackOptions { sections: sections.into(), ..Default::default() }).await;
    let ask = async |stack: &Stack, path: &str, payment: &[(&str, &str)]| {
        let mut request = stack
            .client
            .get(format!("{}/v1/forward-auth", stack.verifier))
            .header("x-forwarded-method", "GET")
            .header("x-forwarded-uri", path);
        for (name, value) in payment {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.text().await.unwrap() }
    };
    let details = payment_details(&ask(&stack, "/paid/a", &[]).await);
    assert_eq!(details.resource.description, "3 requests of /paid/*");
    let proof = stack.payer().pay(&details).await.to_string();
    stack.indexed(stack.anvil.height().await).await;
    let quote: QuoteId = details.quote_id.clone();
    let payment = [("x-payment-proof", proof.as_str()), ("x-payment-quote", quote.as_str())];

    assert_eq!(ask(&stack, "/paid/a", &payment[..1]).await.code(), "quote_required", "a hash is no secret");
    assert_eq!(ask(&stack, "/dear/a", &payment).await.code(), "quote_not_honoured", "another price");
    let paths = ["/paid/a", "/paid/b", "/paid/b?page=2", "/paid/c", "/paid/d"];
    let (a, b, c, d, e) = tokio::join!(
        ask(&stack, paths[0], &payment),
        ask(&stack, paths[1], &payment),
        ask(&stack, paths[2], &payment),
        ask(&stack, paths[3], &payment),
        ask(&stack, paths[4], &payment)
    );
    let answers = [a, b, c, d, e];
    let passed: Vec<_> =
        paths.iter().zip(&answers).filter(|(_, answer)| answer.status == StatusCode::OK).collect();
    assert_eq!(passed.len(), 3, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::OK) {
        assert_eq!(answer.code(), "uses_exhausted");
        assert!(answer.headers.contains_key("x-payment-details"), "it says how to pay for more");
    }
    assert_eq!(ask(&stack, "/paid/a", &payment[..1]).await.code(), "quote_required", "nor is it again");
    // The same again after a kill: those that passed may again for a while, others never.
    stack.kill();
    stack.up().await;
    for (path, before) in paths.iter().zip(&answers) {
        let again = ask(&stack, path, &payment).await;
        assert_eq!(again.status, before.status, "{path}: {again:?}");
    }
    assert_eq!(stack.status().await["claims"], 1);

    // Payments under way are good after the operator changed how many requests one pays for, either way.
    let several = payment_details(&ask(&stack, "/paid/e", &[]).await);
    let several = (stack.payer().pay(&several).await.to_string(), several.quote_id);
    let change = async |stack: &mut Stack, from: &str, to: &str| {
        assert!(stack.process.take().unwrap().terminate().success());
        let text = std::fs::read_to_string(stack.config()).unwrap();
        std::fs::write(stack.config(), text.replace(from, to)).unwrap();
        stack.up().await;
        stack.indexed(stack.anvil.height().await).await;
    };
    change(&mut stack, "uses = 3", "uses = 1").await;
    let payment = [("x-payment-proof", several.0.as_str()), ("x-payment-quote", several.1.as_str())];
    let answer = ask(&stack, "/paid/e", &payment).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let single = payment_details(&ask(&stack, "/paid/f", &[]).await);
    let single = (stack.payer().pay(&single).await.to_string(), single.quote_id);
    change(&mut stack, "uses = 1", "uses = 3").await;
    let payment = [("x-payment-proof", single.0.as_str()), ("x-payment-quote", single.1.as_str())];
    assert_eq!(
        ask(&stack, "/paid/g", &payment).await.code(),
        "quote_not_honoured",
        "it was paid for another request"
    );
    let answer = ask(&stack, "/paid/f", &payment).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

/// Writes the configuration anew with another price for a request, and starts again.
async fn reprice(stack: &mut Stack, price: u64) {
    assert!(stack.process.take().unwrap().terminate().success());
    stack.configure(&StackOptions::default());
    let text = std::fs::read_to_string(stack.config()).unwrap();
    let changed = text.replace("price_per_request = \"1000\"", &format!("price_per_request = \"{price}\""));
    assert_ne!(text, changed);
    std::fs::write(stack.config(), changed).unwrap();
    stack.up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_changes_between_quote_and_bare_proof_costs_no_payer_its_money() {
    let mut stack = Stack::start(SALT402).await;
    let raised = paid(&mut stack, "raised").await;
    let lowered = paid(&mut stack, "lowered").await;
    reprice(&mut stack, 5000).await;
    assert_eq!(stack.quote(&inference("new")).await.amount.to_string(), "5016");
    let answer = stack.infer_with(&raised.0, raised.1).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    // The old price is the old request's alone.
    let refused = stack.infer_with(&inference("another"), raised.1).await;
    assert_eq!(refused.code(), "insufficient_payment");
    reprice(&mut stack, 10).await;
    let answer = stack.infer_with(&lowered.0, lowered.1).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(stack.infer_with(&raised.0, raised.1).await.status, StatusCode::OK);
    assert_eq!(stack.upstream.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_of_quotes_that_changes_between_quote_and_bare_proof_costs_no_payer_its_money() {
    let mut stack = Stack::start(SALT402).await;
    let bare = paid(&mut stack, "quoted for five minutes").await;
    assert!(stack.process.take().unwrap().terminate().success());
    stack.configure(&StackOptions { verifier: "quote_lifetime_s = 3600".into(), ..Default::default() });
    stack.up().await;
    let answer = stack.infer_with(&bare.0, bare.1).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_key_is_replaced_while_payments_are_under_way() {
    let mut stack = Stack::start(SALT402).await;
    let bare = paid(&mut stack, "bare").await;
    let body = inference("with its quote");
    let details = payment_details(&stack.infer(&body, &[("x-payment-binding", "quote")]).await);
    let proof = stack.payer().pay(&details).await.to_string();
    let before = stack.quote(&inference("next")).await;

    assert!(stack.process.take().unwrap().terminate().success());
    std::fs::write(stack.folder().join("new.key"), "fedcba9876543210".repeat(4)).unwrap();
    let keys = "quote_key_file = \"new.key\"\nold_quote_key_files = [\"data/quote.key\"]";
    stack.configure(&StackOptions { verifier: keys.into(), ..Default::default() });
    stack.up().await;
    let answer = stack.infer_with(&bare.0, bare.1).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let presented = [("x-payment-proof", proof.as_str()), ("x-payment-quote", details.quote_id.as_str())];
    let answer = stack.infer(&body, &presented).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_ne!(stack.quote(&inference("next")).await.quote_id, before.quote_id, "new quotes use the new key");

    // Once the old key is gone, so are its quotes.
    assert!(stack.process.take().unwrap().terminate().success());
    let keys = "quote_key_file = \"new.key\"";
    stack.configure(&StackOptions { verifier: keys.into(), ..Default::default() });
    stack.up().await;
    assert_eq!(stack.infer(&body, &presented).await.code(), "quote_forged");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_on_the_lists_is_not_quoted() {
    let chain =
        format!("[chains.local.policy]\nassets = [\"native\"]\npayees = [\"{}\"]", salt402_tests::PAYEE);
    let stack = Stack::start_with(SALT402, StackOptions { chain, ..Default::default() }).await;
    let quote = |payee: &str, asset: &str| {
        json!({ "chain": "eip155:40204", "payee": payee, "asset": asset, "amount": "5",
                "request_digest": format!("0x{}", "11".repeat(32)) })
    };
    let url = format!("{}/v1/quotes", stack.verifier);
    assert_eq!(stack.post(&url, &quote(salt402_tests::PAYEE, "native"), &[]).await.status, StatusCode::OK);
    let stranger = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
    for (asked, code) in [
        (quote(stranger, "native"), "payee_not_accepted"),
        (quote(salt402_tests::PAYEE, stranger), "asset_not_accepted"),
    ] {
        let answer = stack.post(&url, &asked, &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, code));
    }
}
