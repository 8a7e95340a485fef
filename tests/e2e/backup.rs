//! `salt402 backup` and `salt402 restore`, on a service under load.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use salt402_tests::{PAYEE_KEY, Stack, StackOptions, inference};
use serde_json::json;

use crate::SALT402;

async fn run(stack: &Stack, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(SALT402);
    command.args(arguments).arg("--config").arg(stack.config());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_was_restored_answers_what_it_knows_and_grants_nothing_twice() {
    let options = StackOptions {
        gateway: "wait_ms = 0".into(),
        verifier: "clock_skew_s = 2".into(),
        ..Default::default()
    };
    let mut stack = Stack::start_with(SALT402, options).await;
    let payer = stack.payer();
    let mut paid = Vec::new();
    for index in 0..6 {
        let body = inference(&format!("request {index}"));
        let details = stack.quote(&body).await;
        paid.push((payer.pay(&details).await, body));
    }
    stack.indexed(stack.anvil.height().await).await;
    let first = stack.infer_with(&paid[0].1, paid[0].0).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);

    let copy = stack.folder().join("copy.db");
    let copy = copy.to_str().unwrap();
    // While it serves.
    let arguments = ["backup", copy];
    let (backup, answer) = tokio::join!(run(&stack, &arguments), stack.infer_with(&paid[1].1, paid[1].0));
    assert!(backup.0 && backup.1.contains("checked and on disk"), "{}", backup.1);
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let (done, said) = run(&stack, &["backup", copy]).await;
    assert!(!done && said.contains("is there already"), "{said}");
    // What the copy does not have.
    assert_eq!(stack.infer_with(&paid[2].1, paid[2].0).await.status, StatusCode::OK);
    let (done, said) = run(&stack, &["restore", copy]).await;
    assert!(!done && said.contains("another indexer already works"), "not under a running service: {said}");

    stack.kill();
    let (done, said) = run(&stack, &["restore", copy]).await;
    assert!(!done && said.contains("is there already"), "not over a database: {said}");
    let data = stack.folder().join("data");
    for name in ["salt402.db", "salt402.db-wal", "salt402.db-shm"] {
        let _ = std::fs::remove_file(data.join(name));
    }
    // By hand it is refused, and the words say what to do.
    std::fs::copy(copy, data.join("salt402.db")).unwrap();
    assert!(stack.role("up").ends().contains("salt402 restore"));
    std::fs::remove_file(data.join("salt402.db")).unwrap();
    let (done, said) = run(&stack, &["restore", copy]).await;
    assert!(done && said.contains("payment_before_restore"), "{said}");
    // Two of the clock's, and eight blocks of a second that are not final.
    assert!(said.contains("10 s from now"), "{said}");
    stack.up().await;

    let asked = stack.upstream.asked();
    assert_eq!(
        stack.infer_with(&paid[0].1, paid[0].0).await.body,
        first.body,
        "what is known is answered again"
    );
    for (proof, body) in &paid[2..] {
        // Granted after the copy was taken, or never: nobody knows any more.
        let refused = stack.infer_with(body, *proof).await;
        let codes = ["payment_before_restore", "not_ready"];
        assert!(codes.contains(&refused.code().as_str()), "{}", refused.body);
    }
    assert_eq!(stack.upstream.asked(), asked, "nothing was run");
    // A moment later business goes on, also where the chain's clock is behind the machine's by no more than is configured.
    let behind = now_s() - 2;
    stack.anvil.ask("evm_setTime", json!([behind])).await;
    let body = inference("after");
    let details = loop {
        let answer = stack.infer(&body, &[]).await;
        if answer.status == StatusCode::PAYMENT_REQUIRED {
            break salt402_tests::payment_details(&answer);
        }
        assert_eq!(answer.code(), "not_ready");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let refused = stack.infer_with(&paid[3].1, paid[3].0).await;
    assert_eq!(refused.code(), "payment_before_restore");
    assert!(!refused.headers.contains_key("x-payment-details"), "it was paid for: {}", refused.body);
    let proof = payer.pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);

    // What was given back after the copy was made is forgotten too.
    stack.anvil.mine(8).await;
    stack.indexed(stack.anvil.height().await).await;
    let (config, hash) = (stack.config(), paid[3].0.to_string());
    let refund = move || {
        let mut command = Command::new(SALT402);
        command.args(["refund", &hash]).arg("--config").arg(config).env("SALT402_KEY", PAYEE_KEY);
        command.env_remove("SALT402_RPC_URL").output().unwrap()
    };
    let refused = tokio::task::spawn_blocking(refund).await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("restored from a backup after this payment"),
        "{said}"
    );

    // Stopped, it can be copied too, and says how it stands.
    assert!(stack.process.take().unwrap().terminate().success());
    let second = stack.folder().join("second.db");
    let (done, said) = run(&stack, &["backup", second.to_str().unwrap()]).await;
    assert!(done, "{said}");
    let (_, said) = run(&stack, &["status", "--url", &stack.verifier]).await;
    // The claim that was made while the first copy was taken is in it or not.
    let claimed = said.contains("2 payments claimed") || said.contains("3 payments claimed");
    assert!(said.contains("no verifier answers") && claimed, "{said}");
}
