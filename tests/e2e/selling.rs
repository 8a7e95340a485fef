//! Nothing is sold that could not be given, and whoever paid is not led to pay again.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use salt402_protocol::Address;
use salt402_tests::{Answer, Anvil, NodeProxy, Salt402, Stack, StackOptions, inference};

use crate::SALT402;
use crate::vouchers::taking_vouchers;

/// A 503 of a code, without a word on how to pay.
fn unsold(answer: &Answer, code: &str) {
    let told = (answer.status, answer.code());
    assert_eq!(told, (StatusCode::SERVICE_UNAVAILABLE, code.to_owned()), "{}", answer.body);
    assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
    assert!(!answer.headers.contains_key("x-payment-details"), "{:?}", answer.headers);
    assert!(answer.json().get("quoteId").is_none(), "{}", answer.body);
}

/// [`unsold`], once the gateway has begun to ask its verifier.
async fn unsold_for(stack: &Stack, code: &str) {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = stack.infer(&inference("not sold"), &[]).await;
        if answer.code() == code || Instant::now() > give_up {
            return unsold(&answer, code);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const ROUTE: &str = r#"
[forward_auth]

[[forward_auth.routes]]
path = "/paid/*"
price = "5"
"#;

/// What stands before a paid request of a proxy.
async fn asked_by_a_proxy(stack: &Stack) -> Answer {
    let url = format!("{}/v1/forward-auth", stack.verifier);
    let headers = [("x-forwarded-method", "POST"), ("x-forwarded-uri", "/paid/one")];
    stack.post(&url, &serde_json::json!({}), &headers).await
}

/// A stack whose only node can be made to fail.
async fn behind_a_node(verifier: &str) -> (Stack, NodeProxy) {
    let options = StackOptions { idle: true, ..Default::default() };
    let mut stack = Stack::start_with(SALT402, options).await;
    let node = NodeProxy::before(stack.anvil.http()).await;
    stack.configure(&StackOptions {
        nodes: format!("rpc = \"{}\"", node.http()),
        chain: "stale_after_s = 1".into(),
        verifier: verifier.into(),
        gateway: "wait_ms = 0".into(),
        sections: ROUTE.into(),
        ..Default::default()
    });
    stack.up().await;
    (stack, node)
}

#[tokio::test(flavor = "multi_thread")]
async fn c18_while_the_node_is_away_nothing_is_sold_and_what_was_paid_in_time_is_served() {
    let (mut stack, node) = behind_a_node("quote_lifetime_s = 12\nclock_skew_s = 0").await;
    let (seen, unseen) = (inference("seen"), inference("paid while the node is away"));
    let payer = stack.payer();
    let proof = payer.pay(&stack.quote(&seen).await).await;
    stack.indexed(stack.anvil.height().await).await;
    let secret = stack.infer(&unseen, &[("x-payment-binding", "quote")]).await;
    let details = salt402_tests::payment_details(&secret);

    node.fails();
    for url in [format!("{}/readyz", stack.verifier), format!("{}/readyz", stack.gateway)] {
        stack.until(&url, |answer| answer.status == StatusCode::SERVICE_UNAVAILABLE).await;
    }
    unsold(&stack.infer(&seen, &[]).await, "not_ready");
    unsold(&asked_by_a_proxy(&stack).await, "not_ready");
    // A proof of something else is no reason to say how to pay either.
    // Its receipt, which may hold more than is known, cannot be read now.
    let held = stack.infer_with(&inference("another"), proof).await;
    assert_eq!(held.code(), "payment_not_seen", "{}", held.body);
    assert!(!held.headers.contains_key("x-payment-details"), "{:?}", held.headers);
    // What the index knows is granted on.
    let served = stack.infer_with(&seen, proof).await;
    assert_eq!(served.status, StatusCode::OK, "{}", served.body);

    let late = payer.pay(&details).await.to_string();
    let quote = details.quote_id.as_str();
    let with_quote = [("x-payment-proof", late.as_str()), ("x-payment-quote", quote)];
    while SystemTime::now() < UNIX_EPOCH + Duration::from_secs(details.expires_at + 1) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let waits = stack.infer(&unseen, &with_quote).await;
    assert_eq!((waits.status.as_u16(), waits.code().as_str()), (402, "payment_not_seen"), "{}", waits.body);
    assert!(!waits.headers.contains_key("x-payment-details") && waits.body.contains("do not pay again"));

    node.answers(|_, truth| truth);
    stack.ready().await;
    stack.indexed(stack.anvil.height().await).await;
    let served = stack.infer(&unseen, &with_quote).await;
    assert_eq!(served.status, StatusCode::OK, "{}", served.body);
    stack.quote(&inference("sold again")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c18_where_two_nodes_must_agree_and_one_is_down_nothing_is_sold() {
    let options = StackOptions { idle: true, ..Default::default() };
    let mut stack = Stack::start_with(SALT402, options).await;
    let node = NodeProxy::before(stack.anvil.http()).await;
    let second = format!("[[chains.local.nodes]]\nrpc = \"{}\"", node.http());
    stack.configure(&StackOptions {
        nodes: format!("[[chains.local.nodes]]\nrpc = \"ANVIL\"\n{second}"),
        chain: "agree = 2\nstale_after_s = 1".into(),
        ..Default::default()
    });
    stack.up().await;
    stack.quote(&inference("both there")).await;
    node.fails();
    let ready = format!("{}/readyz", stack.gateway);
    stack.until(&ready, |answer| answer.status == StatusCode::SERVICE_UNAVAILABLE).await;
    unsold(&stack.infer(&inference("one down"), &[]).await, "not_ready");
    node.answers(|_, truth| truth);
    stack.ready().await;
    stack.quote(&inference("both there again")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c18_a_model_whose_server_keeps_failing_is_not_sold_until_it_answers() {
    let mut stack = Stack::start(SALT402).await;
    let payer = stack.payer();
    for status in [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR] {
        let body = inference(&format!("paid before {status}"));
        let proof = payer.pay(&stack.quote(&body).await).await;
        stack.upstream.refuse(Some(status));
        let failed = stack.infer_with(&body, proof).await;
        let told = (failed.status.as_u16(), failed.code());
        assert_eq!(told, (424, "upstream_failed".to_owned()), "{}", failed.body);
        // The server is asked without anybody's money, and soon nobody else is led to pay.
        let metrics = format!("{}/metrics", stack.verifier);
        let is_unsold =
            |answer: &Answer| answer.body.contains("salt402_gateway_model_sold{model=\"counted\"} 0");
        stack.until(&metrics, is_unsold).await;
        unsold(&stack.infer(&inference("not sold"), &[]).await, "model_unavailable");
        unsold(&stack.infer_with(&inference("not sold"), proof).await, "model_unavailable");
        // Another model is.
        stack.quote(&serde_json::json!({ "model": "demo", "prompt": "sold" })).await;

        stack.upstream.refuse(None);
        stack.until(&metrics, |answer| !is_unsold(answer)).await;
        assert_eq!(stack.infer_with(&body, proof).await.status, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c18_a_model_whose_server_refuses_from_the_start_is_not_sold_before_it_answers() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    stack.upstream.refuse(Some(StatusCode::UNAUTHORIZED));
    stack.up().await;
    unsold(&stack.infer(&inference("not sold"), &[]).await, "model_unavailable");
    stack.upstream.refuse(None);
    let metrics = format!("{}/metrics", stack.verifier);
    stack.until(&metrics, |answer| answer.body.contains("model_sold{model=\"counted\"} 1")).await;
    stack.quote(&inference("sold")).await;
    assert_eq!(stack.upstream.asked(), 0);
}

/// A stack that is configured so and is not ready for what a reason says; nothing is sold.
async fn unfit(options: StackOptions, reason: &str, code: &str) -> Stack {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    stack.configure(&options);
    stack.process = Some(stack.role("up"));
    let url = format!("{}/readyz", stack.verifier);
    stack.until(&url, |answer| answer.body.contains(reason)).await;
    let metrics = format!("{}/metrics", stack.verifier);
    stack.until(&metrics, |answer| answer.body.contains("model_sold{model=\"counted\"} 1")).await;
    unsold_for(&stack, code).await;
    assert_eq!(stack.get(&format!("{}/readyz", stack.gateway)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let status = stack.status().await;
    assert!(status["chains"][0]["reason"].as_str().unwrap().contains(reason), "{status}");
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn c23_a_payment_contract_that_is_not_there_takes_no_money() {
    let chain = "contract = \"0x1111111111111111111111111111111111110001\"".to_owned();
    let stack = unfit(
        StackOptions { chain, ..Default::default() },
        "there is no payment contract at 0x1111",
        "contract_missing",
    )
    .await;
    let log = stack.process.unwrap().log();
    assert!(log.contains("nothing is sold") && log.contains("there is no payment contract"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c23_nothing_is_sold_before_the_first_block_in_which_a_payment_is_seen() {
    let chain = "start_block = 100".to_owned();
    let mut stack =
        unfit(StackOptions { chain, ..Default::default() }, "is followed from block 100 on", "not_ready")
            .await;
    stack.anvil.mine(100 - stack.anvil.height().await).await;
    stack.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c22_a_token_with_other_decimal_places_than_are_written_is_not_sold_in() {
    let payment = |decimals: u8, asset: &str| {
        let names = format!("asset_symbol = \"wSALT\"\nasset_decimals = {decimals}");
        StackOptions { payment: format!("asset = \"{asset}\"\n{names}"), ..Default::default() }
    };
    let mut stack = unfit(
        payment(6, "WRAPPED_SALT"),
        "has 18 decimal places, and [payment] asset_decimals is 6",
        "not_ready",
    )
    .await;
    stack.kill();
    stack.configure(&payment(18, "WRAPPED_SALT"));
    stack.up().await;
    assert_eq!(stack.quote(&inference("sold")).await.decimals, 18);
    drop(stack);
    unfit(
        payment(18, "0x3333333333333333333333333333333333333333"),
        "there is no token at 0x3333",
        "not_ready",
    )
    .await;
}

/// The chain begins anew, as a testnet that is reset or a local chain, without the contracts.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sold_on_a_new_chain_before_the_contracts_are_there() {
    let mut stack = Stack::start(SALT402).await;
    stack.quote(&inference("sold")).await;
    stack.kill();
    let port = stack.anvil.port;
    std::mem::replace(&mut stack.anvil, Anvil::start().await).stop();
    stack.anvil = Anvil::start_another_on(port).await;
    stack.anvil.mine(20).await;
    std::fs::remove_dir_all(stack.folder().join("data")).unwrap();
    stack.process = Some(stack.role("up"));
    let ready = format!("{}/readyz", stack.verifier);
    stack.until(&ready, |answer| answer.body.contains("there is no payment contract")).await;
    let metrics = format!("{}/metrics", stack.verifier);
    let missing =
        |answer: &Answer| answer.body.contains("salt402_contract_missing{chain=\"eip155:40204\"} 1");
    stack.until(&metrics, missing).await;
    stack.until(&metrics, |answer| answer.body.contains("model_sold{model=\"counted\"} 1")).await;
    unsold_for(&stack, "contract_missing").await;
    let reason = stack.status().await["chains"][0]["reason"].to_string();
    assert!(reason.contains("there is no payment contract"), "{reason}");
    let folder = stack.folder().join("deployments");
    stack.anvil.deploy(&folder).await;
    stack.ready().await;
    stack.quote(&inference("there")).await;
    stack.until(&metrics, |answer| !missing(answer)).await;
}

/// A stack whose chain may be reorganized as deep as its contracts were deployed.
fn forgetful(options: StackOptions) -> StackOptions {
    let overrides = "[chains.local.overrides]\nfinality_depth = 40\nreorg_window = 64";
    StackOptions { chain: format!("{}\n{overrides}", options.chain), ..options }
}

/// Takes the block away in which a contract was deployed, and all after it.
async fn forget(stack: &Stack, contract: Address) {
    let height = stack.anvil.height().await;
    for number in 0..=height {
        let at = serde_json::json!([contract, format!("{number:#x}")]);
        if stack.anvil.ask("eth_getCode", at).await != "0x" {
            stack.anvil.reorg(height - number + 1).await;
            stack.anvil.mine(1).await;
            return;
        }
    }
    panic!("{contract} is not there");
}

/// What was there is believed to be there until the block in which it was seen leaves the chain.
#[tokio::test(flavor = "multi_thread")]
async fn a_reorganization_that_takes_a_contract_away_ends_the_sale_until_it_is_back() {
    for channels in [false, true] {
        let options = if channels { taking_vouchers() } else { StackOptions::default() };
        let mut stack = Stack::start_with(SALT402, forgetful(options)).await;
        let contract = if channels { stack.deployment.salt_channels } else { stack.deployment.salt_pay };
        stack.indexed(stack.anvil.height().await).await;
        stack.quote(&inference("sold")).await;
        forget(&stack, contract).await;
        let ready = format!("{}/readyz", stack.verifier);
        stack.until(&ready, |answer| answer.body.contains("there is no")).await;
        unsold_for(&stack, "contract_missing").await;
        let folder = stack.folder().join("deployments");
        stack.anvil.deploy(&folder).await;
        stack.ready().await;
        stack.quote(&inference("back")).await;
    }
}

/// A verifier that runs alone asks the node now and then.
#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_that_runs_alone_notices_it_too() {
    let options = StackOptions { idle: true, ..forgetful(StackOptions::default()) };
    let mut stack = Stack::start_with(SALT402, options).await;
    let text = std::fs::read_to_string(stack.config()).unwrap();
    let indexer = stack.folder().join("indexer.toml");
    std::fs::write(&indexer, text.replace(stack.verifier.trim_start_matches("http://"), "127.0.0.1:0"))
        .unwrap();
    let _index = Salt402::start(stack.binary(), "index", &indexer);
    stack.process = Some(stack.role("verify"));
    let ready = format!("{}/readyz", stack.verifier);
    stack.until(&ready, |answer| answer.status == StatusCode::OK).await;
    forget(&stack, stack.deployment.salt_pay).await;
    stack.until(&ready, |answer| answer.body.contains("there is no payment contract")).await;
}
