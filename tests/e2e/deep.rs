//! Reorganizations deeper than what is final, and chains that were reset: what the operator sees and does.

use std::process::{Command, Output};

use reqwest::StatusCode;
use salt402_tests::{Anvil, Stack, StackOptions, inference};

use crate::SALT402;

/// Blocks that are final, by the local profile, are 8 deep.
const DEEP: u64 = 14;

fn impatient() -> StackOptions {
    StackOptions { gateway: "wait_ms = 0".into(), ..Default::default() }
}

/// Runs a command over the stack's configuration; returns its exit code and what it printed.
async fn run(stack: &Stack, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(SALT402);
    command.args(arguments).arg("--config").arg(stack.config());
    let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
}

async fn halted(stack: &mut Stack) {
    let ready = format!("{}/readyz", stack.verifier);
    let answer = stack.until(&ready, |answer| answer.body.contains("salt402 chain resume")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(stack.status().await["chains"][0]["phase"], "halted");
    let metrics = format!("{}/metrics", stack.verifier);
    stack.until(&metrics, |answer| answer.body.contains("phase=\"halted\"} 1")).await;
    stack
        .until(&metrics, |answer| answer.body.contains("salt402_chains_halted{database=\"salt402.db\"} 1"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f08_a_deep_reorganization_halts_until_the_operator_accepts_what_would_leave_the_chain() {
    let mut stack = Stack::start_with(SALT402, impatient()).await;
    let bodies = ["kept", "granted", "lost"].map(inference);
    let payer = stack.payer();
    let mut proofs = Vec::new();
    for body in &bodies {
        let details = stack.quote(body).await;
        proofs.push(payer.pay(&details).await);
    }
    stack.indexed(stack.anvil.height().await).await;
    let answer = stack.infer_with(&bodies[1], proofs[1]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let (code, said) = run(&stack, &["chain", "resume", "--yes"]).await;
    assert!(code == 0 && said.contains("not halted"), "{said}");

    stack.anvil.mine(DEEP - 2).await;
    stack.indexed(stack.anvil.height().await).await;
    stack.anvil.reorg(DEEP).await;
    stack.anvil.mine(1).await;
    halted(&mut stack).await;
    // Nothing is sold, nothing is granted, nobody is sent to pay again; what was granted is answered again.
    assert_eq!(stack.infer(&inference("new"), &[]).await.code(), "chain_halted");
    for index in [0, 2] {
        let refused = stack.infer_with(&bodies[index], proofs[index]).await;
        assert_eq!(
            (refused.code().as_str(), refused.status),
            ("chain_halted", StatusCode::SERVICE_UNAVAILABLE)
        );
        assert!(!refused.headers.contains_key("x-payment-details"), "{:?}", refused.headers);
    }
    assert_eq!(stack.infer_with(&bodies[1], proofs[1]).await.body, answer.body);
    let url = format!("{}/v1/payments/{}?chain=eip155:40204", stack.verifier, proofs[2]);
    assert_eq!(
        stack.get(&url).await.json()["payments"][0]["canonical"],
        true,
        "what is indexed is still read"
    );

    // It neither ends nor forgets.
    stack.kill();
    stack.process = Some(stack.role("up"));
    halted(&mut stack).await;
    let (code, said) = run(&stack, &["chain", "resume"]).await;
    assert_eq!(code, 2, "{said}");
    for wanted in [
        &format!("{DEEP} blocks would leave"),
        "2 payments are in those blocks, 1 of them granted on",
        &format!("{}: 1016 base units of native", proofs[1]),
        "not on the node's chain",
        "--yes",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    halted(&mut stack).await;

    let (code, said) = run(&stack, &["chain", "resume", "--chain", "local", "--yes"]).await;
    assert!(code == 0 && said.contains("applied: the index stands at"), "{said}");
    stack.ready().await;
    let status = stack.status().await;
    assert_eq!(
        (status["open_incidents"].as_u64(), status["claims"].as_u64()),
        (Some(1), Some(1)),
        "{status}"
    );
    assert_eq!(status["chains"][0]["payments"], 1);
    assert_eq!(stack.infer_with(&bodies[0], proofs[0]).await.status, StatusCode::OK);
    assert_eq!(stack.infer_with(&bodies[2], proofs[2]).await.code(), "payment_orphaned");
    assert_eq!(stack.upstream.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn f08_the_operator_may_decide_while_the_service_is_stopped_and_one_that_only_verifies_refuses_too() {
    let mut stack = Stack::start_with(SALT402, impatient()).await;
    let body = inference("before");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    stack.anvil.mine(DEEP).await;
    stack.indexed(stack.anvil.height().await).await;
    stack.kill();
    stack.anvil.reorg(DEEP).await;
    stack.anvil.mine(3).await;
    stack.process = Some(stack.role("up"));
    halted(&mut stack).await;
    stack.kill();

    // A verifier in a process of its own knows by the database alone.
    stack.process = Some(stack.role("verify"));
    let ready = format!("{}/readyz", stack.verifier);
    stack.until(&ready, |answer| answer.body.contains("salt402 chain resume")).await;
    let request = serde_json::json!({
        "chain": "eip155:40204", "payee": salt402_tests::PAYEE, "asset": "native", "amount": "5",
        "request_digest": format!("{}", salt402_protocol::B256::ZERO),
    });
    let quote = stack.post(&format!("{}/v1/quotes", stack.verifier), &request, &[]).await;
    assert_eq!(quote.code(), "chain_halted");
    stack.kill();

    let (code, said) = run(&stack, &["chain", "resume", "--chain", "nowhere"]).await;
    assert!(code == 1 && said.contains("there are local"), "{said}");
    let (code, said) = run(&stack, &["chain", "resume", "--yes"]).await;
    assert!(code == 0 && said.contains("applied when one is started"), "{said}");
    stack.up().await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(stack.status().await["open_incidents"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn f13_a_reset_chain_is_refused_with_instructions_that_work() {
    let mut stack = Stack::start_with(SALT402, impatient()).await;
    let details = stack.quote(&inference("old chain")).await;
    let proof = stack.payer().pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    let port = stack.anvil.port;
    std::mem::replace(&mut stack.anvil, Anvil::start().await).stop();
    // Another genesis block: anvil's has the second in which it was started.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    stack.anvil = Anvil::start_another_on(port).await;
    stack.anvil.mine(30).await;
    let ready = format!("{}/readyz", stack.verifier);
    stack.until(&ready, |answer| answer.body.contains("genesis")).await;
    assert_eq!(stack.infer(&inference("new chain"), &[]).await.code(), "chain_halted");

    let (code, said) = run(&stack, &["chain", "resume", "--yes"]).await;
    assert!(code == 2 && said.contains("the chain was reset") && said.contains("move"), "{said}");
    stack.process.take().unwrap().terminate();
    let (data, kept) = (stack.folder().join("data"), stack.folder().join("data-of-the-old-chain"));
    assert!(said.contains(data.to_str().unwrap()), "{said}");
    std::fs::rename(&data, &kept).unwrap();
    stack.anvil.deploy(&stack.deployment.folder).await;
    stack.up().await;
    let body = inference("new chain");
    let details = stack.quote(&body).await;
    let paid = stack.payer().pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.infer_with(&body, paid).await.status, StatusCode::OK);
    let old = stack.infer_with(&inference("old chain"), proof).await;
    assert_ne!(old.status, StatusCode::OK, "nothing of the old chain counts on the new one");
}
