//! A quote is paid by what the payer signs and somebody else submits: an EIP-3009 authorization, or an x402 payment over
//! Permit2. The nonce is the quote's reference.

use reqwest::StatusCode;
use salt402_protocol::details::PaymentDetails;
use salt402_protocol::{Address, Amount, Asset, B256, U256};
use salt402_store::{ChannelsOf, Options, Store};
use salt402_tests::signing::{
    PAYER, approve_permit2_call, channel, exact_call, salt_call, wrapped_salt_call,
};
use salt402_tests::{PAYEE, Stack, StackOptions, TestPayer, inference};
use serde_json::json;

use crate::SALT402;

/// Paid in a token, with what is followed beside `SaltPay`.
fn paid_in(token: &str, sources: &[&str]) -> StackOptions {
    let source = |kind: &&str| format!("[[chains.local.sources]]\nkind = \"{kind}\"\n");
    StackOptions {
        payment: format!("asset = \"{token}\"\nasset_symbol = \"SALT\"\nasset_decimals = 18"),
        chain: sources.iter().map(source).collect(),
        ..StackOptions::default()
    }
}

/// A request is served once for a payment, whoever shows it however often.
async fn served_once(stack: &Stack, prompt: &str, proof: B256, contract: Address, details: &PaymentDetails) {
    let body = inference(prompt);
    let asked = stack.upstream.asked();
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    for _ in 0..3 {
        assert_eq!(stack.infer_with(&body, proof).await.body, answer.body);
    }
    assert_eq!(stack.upstream.asked(), asked + 1);
    let other = stack.infer_with(&inference("something else"), proof).await;
    assert_eq!((other.status, other.code().as_str()), (StatusCode::PAYMENT_REQUIRED, "reference_mismatch"));

    let url = format!("{}/v1/payments/{proof}?chain=eip155:40204", stack.verifier);
    let known = stack.get(&url).await.json();
    let payments = known["payments"].as_array().unwrap();
    assert_eq!(payments.len(), 1, "{known}");
    assert_eq!(payments[0]["contract"], json!(contract.to_string()), "{known}");
    assert_eq!(payments[0]["reference"], json!(details.reference.to_string()));
    assert_eq!(payments[0]["payer"], json!(PAYER));
    assert_eq!(payments[0]["claimed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_is_paid_by_an_authorization_and_by_permit2_each_served_once() {
    let mut stack =
        Stack::start_with(SALT402, paid_in("WRAPPED_SALT", &["eip3009-token", "x402-exact-proxy"])).await;
    let (token, proxy) = (stack.deployment.wrapped_salt, stack.deployment.exact_proxy);
    stack.payer().wrap(token, Amount(U256::from(1_000_000))).await;
    stack.payer().call(token, approve_permit2_call(), Amount::ZERO).await;
    let submitter = TestPayer::submitter(&stack.anvil);

    let details = stack.quote(&inference("authorized")).await;
    assert_eq!(details.asset, Asset::Token(token));
    let proof = submitter.call(token, wrapped_salt_call(&details, token), Amount::ZERO).await;
    served_once(&stack, "authorized", proof, token, &details).await;

    let details = stack.quote(&inference("over permit2")).await;
    let proof = submitter.call(proxy, exact_call(&details, token, proxy), Amount::ZERO).await;
    served_once(&stack, "over permit2", proof, proxy, &details).await;

    // The same signature again is refused by the chain, and pays nothing.
    let again = submitter.call(proxy, exact_call(&details, token, proxy), Amount::ZERO).await;
    let height = stack.anvil.height().await;
    stack.indexed(height).await;
    let refused = stack.infer_with(&inference("over permit2"), again).await;
    assert_eq!(refused.code(), "transaction_reverted", "{}", refused.body);
    assert_eq!(stack.status().await["chains"][0]["payments"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_is_paid_in_salt_by_an_authorization_with_its_signature_as_bytes() {
    let mut options = paid_in("SALT_TOKEN", &["eip3009-token"]);
    // Through a node that numbers logs as it pleases and tells half of what others tell.
    options.citrate = true;
    options.chain = format!("confirmations = 1\n{}", options.chain);
    let stack = Stack::start_with(SALT402, options).await;
    let token = stack.deployment.salt;
    let details = stack.quote(&inference("in salt")).await;
    let submitter = TestPayer::submitter(&stack.anvil);
    let proof = submitter.call(token, salt_call(&details, token), Amount::ZERO).await;
    served_once(&stack, "in salt", proof, token, &details).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_that_is_in_no_logs_is_found_by_its_receipt() {
    let mut options = paid_in("SALT_TOKEN", &["eip3009-token"]);
    options.citrate = true;
    options.chain = format!("confirmations = 1\n{}", options.chain);
    let mut stack = Stack::start_with(SALT402, options).await;
    let token = stack.deployment.salt;
    let submitter = TestPayer::submitter(&stack.anvil);
    let (omitted, merged) = (inference("omitted"), inference("merged"));
    let mut hidden = Vec::new();
    for body in [&omitted, &merged] {
        let details = stack.quote(body).await;
        let prepared = submitter.prepare_call(token, salt_call(&details, token), Amount::ZERO).await;
        // Hidden before it is mined, so that the indexer passes its block without it.
        stack.citrate.as_ref().unwrap().omit(prepared.hash);
        hidden.push(submitter.send(&prepared).await);
    }
    stack.citrate.as_ref().unwrap().merge(hidden[1]).await;
    stack.anvil.mine(2).await;
    let height = stack.anvil.height().await;
    stack.indexed(height).await;
    assert_eq!(stack.status().await["chains"][0]["payments"], 0);
    for (body, proof) in [(&omitted, hidden[0]), (&merged, hidden[1])] {
        let answer = stack.infer_with(body, proof).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(stack.infer_with(body, proof).await.body, answer.body);
    }
    assert_eq!(stack.upstream.asked(), 2);
    assert_eq!(stack.status().await["chains"][0]["payments"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_configured_pays_nothing() {
    let mut stack = Stack::start_with(SALT402, paid_in("WRAPPED_SALT", &[])).await;
    let token = stack.deployment.wrapped_salt;
    stack.payer().wrap(token, Amount(U256::from(1_000_000))).await;
    let body = inference("not followed");
    let details = stack.quote(&body).await;
    let submitter = TestPayer::submitter(&stack.anvil);
    let proof = submitter.call(token, wrapped_salt_call(&details, token), Amount::ZERO).await;
    let height = stack.anvil.height().await;
    stack.indexed(height).await;
    let refused = stack.infer_with(&body, proof).await;
    // It moved what was asked for to the payee all the same: a person must look, and nobody pays again.
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "ambiguous_payment"));
    assert!(!refused.headers.contains_key("x-payment-details"), "{:?}", refused.headers);
    assert_eq!(stack.upstream.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_that_is_mined_again_in_another_transaction_is_the_same_payment() {
    let mut stack = Stack::start_with(SALT402, paid_in("WRAPPED_SALT", &["eip3009-token"])).await;
    let token = stack.deployment.wrapped_salt;
    stack.payer().wrap(token, Amount(U256::from(1_000_000))).await;
    let body = inference("moved");
    let details = stack.quote(&body).await;
    let call = wrapped_salt_call(&details, token);
    let first = TestPayer::submitter(&stack.anvil).call(token, call.clone(), Amount::ZERO).await;
    let answer = stack.infer_with(&body, first).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);

    // Its block is gone, and the transaction with it. Somebody else submits the same authorization.
    stack.anvil.reorg(1).await;
    stack.anvil.mine(1).await;
    let height = stack.anvil.height().await;
    stack.indexed(height).await;
    assert_eq!(stack.status().await["open_incidents"], 1);
    let second = stack.payer().call(token, call, Amount::ZERO).await;
    assert_ne!(first, second);
    let again = stack.infer_with(&body, second).await;
    assert_eq!((again.status, again.body), (StatusCode::OK, answer.body));
    assert_eq!(stack.upstream.asked(), 1);
    assert_eq!(stack.status().await["open_incidents"], 0);
}

/// The past of a token that is followed later is read, and its payments are those that would have been found then.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_followed_later_brings_its_past() {
    let mut stack = Stack::start_with(SALT402, paid_in("WRAPPED_SALT", &[])).await;
    let token = stack.deployment.wrapped_salt;
    stack.payer().wrap(token, Amount(U256::from(1_000_000))).await;
    let body = inference("later");
    let details = stack.quote(&body).await;
    let submitter = TestPayer::submitter(&stack.anvil);
    let proof = submitter.call(token, wrapped_salt_call(&details, token), Amount::ZERO).await;
    stack.anvil.mine(70).await;
    let height = stack.anvil.height().await;
    stack.indexed(height).await;
    assert_eq!(stack.status().await["chains"][0]["payments"], 0);

    assert!(stack.process.take().unwrap().terminate().success());
    stack.configure(&paid_in("WRAPPED_SALT", &["eip3009-token", "x402-exact-proxy"]));
    stack.up().await;
    let url = format!("{}/v1/payments/{proof}?chain=eip155:40204", stack.verifier);
    let known = stack.until(&url, |answer| answer.json()["payments"][0]["canonical"] == true).await.json();
    assert_eq!(known["payments"].as_array().map(Vec::len), Some(1), "{known}");
    served_once(&stack, "later", proof, token, &details).await;
}

/// What is not settled yet is not read yet. Until then a payer is told so, and the receipt finds what its hash names.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_past_of_a_token_is_unread_its_payments_are_waited_for_and_found_by_their_receipts() {
    let mut stack = Stack::start_with(SALT402, paid_in("WRAPPED_SALT", &[])).await;
    let token = stack.deployment.wrapped_salt;
    stack.payer().wrap(token, Amount(U256::from(1_000_000))).await;
    let bodies = [inference("by its hash"), inference("by its nonce")];
    let submitter = TestPayer::submitter(&stack.anvil);
    let mut paid = Vec::new();
    for body in &bodies {
        let details = stack.quote(body).await;
        let hash = submitter.call(token, wrapped_salt_call(&details, token), Amount::ZERO).await;
        paid.push((hash, format!("eip3009:{token}:{PAYER}:{}", details.reference)));
    }
    let height = stack.anvil.height().await;
    stack.indexed(height).await;

    assert!(stack.process.take().unwrap().terminate().success());
    let mut options = paid_in("WRAPPED_SALT", &["eip3009-token"]);
    options.gateway = "wait_ms = 0".into();
    stack.configure(&options);
    stack.up().await;
    let status = format!("{}/v1/status", stack.verifier);
    let unread = |answer: &salt402_tests::Answer| answer.json()["chains"][0]["unread"].clone();
    let known = stack.until(&status, |answer| unread(answer).is_array()).await;
    let unread_now = unread(&known);
    assert_eq!(unread_now[0]["contract"], token.to_string(), "{known:?}");
    assert!(unread_now[0]["to_block"].as_u64().unwrap() >= height, "{known:?}");
    let by_nonce = |stack: &Stack| {
        let (client, url) = (stack.client.clone(), format!("{}/v1/inference", stack.gateway));
        let request = client.post(url).json(&bodies[1]).header("x-payment-proof", &paid[1].1);
        async move { request.send().await.unwrap() }
    };
    let pending = by_nonce(&stack).await;
    assert_eq!(pending.status(), StatusCode::PAYMENT_REQUIRED);
    assert!(!pending.headers().contains_key("x-payment-details"));
    let pending = pending.text().await.unwrap();
    assert!(pending.contains("payment_not_seen") && pending.contains("still being read"), "{pending}");
    let answer = stack.infer_with(&bodies[0], paid[0].0).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);

    stack.anvil.mine(70).await;
    stack.until(&status, |answer| unread(answer).is_null()).await;
    let answer = by_nonce(&stack).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!((stack.upstream.asked(), stack.status().await["claims"].as_u64()), (2, Some(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_of_the_deployment_are_followed_without_being_named() {
    let mut stack = Stack::start(SALT402).await;
    let (contract, payee) = (stack.deployment.salt_channels, PAYEE.parse().unwrap());
    let payer = stack.payer();
    payer.deposit(contract, channel(payee, 1), Amount(U256::from(500)), false).await;
    payer.deposit(contract, channel(payee, 1), Amount(U256::from(250)), true).await;
    let height = stack.anvil.height().await;
    stack.indexed(height).await;

    let store = Store::open(Options::new(stack.folder().join("data/salt402.db"))).await.unwrap();
    let chain = salt402_protocol::ChainId::CITRATE;
    let channels = store.channels_of(chain, ChannelsOf::Payee(payee), 10).await.unwrap();
    assert_eq!(channels.len(), 1);
    assert_eq!(channels[0].state.deposit, Amount(U256::from(750)));
    assert_eq!(channels[0].state.descriptor.unwrap().payer, PAYER.parse::<Address>().unwrap());

    // The top-up's block is replaced.
    stack.anvil.reorg(1).await;
    stack.anvil.mine(1).await;
    let height = stack.anvil.height().await;
    stack.indexed(height).await;
    let state = store.channel(chain, contract, channels[0].id).await.unwrap().unwrap();
    assert_eq!(state.deposit, Amount(U256::from(500)));
    store.close().await;
}
