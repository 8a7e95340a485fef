//! The whole stack beside a node with Citrate's habits.

use reqwest::StatusCode;
use salt402_protocol::{Amount, Asset, B256};
use salt402_tests::{PAYEE, Stack, StackOptions, TestChannel, inference};
use serde_json::{Value, json};

use crate::SALT402;
use crate::vouchers::{PRICE, caught_up, opened, served, show};

fn beside_citrate(confirmations: u32) -> StackOptions {
    let chain = format!("confirmations = {confirmations}\n[chains.local.overrides]\npoll_ms = 100");
    StackOptions { citrate: true, chain, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_request_is_served_beside_citrates_node() {
    let mut stack = Stack::start_with(SALT402, beside_citrate(2)).await;
    let body = inference("on citrate");
    let details = stack.quote(&body).await;
    assert_eq!(details.network, "citrate");
    let proof = stack.payer().pay(&details).await;
    stack.anvil.mine(1).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);

    stack.anvil.reorg(2).await;
    let status = format!("{}/v1/status", stack.verifier);
    stack.until(&status, |answer| answer.json()["open_incidents"] == 1).await;
    assert_eq!(stack.upstream.asked(), 1);
}

/// Polling alone would find nothing within the test's time.
#[tokio::test(flavor = "multi_thread")]
async fn heads_in_citrates_form_are_ticks_and_no_logs_are_subscribed_to() {
    let chain = "confirmations = 1\n[chains.local.overrides]\npoll_ms = 600000".to_owned();
    let mut stack =
        Stack::start_with(SALT402, StackOptions { citrate: true, chain, ..Default::default() }).await;
    for prompt in ["first", "second", "third"] {
        let body = inference(prompt);
        let details = stack.quote(&body).await;
        let proof = stack.payer().pay(&details).await;
        stack.indexed(stack.anvil.height().await).await;
        let answer = stack.infer_with(&body, proof).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    let citrate = stack.citrate.as_ref().unwrap();
    assert!(citrate.notified() >= 3, "{} heads were notified", citrate.notified());
    assert_eq!(citrate.subscribed_to_logs(), 0, "they would never come");
}

/// Its account has what the payment costs, and not what the gas may cost.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_whose_gas_the_account_cannot_pay_is_refused_in_citrates_words() {
    let stack = Stack::start_with(SALT402, beside_citrate(1)).await;
    let node = stack.citrate.as_ref().unwrap().http();
    let prepared = {
        let details = stack.quote(&inference("poor")).await;
        let payer = stack.payer();
        let prepared = payer
            .prepare(details.payment_contract, details.reference, details.recipient, details.amount)
            .await;
        let balance = json!([payer.address(), "0x1000"]);
        stack.anvil.ask("anvil_setBalance", balance).await;
        prepared
    };
    let raw = format!("0x{}", alloy_primitives::hex::encode(&prepared.raw));
    let ask = json!({ "jsonrpc": "2.0", "id": 7, "method": "eth_sendRawTransaction", "params": [raw] });
    let refused = stack.client.post(&node).json(&ask).send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(7), &json!(-32602)), "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("insufficient funds"), "{refused}");
    stack.anvil.ask("anvil_setBalance", json!([stack.payer().address(), "0x8ac7230489e80000"])).await;
    let taken = stack.client.post(&node).json(&ask).send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(taken["result"], json!(prepared.hash), "{taken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pay_works_through_citrates_node() {
    let stack = Stack::start_with(SALT402, beside_citrate(1)).await;
    let node = stack.citrate.as_ref().unwrap().http();
    let url = format!("{}/v1/inference", stack.gateway);
    let body = inference("through citrate").to_string();
    let output = tokio::task::spawn_blocking(move || {
        std::process::Command::new(SALT402)
            .args([
                "pay",
                &url,
                "--network",
                "citrate",
                "--rpc",
                &node,
                "--max",
                "0.01 SALT",
                "--data",
                &body,
            ])
            .env("SALT402_KEY", "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
            .output()
            .unwrap()
    });
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("answer 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_past_is_back_filled_within_what_the_node_answers_for() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..beside_citrate(1) }).await;
    let payer = stack.payer();
    let mut transactions = Vec::new();
    for round in 0..3_u64 {
        // Several payments in one block, and then more blocks than one answer covers.
        stack.anvil.automine(false).await;
        for index in 0..3 {
            let reference = B256::left_padding_from(&(1 + round * 3 + index).to_be_bytes());
            let amount = "7".parse().unwrap();
            let contract = stack.deployment.salt_pay;
            let nonce_follows = payer.prepare(contract, reference, PAYEE.parse().unwrap(), amount).await;
            transactions.push(payer.send(&nonce_follows).await);
        }
        stack.anvil.mine(1).await;
        stack.anvil.ask("anvil_mine", serde_json::json!(["0x3e9"])).await;
        stack.anvil.automine(true).await;
    }
    stack.up().await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.status().await["chains"][0]["payments"], 9);
    assert!(stack.citrate.as_ref().unwrap().widest() <= 1000);
    let (units, allowed) = stack.citrate.as_ref().unwrap().units();
    assert!(units <= allowed, "{units} units were asked for where {allowed} are allowed");
    for transaction in transactions {
        let url = format!("{}/v1/payments/{transaction}?chain=eip155:40204", stack.verifier);
        let known = stack.get(&url).await.json();
        assert_eq!(known["payments"].as_array().map(Vec::len), Some(1), "{known}");
        assert_eq!(known["payments"][0]["block_number"].as_u64(), stack.anvil.block_of(transaction).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f01_a_payment_that_is_in_no_logs_is_found_by_its_receipt() {
    let mut stack = Stack::start_with(SALT402, beside_citrate(1)).await;
    let payer = stack.payer();
    let (omitted, merged) = (inference("omitted"), inference("merged"));
    let (first, second) = (stack.quote(&omitted).await, stack.quote(&merged).await);
    // Hidden before it is mined, so that the indexer passes its block without it.
    let payment = payer.prepare(first.payment_contract, first.reference, first.recipient, first.amount).await;
    stack.citrate.as_ref().unwrap().omit(payment.hash);
    let first = payer.send(&payment).await;
    let payment =
        payer.prepare(second.payment_contract, second.reference, second.recipient, second.amount).await;
    stack.citrate.as_ref().unwrap().omit(payment.hash);
    let second = payer.send(&payment).await;
    let beside = stack.citrate.as_ref().unwrap().merge(second).await;
    stack.anvil.mine(2).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.status().await["chains"][0]["payments"], 0);

    let answer = stack.infer_with(&omitted, first).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let known = stack.get(&format!("{}/v1/payments/{first}?chain=eip155:40204", stack.verifier)).await.json();
    assert_eq!(known["payments"][0]["block_number"].as_u64(), stack.anvil.block_of(first).await);

    let answer = stack.infer_with(&merged, second).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let known =
        stack.get(&format!("{}/v1/payments/{second}?chain=eip155:40204", stack.verifier)).await.json();
    assert_ne!(known["payments"][0]["block_hash"], beside.to_string(), "it stands in what merged its block");
    assert_eq!(known["payments"][0]["block_number"].as_u64(), stack.anvil.block_of(second).await, "{known}");
    assert_eq!(known["payments"][0]["confirmations"], 3, "{known}");
    assert_eq!(stack.upstream.asked(), 2);
    // The node's omission is an incident; that a block was merged is none.
    let incidents = stack.get(&format!("{}/v1/incidents?kind=omitted_log", stack.verifier)).await.json();
    assert_eq!(incidents["incidents"].as_array().unwrap().len(), 1, "{incidents}");
    assert_eq!(incidents["incidents"][0]["transaction"], first.to_string());
    let metrics = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
    for reason in ["omitted", "merged"] {
        assert!(metrics.contains(&format!("reason=\"{reason}\"}} 1")), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_reverted_or_paid_nobody_is_refused_at_once() {
    let mut stack = Stack::start_with(SALT402, beside_citrate(1)).await;
    let body = inference("nothing");
    let details = stack.quote(&body).await;
    let payer = stack.payer();
    // The contract refuses to be paid itself.
    let contract = details.payment_contract;
    let reverted =
        payer.send(&payer.prepare(contract, details.reference, contract, details.amount).await).await;
    let stranger = "0x90F79bf6EB2c4f870365E785982E1f101E93b906".parse().unwrap();
    let elsewhere =
        payer.send(&payer.prepare(stranger, details.reference, contract, details.amount).await).await;
    stack.anvil.mine(1).await;
    stack.indexed(stack.anvil.height().await).await;
    for (proof, code) in [(reverted, "transaction_reverted"), (elsewhere, "no_payment")] {
        let answer = stack.infer_with(&body, proof).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::PAYMENT_REQUIRED, code),
            "{}",
            answer.body
        );
        assert!(answer.headers.contains_key("x-payment-details"));
    }
    assert_eq!(stack.upstream.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn f16_a_bloom_that_says_there_is_nothing_is_not_believed() {
    let mut options = beside_citrate(1);
    // So that the first blocks are taken by ranges.
    options.chain.push_str("\nfinality_depth = 4\nreorg_window = 8");
    options.idle = true;
    let mut stack = Stack::start_with(SALT402, options).await;
    let payer = stack.payer();
    let pay = async |stack: &Stack, number: u64| {
        let reference = B256::left_padding_from(&number.to_be_bytes());
        let (contract, payee) = (stack.deployment.salt_pay, PAYEE.parse().unwrap());
        payer
            .send(&payer.prepare(contract, reference, payee, number.to_string().parse().unwrap()).await)
            .await
    };
    let mut paid = Vec::new();
    for number in 1..=5 {
        paid.push(pay(&stack, number).await);
    }
    stack.anvil.mine(12).await;
    stack.up().await;
    for number in 6..=8 {
        paid.push(pay(&stack, number).await);
    }
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.status().await["chains"][0]["payments"], paid.len());
    for proof in &paid {
        let url = format!("{}/v1/payments/{proof}?chain=eip155:40204", stack.verifier);
        assert_eq!(stack.get(&url).await.json()["payments"][0]["canonical"], true);
    }
    let metrics = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
    assert!(!metrics.contains("salt402_indexer_omitted_total{"), "they were in the logs: {metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_in_a_block_that_the_node_cannot_read_counts_once_its_receipt_is_found() {
    let mut stack = Stack::start_with(SALT402, beside_citrate(1)).await;
    let citrate = stack.citrate.as_ref().unwrap();
    let body = inference("unreadable");
    let details = stack.quote(&body).await;
    citrate.lose_block(stack.anvil.height().await + 1);
    let proof = stack.payer().pay(&details).await;
    stack.anvil.mine(2).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.status().await["chains"][0]["payments"], 0);

    // What the node does not find may be there all the same: nobody is led to pay again.
    stack.citrate.as_ref().unwrap().lose_receipts(1_000_000);
    let answer = stack.infer_with(&body, proof).await;
    assert_ne!(answer.status, StatusCode::OK, "{}", answer.body);
    assert!(!answer.headers.contains_key("x-payment-details"), "{:?}", answer.headers);
    stack.citrate.as_ref().unwrap().lose_receipts(0);
    for _ in 0..40 {
        let answer = stack.infer_with(&body, proof).await;
        if answer.status == StatusCode::OK {
            assert_eq!(stack.upstream.asked(), 1);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    panic!("the payment was never found");
}

/// Channels are opened, topped up and left in blocks whose logs no answer by height has.
#[tokio::test(flavor = "multi_thread")]
async fn f01_what_happens_to_a_channel_beside_the_selected_chain_is_learned_from_its_contract() {
    let mut options = beside_citrate(1);
    options.chain = format!("vouchers = true\n{}", options.chain);
    let mut stack = Stack::start_with(SALT402, options).await;
    let contract = stack.deployment.salt_channels;

    // The index has the opening, and an exit comes in a merged block before the first voucher.
    let left = opened(&mut stack, Asset::Native, 4 * PRICE, 1).await;
    beside(&stack).await;
    let exit = stack.payer().call(contract, left.exit_call(), Amount::ZERO).await;
    stack.citrate.as_ref().unwrap().merge(exit).await;
    stack.anvil.mine(1).await;
    caught_up(&mut stack).await;
    let url = format!("{}/v1/channels/{}?chain=eip155:40204", stack.verifier, left.id);
    assert_eq!(stack.get(&url).await.json()["exit_at"], Value::Null, "the index does not know of it");
    let exit_at = stack.anvil.standing(&left).await.exit_at;
    let answer = show(&stack, "left", &left.proof(PRICE)).await;
    assert_eq!(answer.code(), "channel_exiting", "{}", answer.body);
    assert!(exit_at > 0 && answer.body.contains(&exit_at.to_string()), "{}", answer.body);

    // An opening in a merged block: its hash has it looked up.
    beside(&stack).await;
    let channel = TestChannel::new(&stack.deployment, Asset::Native, 2);
    let opening = stack.payer().fund_channel(&channel, 4 * PRICE, false).await;
    stack.citrate.as_ref().unwrap().merge(opening).await;
    stack.anvil.mine(1).await;
    caught_up(&mut stack).await;
    let answer = show(&stack, "one", &channel.proof(PRICE)).await;
    assert_eq!(answer.code(), "channel_not_seen", "{}", answer.body);
    assert!(answer.body.contains("show its hash once"), "{}", answer.body);
    let answer = show(&stack, "looked up", &opening.to_string()).await;
    assert_eq!(answer.code(), "no_payment", "{}", answer.body);
    served(&stack, "one", &channel.proof(PRICE)).await;

    // So does that of a top-up.
    beside(&stack).await;
    let more = stack.payer().fund_channel(&channel, 4 * PRICE, true).await;
    stack.citrate.as_ref().unwrap().merge(more).await;
    stack.anvil.mine(1).await;
    caught_up(&mut stack).await;
    let answer = show(&stack, "two", &channel.proof(6 * PRICE)).await;
    assert_eq!(answer.code(), "channel_not_current", "{}", answer.body);
    assert!(answer.body.contains("show its hash once"), "{}", answer.body);
    show(&stack, "looked up again", &more.to_string()).await;
    served(&stack, "two", &channel.proof(6 * PRICE)).await;
    assert_eq!(stack.upstream.asked(), 2);
}

/// The next block's logs are in no answer by height.
async fn beside(stack: &Stack) {
    stack.citrate.as_ref().unwrap().lose_block(stack.anvil.height().await + 1);
}
