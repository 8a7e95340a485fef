//! `salt402 refund`, as a payee types it: what was paid comes back once, and buys nothing any more.

use std::process::Command;

use alloy_primitives::hex;
use alloy_sol_types::SolCall as _;
use reqwest::StatusCode;
use salt402_protocol::contracts::ISaltPay;
use salt402_protocol::{Address, Asset, B256, U256};
use salt402_tests::{Answer, Fault, NodeProxy, PAYEE, PAYEE_KEY, Stack, StackOptions, inference};
use serde_json::{Value, json};

use crate::SALT402;
use crate::vouchers::in_salt;

const PAYER_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const PRICE: u64 = 1016;
/// How many blocks make a payment final on the local network.
const FINAL: u64 = 8;

/// The exit code, and what it said.
pub(crate) async fn refund(
    stack: &Stack,
    arguments: &[&str],
    key: Option<&str>,
    rpc: Option<&str>,
) -> (i32, String) {
    let mut command = Command::new(SALT402);
    command.arg("refund").args(arguments).arg("--config").arg(stack.config());
    command.env_remove("SALT402_KEY").env_remove("SALT402_RPC_URL");
    if let Some(key) = key {
        command.env("SALT402_KEY", key);
    }
    if let Some(rpc) = rpc {
        command.env("SALT402_RPC_URL", rpc);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(!said.contains(&PAYEE_KEY[2..]) && !said.contains(&PAYER_KEY[2..]), "a key is never printed");
    (output.status.code().unwrap(), said)
}

/// How many transactions the payee ever sent.
async fn sent(stack: &Stack) -> u64 {
    let count = stack.anvil.ask("eth_getTransactionCount", json!([PAYEE, "latest"])).await;
    u64::from_str_radix(count.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

/// What the index says of a transaction's payments.
async fn told(stack: &mut Stack, transaction: B256) -> Value {
    stack.indexed(stack.anvil.height().await).await;
    let url = format!("{}/v1/payments/{transaction}?chain=eip155:40204", stack.verifier);
    stack.get(&url).await.json()
}

fn is_refunded(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::GONE, "payment_refunded".to_owned()),
        "{}",
        answer.body
    );
    assert!(!answer.headers.contains_key("x-payment-details"), "nobody is told to pay again");
}

async fn balance(stack: &Stack, account: Address) -> U256 {
    stack.anvil.balance(account, Asset::Native).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_comes_back_once_and_buys_nothing_any_more() {
    let mut stack = Stack::start(SALT402).await;
    let (served, unused) = (inference("served"), inference("not asked for"));
    let payer = stack.payer();
    let one = payer.pay(&stack.quote(&served).await).await;
    assert_eq!(stack.infer_with(&served, one).await.status, StatusCode::OK);
    let two = payer.pay(&stack.quote(&unused).await).await;
    let hash = one.to_string();

    // Refused: no key, another's key, what is not final, what is no payment.
    let (code, said) = refund(&stack, &[&hash], None, None).await;
    assert!(code == 1 && said.contains("SALT402_KEY"), "{said}");
    let (code, said) = refund(&stack, &[&hash], Some(PAYER_KEY), None).await;
    assert!(code == 1 && said.contains("use the payee's key"), "{said}");
    stack.indexed(stack.anvil.height().await).await;
    let (code, said) = refund(&stack, &[&hash], Some(PAYEE_KEY), None).await;
    assert!(code == 1 && said.contains("is not final"), "{said}");
    let absent = format!("0x{}", "77".repeat(32));
    let (code, said) = refund(&stack, &[&absent], Some(PAYEE_KEY), None).await;
    assert!(code == 1 && said.contains("the index has no payment"), "{said}");
    stack.anvil.mine(FINAL).await;
    stack.indexed(stack.anvil.height().await).await;
    let (code, said) = refund(&stack, &[&hash, "--dry-run"], Some(PAYEE_KEY), None).await;
    assert!(code == 0 && said.contains("would give back") && said.contains("nothing was sent"), "{said}");
    let (code, said) = refund(&stack, &[&hash, "--amount", "1017"], Some(PAYEE_KEY), None).await;
    assert!(code == 1 && said.contains("--force"), "{said}");
    assert_eq!(sent(&stack).await, 0);

    let before = balance(&stack, payer.address()).await;
    let (code, said) = refund(&stack, &[&hash], Some(PAYEE_KEY), None).await;
    assert!(code == 0 && said.contains("was given back, in block"), "{said}");
    assert_eq!(balance(&stack, payer.address()).await - before, U256::from(PRICE));
    // Before and after the index has seen it.
    for _ in 0..2 {
        let (code, said) = refund(&stack, &[&hash], Some(PAYEE_KEY), None).await;
        assert!(code == 1 && said.contains("all that was paid"), "{said}");
        let view = told(&mut stack, one).await;
        assert_eq!(view["payments"][0]["refunded"], PRICE.to_string(), "{view}");
        assert_eq!(view["refunds"][0]["amount"], PRICE.to_string(), "{view}");
        is_refunded(&stack.infer_with(&served, one).await);
    }
    assert_eq!(sent(&stack).await, 1);
    // Found by its reference, and given back in parts.
    let reference = told(&mut stack, two).await["payments"][0]["reference"].as_str().unwrap().to_owned();
    let (code, said) = refund(&stack, &[&reference, "--amount", "16"], Some(PAYEE_KEY), None).await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = refund(&stack, &[&reference, "--amount", "16"], Some(PAYEE_KEY), None).await;
    assert!(code == 1 && said.contains("--again"), "{said}");
    is_refunded(&stack.infer_with(&unused, two).await);
    let (code, said) = refund(&stack, &[&reference, "--again"], Some(PAYEE_KEY), None).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(balance(&stack, payer.address()).await - before, U256::from(2 * PRICE));
    assert_eq!(told(&mut stack, two).await["payments"][0]["refunded"], PRICE.to_string());
    assert_eq!(sent(&stack).await, 3);
    let url = format!("{}/metrics", stack.verifier);
    stack
        .until(&url, |answer| answer.body.contains("salt402_indexer_refunds_total{chain=\"eip155:40204\"} 3"))
        .await;
    // Whoever asks anew is told a price anew.
    stack.quote(&served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_no_node_took_is_not_made_twice_and_its_payment_is_not_granted_meanwhile() {
    let mut stack = Stack::start(SALT402).await;
    let node = NodeProxy::before(stack.anvil.http()).await;
    let body = inference("paid and not asked for");
    let payer = stack.payer();
    let hash = payer.pay(&stack.quote(&body).await).await;
    stack.anvil.mine(FINAL).await;
    stack.indexed(stack.anvil.height().await).await;
    let before = balance(&stack, payer.address()).await;
    let (text, url) = (hash.to_string(), node.http());
    node.refuses(|method| (method == "eth_sendRawTransaction").then_some(Fault::Status(502)));
    for round in 0..2 {
        let (code, said) = refund(&stack, &[&text, "--timeout", "1"], Some(PAYEE_KEY), Some(&url)).await;
        assert!(code == 3 && said.contains("sends nothing twice"), "{round}: {said}");
        assert_eq!(said.contains("going on with the refund"), round > 0, "{said}");
        is_refunded(&stack.infer_with(&body, hash).await);
    }
    // The service does not forget it either.
    stack.kill();
    stack.up().await;
    is_refunded(&stack.infer_with(&body, hash).await);
    // Its answer is lost: it was sent all the same.
    node.refuses(|_| None);
    node.loses(|method| (method == "eth_sendRawTransaction").then_some(Fault::Status(502)));
    let (code, said) = refund(&stack, &[&text], Some(PAYEE_KEY), Some(&url)).await;
    assert!(code == 0 && said.contains("going on with the refund"), "{said}");
    assert_eq!(balance(&stack, payer.address()).await - before, U256::from(PRICE));
    assert_eq!((sent(&stack).await, stack.upstream.asked()), (1, 0));
}

/// Two commands at once, as of a timer and a person.
#[tokio::test(flavor = "multi_thread")]
async fn two_commands_at_once_give_back_once() {
    let mut stack = Stack::start(SALT402).await;
    let hash = stack.payer().pay(&stack.quote(&inference("twice")).await).await.to_string();
    stack.anvil.mine(FINAL).await;
    stack.indexed(stack.anvil.height().await).await;
    let arguments = [hash.as_str()];
    let both = futures::future::join(
        refund(&stack, &arguments, Some(PAYEE_KEY), None),
        refund(&stack, &arguments, Some(PAYEE_KEY), None),
    );
    let (one, two) = both.await;
    assert!(one.0 == 0 || two.0 == 0, "{one:?} {two:?}");
    assert_eq!(sent(&stack).await, 1, "{one:?} {two:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_whose_block_leaves_the_chain_is_sent_again_and_not_made_again() {
    let mut stack = Stack::start(SALT402).await;
    let body = inference("reorganized");
    let payer = stack.payer();
    let hash = payer.pay(&stack.quote(&body).await).await;
    stack.anvil.mine(FINAL).await;
    stack.indexed(stack.anvil.height().await).await;
    let (before, text) = (balance(&stack, payer.address()).await, hash.to_string());
    assert_eq!(refund(&stack, &[&text], Some(PAYEE_KEY), None).await.0, 0);
    assert_eq!(told(&mut stack, hash).await["payments"][0]["refunded"], PRICE.to_string());
    stack.anvil.reorg(1).await;
    stack.anvil.mine(1).await;
    let view = told(&mut stack, hash).await;
    assert_eq!(balance(&stack, payer.address()).await, before, "the chain forgot it");
    assert_eq!(view["payments"][0]["refunded"], "0", "{view}");
    assert_eq!(view["refunds"][0]["canonical"], false, "{view}");
    is_refunded(&stack.infer_with(&body, hash).await);
    // Nobody has to ask: an incident says what to do, until it is done.
    let url = format!("{}/v1/incidents?kind=refund_lost", stack.verifier);
    let lost = stack.get(&url).await.json()["incidents"][0].clone();
    assert!(lost["resolved_at_ms"].is_null(), "{lost}");
    let said = lost["detail"].as_str().unwrap();
    let command = said.split('`').nth(1).unwrap();
    let reference = command.strip_prefix("salt402 refund ").unwrap();
    let (code, said) = refund(&stack, &[reference], Some(PAYEE_KEY), None).await;
    assert!(code == 0 && said.contains("going on with the refund"), "{said}");
    assert_eq!(balance(&stack, payer.address()).await - before, U256::from(PRICE));
    assert_eq!(told(&mut stack, hash).await["payments"][0]["refunded"], PRICE.to_string());
    assert_eq!(sent(&stack).await, 1);
    stack.until(&url, |answer| !answer.json()["incidents"][0]["resolved_at_ms"].is_null()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_in_a_token_comes_back_and_what_is_not_served_says_how() {
    let options = StackOptions { gateway: "max_runs = 2".into(), ..in_salt() };
    let mut stack = Stack::start_with(SALT402, options).await;
    let token = Asset::Token(stack.deployment.salt);
    stack.upstream.fail(1000);
    let receipts = tempfile::tempdir().unwrap();
    let mut pay = Command::new(SALT402);
    pay.args(["pay", &format!("{}/v1/inference", stack.gateway), "--network", "local", "--max", "2000"])
        .args(["--data", &inference("fails").to_string(), "--token", &stack.deployment.salt.to_string()])
        .args(["--json", "--timeout", "40"])
        .env("SALT402_RECEIPTS", receipts.path())
        .env("SALT402_RPC_URL", stack.anvil.http())
        .env("SALT402_KEY", PAYER_KEY);
    let output = tokio::task::spawn_blocking(move || pay.output().unwrap()).await.unwrap();
    let report: Value = serde_json::from_slice(&output.stderr).unwrap();
    let hash: B256 = report["transaction"].as_str().unwrap().parse().unwrap();
    let url = format!("{}/v1/incidents?kind=not_served", stack.verifier);
    let incidents = stack.until(&url, |answer| answer.body.contains(&hash.to_string())).await.json();
    let detail = incidents["incidents"][0]["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("salt402 refund {hash}")), "{detail}");

    stack.anvil.mine(FINAL).await;
    stack.indexed(stack.anvil.height().await).await;
    let payer = stack.payer().address();
    let before = stack.anvil.balance(payer, token).await;
    let (code, said) = refund(&stack, &[&hash.to_string(), "--dry-run"], Some(PAYEE_KEY), None).await;
    assert_eq!((code, sent(&stack).await), (0, 0), "{said}");
    let (code, said) = refund(&stack, &[&hash.to_string()], Some(PAYEE_KEY), None).await;
    assert!(code == 0 && said.contains("base units of"), "{said}");
    let paid = told(&mut stack, hash).await["payments"][0]["amount"].as_str().unwrap().to_owned();
    assert_eq!((stack.anvil.balance(payer, token).await - before).to_string(), paid);
    // The allowance and the refund.
    assert_eq!(sent(&stack).await, 2);
    assert!(said.contains("salt402 unserved settle"), "{said}");
    // Whoever asks with the payment again is told how to pay anew.
    let mut again = Command::new(SALT402);
    again
        .args(["pay", &format!("{}/v1/inference", stack.gateway), "--network", "local", "--max", "2000"])
        .args(["--data", &inference("fails").to_string(), "--token", &stack.deployment.salt.to_string()])
        .args(["--timeout", "40"])
        .env("SALT402_RECEIPTS", receipts.path())
        .env("SALT402_RPC_URL", stack.anvil.http())
        .env("SALT402_KEY", PAYER_KEY);
    let output = tokio::task::spawn_blocking(move || again.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("with --again") && !said.contains("--resume"), "{said}");
}

/// What gives a payment back, sent by another machine of the payee.
async fn refund_elsewhere(stack: &Stack, reference: B256, payer: Address, fee: u64) -> B256 {
    let call = ISaltPay::refundCall { paymentReference: reference, payer };
    let transaction = json!([{
        "from": PAYEE, "to": stack.deployment.salt_pay, "value": format!("{PRICE:#x}"), "gas": "0x30d40",
        "maxFeePerGas": format!("{fee:#x}"), "maxPriorityFeePerGas": "0x1",
        "data": format!("0x{}", hex::encode(call.abi_encode())),
    }]);
    stack.anvil.ask("eth_sendTransaction", transaction).await.as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_of_another_machine_is_waited_for_and_ends_its_payment_only_while_it_may_be_mined() {
    let mut stack = Stack::start(SALT402).await;
    let body = inference("given back elsewhere");
    let payer = stack.payer();
    let hash = payer.pay(&stack.quote(&body).await).await;
    stack.anvil.mine(FINAL).await;
    let view = told(&mut stack, hash).await;
    let reference: B256 = view["payments"][0]["reference"].as_str().unwrap().parse().unwrap();
    let text = hash.to_string();
    // It waits, and nothing here knows what it is.
    stack.anvil.automine(false).await;
    let elsewhere = refund_elsewhere(&stack, reference, payer.address(), 10_000_000_000).await;
    let (code, said) = refund(&stack, &[&text], Some(PAYEE_KEY), None).await;
    assert!(code == 1 && said.contains("nonce 0 is in no block yet"), "{said}");
    stack.anvil.mine(1).await;
    stack.anvil.automine(true).await;
    assert_eq!(told(&mut stack, hash).await["payments"][0]["refunded"], PRICE.to_string());
    let void = [text.as_str(), "--void", &elsewhere.to_string()];
    let (code, said) = refund(&stack, &void, Some(PAYEE_KEY), None).await;
    assert!(code == 1 && said.contains("is on the chain, in block"), "{said}");
    // Its block leaves the chain, and another transaction of the account takes its nonce.
    stack.anvil.reorg(1).await;
    let other = json!([{ "from": PAYEE, "to": PAYEE, "value": "0x0", "nonce": "0x0" }]);
    stack.anvil.ask("eth_sendTransaction", other).await;
    // anvil answers before the block is there, so the height alone does not say that the index has it.
    let url = format!("{}/v1/payments/{hash}?chain=eip155:40204", stack.verifier);
    stack.until(&url, |answer| answer.json()["payments"][0]["refunded"] == "0").await;
    let (code, said) = refund(&stack, &void, Some(PAYEE_KEY), None).await;
    assert!(code == 1 && said.contains("may soon be mined again"), "{said}");
    is_refunded(&stack.infer_with(&body, hash).await);
    stack.anvil.mine(FINAL).await;
    stack.indexed(stack.anvil.height().await).await;
    let (code, said) = refund(&stack, &[&text, "--void", &text], Some(PAYEE_KEY), None).await;
    assert!(code == 1 && said.contains("is no refund of this payment"), "{said}");
    let (code, said) = refund(&stack, &void, Some(PAYEE_KEY), None).await;
    assert!(code == 0 && said.contains("is void"), "{said}");
    assert_eq!(stack.infer_with(&body, hash).await.status, StatusCode::OK);
    let before = balance(&stack, payer.address()).await;
    let (code, said) = refund(&stack, &[&text], Some(PAYEE_KEY), None).await;
    assert!(code == 0 && said.contains("it is final at block"), "{said}");
    assert_eq!(balance(&stack, payer.address()).await - before, U256::from(PRICE));
}

/// The node that is to send is on another fork than the index, or behind it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_through_a_node_that_shows_another_chain_than_the_index() {
    let mut stack = Stack::start(SALT402).await;
    let node = NodeProxy::before(stack.anvil.http()).await;
    let hash = stack.payer().pay(&stack.quote(&inference("forked")).await).await.to_string();
    stack.anvil.mine(FINAL).await;
    stack.indexed(stack.anvil.height().await).await;
    let url = node.http();
    for (field, value, refusal) in [
        ("hash", json!(B256::repeat_byte(0x77)), "has another block"),
        ("number", json!("0x1"), "stands at block"),
    ] {
        node.answers(move |method, mut result| {
            if method == "eth_getBlockByNumber" {
                result[field] = value.clone();
            }
            result
        });
        let (code, said) = refund(&stack, &[&hash], Some(PAYEE_KEY), Some(&url)).await;
        assert!(code == 1 && said.contains(refusal), "{said}");
    }
    assert_eq!(sent(&stack).await, 0);
    node.answers(|_, result| result);
    let (code, said) = refund(&stack, &[&hash], Some(PAYEE_KEY), Some(&url)).await;
    assert_eq!(code, 0, "{said}");
}
