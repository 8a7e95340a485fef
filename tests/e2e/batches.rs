//! Many requests for one payment: each is answered in its place, once, and what is not served is owed to the base unit.

use std::process::Command;
use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;
use salt402_protocol::Asset;
use salt402_tests::x402::X402Payer;
use salt402_tests::{Answer, PAYEE_KEY, Scripted, Stack, StackOptions};
use serde_json::{Value, json};

use crate::SALT402;
use crate::refunding::refund;
use crate::signed;
use crate::vouchers::{opened, taking_vouchers};

const BATCH: &str = "/v1/inference/batch";
/// What one request of `counted` costs here, and one of `demo`.
const COUNTED: u64 = 1016;
const DEMO: u64 = 1_000_000_000_000_000;

type Shown = [(&'static str, String); 2];

fn asking(model: &str, prompts: &[&str]) -> Value {
    let requests: Vec<_> = prompts.iter().map(|prompt| json!({ "model": model, "prompt": prompt })).collect();
    json!({ "requests": requests })
}

async fn ask(stack: &Stack, body: &Value, shown: &Shown) -> Answer {
    let shown: Vec<_> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
    stack.post(&format!("{}{BATCH}", stack.gateway), body, &shown).await
}

/// The text in each place, or the code of its error.
fn told(answer: &Answer) -> Vec<String> {
    let results = answer.json()["results"].as_array().unwrap_or_else(|| panic!("{}", answer.body)).clone();
    let one =
        |result: &Value| result["output"].as_str().or(result["error"]["code"].as_str()).unwrap().to_owned();
    results.iter().map(one).collect()
}

/// The answer to a proof that is shown until nothing is left to be run.
async fn answered(stack: &Stack, body: &Value, shown: &Shown) -> Answer {
    loop {
        let answer = ask(stack, body, shown).await;
        if answer.status == StatusCode::OK {
            return answer;
        }
        assert_eq!(answer.code(), "upstream_failed", "{}", answer.body);
        let wait = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_secs(wait)).await;
    }
}

fn unserved(stack: &Stack, args: &[&str]) -> String {
    let mut command = Command::new(SALT402);
    command.arg("unserved").args(args).arg("--config").arg(stack.config()).env("SALT402_LOG", "off");
    let output = command.output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn one_at_a_time() -> StackOptions {
    StackOptions { gateway: "batch_at_once = 1\nmax_runs = 3".into(), ..StackOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_several_models_costs_five_percent_less_and_is_answered_in_its_order_once() {
    let stack = Stack::start(SALT402).await;
    let mut body = asking("counted", &["one", "two", "three"]);
    let demo = json!({ "model": "demo", "prompt": "salt?", "max_tokens": 3 });
    body["requests"].as_array_mut().unwrap().insert(1, demo);
    let unpaid = stack.post(&format!("{}{BATCH}", stack.gateway), &body, &[]).await;
    let details = salt402_tests::payment_details(&unpaid);
    let sum = 3 * COUNTED + DEMO;
    assert_eq!(details.amount.to_string(), (sum - sum / 20).to_string());

    let proof = stack.payer().pay(&details).await.to_string();
    let shown =
        [("x-payment-proof", proof.clone()), ("x-payment-quote", details.quote_id.as_str().to_owned())];
    let answers = join_all((0..6).map(|_| ask(&stack, &body, &shown))).await;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(answer.body, answers[0].body);
        assert!(answer.headers.contains_key("x-payment-receipt"));
    }
    let results = answers[0].json()["results"].clone();
    let models: Vec<_> = results.as_array().unwrap().iter().map(|result| result["model"].clone()).collect();
    assert_eq!(models, ["counted", "demo", "counted", "counted"]);
    assert_eq!(results[1]["usage"]["completion_tokens"], 3);
    let mut texts = told(&answers[0]);
    texts.remove(1);
    texts.sort();
    assert_eq!(texts, ["answer 1", "answer 2", "answer 3"], "each was run once, for six requests at once");
    assert_eq!(stack.upstream.asked(), 3);

    // The payment is for these bytes, and for a batch.
    let mut other = body.clone();
    other["requests"].as_array_mut().unwrap().swap(0, 1);
    let refused = ask(&stack, &other, &shown).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED, "{}", refused.body);
    let alone = stack.infer(&body["requests"][0], &[("x-payment-proof", &proof)]).await;
    assert_eq!(alone.status, StatusCode::PAYMENT_REQUIRED, "{}", alone.body);
    assert_eq!((stack.upstream.asked(), stack.status().await["claims"].as_u64()), (3, Some(1)));
    // Whoever has only read the hash on the chain gets it a few times, as of a single request.
    let mut given = 0;
    for _ in 0..10 {
        let bare =
            stack.post(&format!("{}{BATCH}", stack.gateway), &body, &[("x-payment-proof", &proof)]).await;
        given += u32::from(bare.status == StatusCode::OK);
    }
    assert!(given <= 4, "{given}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sold_refuses_the_whole_batch_before_a_price_is_told() {
    let options = StackOptions { gateway: "batch_most = 3".into(), ..StackOptions::default() };
    let stack = Stack::start_with(SALT402, options).await;
    let entry = |model: &str, member: &str, value: Value| {
        let mut body = asking("counted", &["one", "two"]);
        body["requests"][1]["model"] = json!(model);
        body["requests"][1][member] = value;
        body
    };
    for (body, status, words) in [
        (json!({ "requests": [] }), 422, "there is none"),
        (asking("counted", &["a", "b", "c", "d"]), 422, "at most 3"),
        (entry("nobody's", "prompt", json!("x")), 404, "requests[1].model"),
        (entry("counted", "max_tokens", json!(1_000_000)), 422, "requests[1].max_tokens"),
        (entry("counted", "prompt", json!("")), 422, "requests[1].prompt"),
        (entry("counted", "n_predict", json!(5)), 400, "n_predict"),
        (json!([["a"]]), 400, "object"),
    ] {
        let answer = stack.post(&format!("{}{BATCH}", stack.gateway), &body, &[]).await;
        assert!(answer.body.contains(words), "{words}: {} {}", answer.status, answer.body);
        assert_eq!(answer.status.as_u16(), status, "{words}: {}", answer.body);
        assert!(!answer.headers.contains_key("x-payment-details"));
    }
    // One model whose server fails is enough.
    stack.upstream.refuse(Some(StatusCode::INTERNAL_SERVER_ERROR));
    let body = entry("demo", "prompt", json!("fine"));
    for number in 0..3 {
        let single = salt402_tests::inference(&format!("breaks {number}"));
        let details = stack.quote(&single).await;
        stack.infer_with(&single, stack.payer().pay(&details).await).await;
    }
    let answer = stack.post(&format!("{}{BATCH}", stack.gateway), &body, &[]).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "model_unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_told_in_its_place_and_the_same_proof_runs_it_alone() {
    let stack = Stack::start_with(SALT402, one_at_a_time()).await;
    let body = asking("counted", &["first", "second", "third"]);
    let shown = stack.pay_for(BATCH, &body).await;
    stack.upstream.fail(1);
    let half = ask(&stack, &body, &shown).await;
    assert_eq!((half.status.as_u16(), half.code().as_str()), (424, "upstream_failed"), "{}", half.body);
    assert_eq!(half.headers["x-should-retry"], "false");
    assert_eq!(told(&half), ["upstream_failed", "answer 2", "answer 3"]);
    assert!(half.json()["results"][0]["owed"].is_null(), "it is run again: {}", half.body);
    let whole = answered(&stack, &body, &shown).await;
    assert_eq!(told(&whole), ["answer 4", "answer 2", "answer 3"]);
    assert_eq!(stack.upstream.asked(), 4);
    assert_eq!(answered(&stack, &body, &shown).await.body, whole.body);
    assert_eq!(unserved(&stack, &["list"]), "no payment is without its answer\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_owed_to_the_base_unit_and_the_operator_gives_that_much_back() {
    let mut stack = Stack::start_with(SALT402, one_at_a_time()).await;
    let body = asking("counted", &["first", "refused", "third", "refused too"]);
    let shown = stack.pay_for(BATCH, &body).await;
    let refusal = || Scripted::json(422, r#"{"detail":"never"}"#);
    let good =
        || Scripted::json(200, r#"{"choices":[{"message":{"content":"good"},"finish_reason":"stop"}]}"#);
    for next in [good(), refusal(), good(), refusal()] {
        stack.upstream.script(next);
    }
    let answer = answered(&stack, &body, &shown).await;
    assert_eq!(told(&answer), ["good", "not_served", "good", "not_served"]);
    // 4064 less 5 % is 3861: 965.25 each.
    let owed: Vec<u64> = answer.json()["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|result| result["owed"].as_str().map(|owed| owed.parse().unwrap()))
        .collect();
    assert_eq!(owed.iter().sum::<u64>(), 965 + 966);
    let detail = answer.json()["results"][1]["error"]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("do not pay again") && detail.contains("base units of payment"), "{detail}");

    let listed = unserved(&stack, &["list"]);
    let proof = &shown[0].1;
    assert!(listed.contains("for its requests 1, 3"), "{listed}");
    assert!(listed.contains(&format!("salt402 refund {proof} --amount 1931")), "{listed}");
    assert!(listed.contains("request 1 of a batch"), "{listed}");
    let incidents = stack.get(&format!("{}/v1/incidents?kind=not_served", stack.verifier)).await.json();
    let incidents = incidents["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 2, "{incidents:?}");
    assert!(incidents.iter().all(|incident| incident["transaction"] == **proof), "{incidents:?}");
    // It stays so through a restart, and nothing is run again.
    stack.kill();
    stack.up().await;
    assert_eq!(ask(&stack, &body, &shown).await.body, answer.body);
    assert_eq!(stack.upstream.asked(), 4);

    // One of both is mended, and served to the same proof.
    let part = listed.lines().find(|line| line.contains("request 3 of a batch")).unwrap();
    let part = part.split_whitespace().next().unwrap();
    assert!(unserved(&stack, &["retry", part]).contains("is tried again"));
    let mended = answered(&stack, &body, &shown).await;
    assert_eq!(told(&mended), ["good", "not_served", "good", "answer 5"]);
    let owed = mended.json()["results"][1]["owed"].as_str().unwrap().to_owned();

    // The other is given back.
    stack.anvil.mine(8).await;
    stack.indexed(stack.anvil.height().await).await;
    let payer = stack.payer().address();
    let before = stack.anvil.balance(payer, Asset::Native).await;
    let (code, said) = refund(&stack, &[proof, "--amount", &owed], Some(PAYEE_KEY), None).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!((stack.anvil.balance(payer, Asset::Native).await - before).to_string(), owed);
    let settle = said.split("salt402 unserved settle ").nth(1).unwrap_or_else(|| panic!("{said}"));
    let part = settle.split_whitespace().next().unwrap();
    assert!(unserved(&stack, &["settle", part, "--note", "refunded"]).contains("is settled"));
    assert_eq!(unserved(&stack, &["list"]), "no payment is without its answer\n");
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(ask(&stack, &body, &shown).await.code(), "payment_refunded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_which_nothing_is_served_says_so_as_a_single_request_does() {
    let stack = Stack::start(SALT402).await;
    let body = asking("counted", &["no", "never"]);
    let shown = stack.pay_for(BATCH, &body).await;
    for _ in 0..2 {
        stack.upstream.script(Scripted::json(400, "{}"));
    }
    let answer = ask(&stack, &body, &shown).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FAILED_DEPENDENCY, "not_served"));
    assert!(!answer.headers.contains_key("retry-after"));
    // 2032 less 5 % is 1931.
    let owed =
        |place: usize| answer.json()["results"][place]["owed"].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(owed(0) + owed(1), 1931);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_killed_in_the_middle_runs_only_what_is_missing() {
    let mut stack = Stack::start_with(SALT402, one_at_a_time()).await;
    let body = asking("counted", &["a", "b", "c", "d"]);
    let shown = stack.pay_for(BATCH, &body).await;
    let (client, url, headers, asked) =
        (stack.client.clone(), format!("{}{BATCH}", stack.gateway), shown.clone(), body.clone());
    stack.upstream.delay(Duration::from_millis(300));
    let broken = tokio::spawn(async move {
        let request =
            headers.iter().fold(client.post(url), |request, (name, value)| request.header(*name, value));
        request.json(&asked).send().await.is_err()
    });
    while stack.upstream.asked() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The first two are on disk, since one runs at a time. The third is lost.
    stack.kill();
    assert!(broken.await.unwrap(), "nobody was answered");
    stack.upstream.delay(Duration::ZERO);
    stack.up().await;
    assert_eq!(stack.status().await["claims"], 1);
    let answer = answered(&stack, &body, &shown).await;
    assert_eq!(told(&answer), ["answer 1", "answer 2", "answer 4", "answer 5"]);
    assert_eq!(stack.upstream.asked(), 5);
    assert_eq!(ask(&stack, &body, &shown).await.body, answer.body);
    assert_eq!(unserved(&stack, &["list"]), "no payment is without its answer\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_on_when_its_payer_leaves() {
    let stack = Stack::start_with(SALT402, one_at_a_time()).await;
    let body = asking("counted", &["a", "b", "c"]);
    let shown = stack.pay_for(BATCH, &body).await;
    stack.upstream.delay(Duration::from_millis(200));
    let mut request = stack.client.post(format!("{}{BATCH}", stack.gateway)).json(&body);
    for (name, value) in &shown {
        request = request.header(*name, value);
    }
    let left = tokio::spawn(request.send());
    while stack.upstream.asked() < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    left.abort();
    while stack.upstream.asked() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = answered(&stack, &body, &shown).await;
    assert_eq!(told(&answer), ["answer 1", "answer 2", "answer 3"]);
    assert_eq!(stack.upstream.asked(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_pays_for_a_batch_and_what_is_given_up_is_known_by_its_worth() {
    let mut stack = Stack::start_with(SALT402, taking_vouchers()).await;
    let channel = opened(&mut stack, Asset::Native, 10 * COUNTED, 1).await;
    let body = asking("counted", &["one", "two"]);
    let price = 2 * COUNTED - 2 * COUNTED / 20;
    let show = async |ceiling: u64| {
        let proof = channel.proof(ceiling);
        stack.post(&format!("{}{BATCH}", stack.gateway), &body, &[("x-payment-proof", &proof)]).await
    };
    let low = show(price - 1).await;
    assert_eq!(low.status, StatusCode::PAYMENT_REQUIRED, "{}", low.body);
    stack.upstream.script(Scripted::json(422, "{}"));
    let answer = show(price).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let failed = answer.json()["results"].as_array().unwrap().clone();
    let failed: Vec<_> = failed.iter().filter(|result| result["error"].is_object()).collect();
    assert_eq!(failed.len(), 1, "{}", answer.body);
    let owed: u64 = failed[0]["owed"].as_str().unwrap().parse().unwrap();
    assert!([price / 2, price - price / 2].contains(&owed), "{owed} of {price}");
    assert_eq!(show(price).await.body, answer.body);
    assert_eq!(stack.upstream.asked(), 2);
    assert!(unserved(&stack, &["list"]).contains(&format!("is owed {owed} base units")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_pays_for_a_batch() {
    let stand = signed::stand().await;
    let body = asking("counted", &["one", "two", "three"]);
    let url = format!("{}{BATCH}", stand.stack.gateway);
    let required = signed::required(&stand.stack.post(&url, &body, &[]).await);
    let price: u128 = required["accepts"][0]["amount"].as_str().unwrap().parse().unwrap();
    assert_eq!(price, u128::from(3 * COUNTED - 3 * COUNTED / 20));
    let signature = signed::sign(&X402Payer::new(), &stand.wrapped, &required, 1);
    let shown = [("payment-signature", signature.as_str())];
    let both = join_all((0..2).map(|_| stand.stack.post(&url, &body, &shown))).await;
    for answer in &both {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(answer.body, both[0].body);
        assert!(answer.headers.contains_key("payment-response"));
    }
    assert_eq!((stand.paid(&stand.wrapped).await, stand.stack.upstream.asked()), (price, 3));
}
