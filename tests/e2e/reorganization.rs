//! Blocks that vanish.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use salt402_protocol::{Address, Amount, B256};
use salt402_tests::{Stack, StackOptions, TestPayer, inference};
use serde_json::json;

use crate::SALT402;

fn impatient() -> StackOptions {
    StackOptions { gateway: "wait_ms = 0".into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_dropped_before_its_claim_grants_nothing() {
    let mut stack = Stack::start_with(SALT402, impatient()).await;
    let body = inference("dropped");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let url = format!("{}/v1/payments/{proof}?chain=eip155:40204", stack.verifier);
    stack.until(&url, |answer| answer.json()["payments"][0]["canonical"] == true).await;

    stack.anvil.reorg(1).await;
    let known = stack.until(&url, |answer| answer.json()["payments"][0]["canonical"] == false).await.json();
    assert_eq!(known["payments"][0]["confirmations"], 0, "{known}");
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::PAYMENT_REQUIRED, "payment_orphaned"));
    let status = stack.status().await;
    assert_eq!(
        (
            status["claims"].as_u64(),
            status["open_incidents"].as_u64(),
            status["chains"][0]["payments"].as_u64()
        ),
        (Some(0), Some(0), Some(0))
    );
    assert_eq!(stack.upstream.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_dropped_after_its_claim_is_an_incident_until_it_is_back_and_never_a_second_grant() {
    let mut stack = Stack::start_with(SALT402, impatient()).await;
    let body = inference("granted");
    let details = stack.quote(&body).await;
    let payer = stack.payer();
    let payment =
        payer.prepare(details.payment_contract, details.reference, details.recipient, details.amount).await;
    let proof = payer.send(&payment).await;
    stack.indexed(stack.anvil.height().await).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);

    stack.anvil.reorg(1).await;
    let status = format!("{}/v1/status", stack.verifier);
    stack.until(&status, |answer| answer.json()["open_incidents"] == 1).await;
    assert_eq!(stack.infer_with(&body, proof).await.code(), "payment_orphaned");
    let open = format!("{}/v1/incidents?open=true", stack.verifier);
    let incidents = stack.get(&open).await.json();
    assert_eq!(incidents["incidents"][0]["kind"], "payment_lost", "{incidents}");
    assert_eq!(incidents["incidents"][0]["transaction"], proof.to_string());

    // The same transaction, in another block.
    let first = stack.anvil.height().await;
    stack.anvil.reorg_with(1, &payment.raw).await;
    stack.anvil.mine(2).await;
    assert!(stack.anvil.block_of(proof).await.is_some_and(|block| block >= first));
    stack.until(&status, |answer| answer.json()["open_incidents"] == 0).await;
    assert_eq!(stack.get(&open).await.json()["incidents"].as_array().map(Vec::len), Some(0));
    let all = stack.get(&format!("{}/v1/incidents", stack.verifier)).await.json();
    assert!(all["incidents"][0]["resolved_at_ms"].is_u64(), "{all}");
    assert_eq!(stack.infer_with(&body, proof).await.body, answer.body);
    assert_eq!(stack.status().await["claims"], 1);
    assert_eq!(stack.upstream.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deeper_reorganization_leaves_the_rows_of_the_final_chain() {
    let mut stack = Stack::start(SALT402).await;
    let payer = stack.payer();
    let mut proofs = Vec::new();
    for index in 0..6 {
        let details = stack.quote(&inference(&format!("request {index}"))).await;
        proofs.push(payer.pay(&details).await);
    }
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.status().await["chains"][0]["payments"], 6);
    stack.anvil.reorg(4).await;
    stack.anvil.mine(1).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.status().await["chains"][0]["payments"], 2);
    for (index, proof) in proofs.iter().enumerate() {
        let url = format!("{}/v1/payments/{proof}?chain=eip155:40204", stack.verifier);
        let known = stack.get(&url).await.json();
        assert_eq!(known["payments"][0]["canonical"], index < 2, "{index}: {known}");
    }
}

/// Whether a payment counts, by the index.
async fn canonical(stack: &Stack, proof: salt402_protocol::B256) -> bool {
    let url = format!("{}/v1/payments/{proof}?chain=eip155:40204", stack.verifier);
    let known = stack.get(&url).await.json();
    let rows = known["payments"].as_array().unwrap();
    let on_chain = rows.iter().filter(|row| row["canonical"] == true).count();
    assert!(on_chain <= 1, "never twice: {known}");
    on_chain == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn f06_at_depths_of_1_2_and_10_a_payment_moves_another_is_dropped_and_claims_follow_them() {
    let mut options = impatient();
    // Every loss is of one payer, who would have to wait after the first.
    options.chain =
        "[chains.local.policy]\nafter_loss = \"ignore\"\n[chains.local.overrides]\nfinality_depth = 12\nreorg_window = 24".into();
    let mut stack = Stack::start_with(SALT402, options).await;
    let payer = stack.payer();
    let (mut lost, mut asked) = (0, 0);
    for depth in [1, 2, 10] {
        let bodies = ["moved", "dropped"].map(|what| inference(&format!("{what} at {depth}")));
        let (moved, dropped) = (stack.quote(&bodies[0]).await, stack.quote(&bodies[1]).await);
        // Both in one block, which is the deepest that leaves.
        stack.anvil.automine(false).await;
        let prepared =
            payer.prepare(moved.payment_contract, moved.reference, moved.recipient, moved.amount).await;
        let moved = payer.send(&prepared).await;
        let dropped = payer.pay(&dropped).await;
        stack.anvil.mine(1).await;
        stack.anvil.automine(true).await;
        stack.anvil.mine(depth - 1).await;
        stack.indexed(stack.anvil.height().await).await;
        let mut answers = Vec::new();
        for (body, proof) in bodies.iter().zip([moved, dropped]) {
            let answer = stack.infer_with(body, proof).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
            answers.push(answer.body);
        }
        asked += 2;

        stack.anvil.reorg_with(depth, &prepared.raw).await;
        stack.anvil.mine(1).await;
        lost += 1;
        let status = format!("{}/v1/status", stack.verifier);
        stack.until(&status, |answer| answer.json()["open_incidents"] == lost).await;
        assert!(canonical(&stack, moved).await && !canonical(&stack, dropped).await, "{depth} deep");
        assert_eq!(stack.infer_with(&bodies[0], moved).await.body, answers[0]);
        assert_eq!(stack.infer_with(&bodies[1], dropped).await.code(), "payment_orphaned");
        let incidents = stack.get(&format!("{}/v1/incidents?open=true", stack.verifier)).await.json();
        assert_eq!(incidents["incidents"][0]["transaction"], dropped.to_string());
        assert_eq!(
            (stack.upstream.asked(), stack.status().await["claims"].as_u64()),
            (asked, Some(asked as u64))
        );
    }
    let metrics = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
    assert!(metrics.contains("salt402_indexer_reorganization_depth_count"), "{metrics}");
}

/// Anvil cannot go back to the same blocks; `tests/sim` does that.
#[tokio::test(flavor = "multi_thread")]
async fn f06_a_payment_that_is_dropped_and_mined_anew_again_and_again_is_one_grant() {
    let mut stack = Stack::start_with(SALT402, impatient()).await;
    let body = inference("there and back");
    let details = stack.quote(&body).await;
    let payer = stack.payer();
    stack.anvil.mine(2).await;
    let prepared =
        payer.prepare(details.payment_contract, details.reference, details.recipient, details.amount).await;
    let proof = payer.send(&prepared).await;
    stack.indexed(stack.anvil.height().await).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let status = format!("{}/v1/status", stack.verifier);
    for round in 0..3 {
        stack.anvil.reorg(2).await;
        stack.until(&status, |answer| answer.json()["open_incidents"] == 1).await;
        assert!(!canonical(&stack, proof).await, "round {round}");
        assert_eq!(stack.infer_with(&body, proof).await.code(), "payment_orphaned");

        stack.anvil.reorg_with(2, &prepared.raw).await;
        stack.until(&status, |answer| answer.json()["open_incidents"] == 0).await;
        assert!(canonical(&stack, proof).await, "round {round}");
        assert_eq!(stack.infer_with(&body, proof).await.body, answer.body);
    }
    assert_eq!((stack.upstream.asked(), stack.status().await["claims"].as_u64()), (1, Some(1)));
}

/// A payment as it was made, to be looked for in the index.
struct Made {
    transaction: B256,
    payer: Address,
    amount: u64,
    /// Whether the past was still being read just after it was mined.
    during: bool,
}

/// What somebody who pays needs of a stack.
#[derive(Clone)]
struct Till {
    contract: Address,
    status: String,
    client: reqwest::Client,
    /// Numbers everybody's payments, so that no two are alike.
    next: Arc<AtomicU64>,
}

impl Till {
    async fn pay(&self, payer: &TestPayer) -> Made {
        let amount = self.next.fetch_add(1, Ordering::SeqCst);
        let reference = B256::left_padding_from(&amount.to_be_bytes());
        let prepared =
            payer.prepare(self.contract, reference, Address::repeat_byte(0xaa), units(amount)).await;
        let transaction = payer.send(&prepared).await;
        Made { transaction, payer: payer.address(), amount, during: self.phase().await == "back_filling" }
    }

    async fn phase(&self) -> String {
        let Ok(answer) = self.client.get(&self.status).send().await else { return "unknown".into() };
        let status: serde_json::Value = answer.json().await.unwrap();
        status["chains"][0]["phase"].as_str().unwrap_or("unknown").to_owned()
    }

    /// Pays until the past is read, and a few times after that.
    async fn pay_across_the_hand_over(self, payer: TestPayer) -> Vec<Made> {
        let give_up = Instant::now() + Duration::from_secs(120);
        let (mut made, mut after) = (Vec::new(), 0);
        while after < 10 {
            assert!(Instant::now() < give_up, "the past is not read in time");
            made.push(self.pay(&payer).await);
            after += u32::from(self.phase().await == "following");
        }
        made
    }
}

fn units(amount: u64) -> Amount {
    amount.to_string().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn f22_payments_made_while_the_past_is_back_filled_are_each_there_once() {
    /// Blocks of the past, most of them empty; one is asked for at a time.
    const PAST: u64 = 800;
    let chain = "[chains.local.overrides]\nlogs_range = 1\npoll_ms = 20".to_owned();
    let mut stack =
        Stack::start_with(SALT402, StackOptions { chain, idle: true, ..Default::default() }).await;
    let till = Till {
        contract: stack.deployment.salt_pay,
        status: format!("{}/v1/status", stack.verifier),
        client: stack.client.clone(),
        next: Arc::new(AtomicU64::new(1)),
    };
    let payers = [stack.payer(), TestPayer::submitter(&stack.anvil), TestPayer::payee(&stack.anvil)];
    let mut made = Vec::new();
    for _ in 0..10 {
        for payer in &payers {
            made.push(till.pay(payer).await);
        }
        stack.anvil.ask("anvil_mine", json!([format!("{:#x}", PAST / 10)])).await;
    }
    stack.process = Some(stack.role("up"));
    // The hand-over happens somewhere among these.
    let paying: Vec<_> =
        payers.map(|payer| tokio::spawn(till.clone().pay_across_the_hand_over(payer))).into();
    for everybody in paying {
        made.extend(everybody.await.unwrap());
    }
    stack.ready().await;
    stack.indexed(stack.anvil.height().await).await;

    let during = made.iter().filter(|made| made.during).count();
    eprintln!("{} payments, {during} of them before the past was read", made.len());
    assert!(during >= 20, "the past was read before anybody paid: {during} of {}", made.len());
    assert_eq!(stack.status().await["chains"][0]["payments"].as_u64(), Some(made.len() as u64));
    for Made { transaction, payer, amount, .. } in &made {
        let url = format!("{}/v1/payments/{transaction}?chain=eip155:40204", stack.verifier);
        let known = stack.get(&url).await.json();
        let rows = known["payments"].as_array().unwrap();
        assert_eq!(rows.len(), 1, "{known}");
        assert_eq!(rows[0]["canonical"], true, "{known}");
        assert_eq!(rows[0]["amount"], amount.to_string(), "{known}");
        assert_eq!(rows[0]["payer"].as_str().unwrap().parse(), Ok(*payer), "{known}");
        assert_eq!(rows[0]["block_number"].as_u64(), stack.anvil.block_of(*transaction).await, "{known}");
    }
}
