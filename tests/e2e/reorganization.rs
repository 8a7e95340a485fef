//! Blocks that vanish.

use reqwest::StatusCode;
use salt402_tests::{Stack, StackOptions, inference};

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

#[tokio::test(flavor = "multi_thread")]
async fn f22_payments_made_while_the_past_is_back_filled_are_each_there_once() {
    let chain = "[chains.local.overrides]\nlogs_range = 3\npoll_ms = 20".to_owned();
    let mut stack =
        Stack::start_with(SALT402, StackOptions { chain, idle: true, ..Default::default() }).await;
    let payer = stack.payer();
    let (contract, payee) = (stack.deployment.salt_pay, salt402_tests::PAYEE.parse().unwrap());
    let mut made = Vec::new();
    let pay = async |number: u64| {
        let reference = salt402_protocol::B256::left_padding_from(&number.to_be_bytes());
        payer
            .send(&payer.prepare(contract, reference, payee, number.to_string().parse().unwrap()).await)
            .await
    };
    for number in 1..=80 {
        made.push(pay(number).await);
    }
    stack.process = Some(stack.role("up"));
    // The hand-over happens somewhere among these.
    for number in 81..=200 {
        made.push(pay(number).await);
    }
    stack.ready().await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.status().await["chains"][0]["payments"].as_u64(), Some(made.len() as u64));
    for proof in &made {
        assert!(canonical(&stack, *proof).await, "{proof}");
    }
}
