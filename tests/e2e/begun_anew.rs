//! A database that is begun anew beside an old quote key, and one whose files go while it runs.

use std::path::PathBuf;

use reqwest::StatusCode;
use salt402_protocol::details::DETAILS_HEADER;
use salt402_tests::{Answer, Salt402, Stack, StackOptions, inference};

use crate::SALT402;

const KEY: &str = "a key of the environment, which no folder that is emptied takes along";

/// `salt402 up` with its quote key in its environment, as in a container.
async fn up(stack: &mut Stack) {
    let variables = [("SALT402_QUOTE_KEY", KEY)];
    stack.process = Some(Salt402::start_with(stack.binary(), "up", &stack.config(), &variables));
    stack.ready().await;
    stack.indexed(stack.anvil.height().await).await;
}

/// Nobody is told to pay again.
fn refused(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.body);
    assert!(answer.headers.get(DETAILS_HEADER).is_none(), "{:?}", answer.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn c11_an_emptied_folder_beside_a_key_of_the_environment_serves_no_payment_twice() {
    let options = StackOptions { idle: true, new_database: true, ..Default::default() };
    let mut stack = Stack::start_with(SALT402, options).await;
    up(&mut stack).await;
    let body = inference("once");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await.to_string();
    let bare = [("x-payment-proof", proof.as_str())];
    let whole = [bare[0], ("x-payment-quote", details.quote_id.as_str())];
    let served = stack.infer(&body, &whole).await;
    assert_eq!(served.status, StatusCode::OK, "{}", served.body);
    for _ in 0..3 {
        stack.kill();
        std::fs::remove_dir_all(stack.folder().join("data")).unwrap();
        up(&mut stack).await;
        refused(&stack.infer(&body, &bare).await, StatusCode::CONFLICT, "before_database");
        refused(&stack.infer(&body, &whole).await, StatusCode::CONFLICT, "before_database");
    }
    assert_eq!(stack.upstream.asked(), 1, "the model ran for whoever paid, once");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let served = stack.infer_with(&body, proof).await;
    assert_eq!(served.status, StatusCode::OK, "{}", served.body);
}

/// The database's files that end so.
fn files(stack: &Stack, endings: &[&str]) -> Vec<PathBuf> {
    let named = |ending: &&str| stack.folder().join(format!("data/salt402.db{ending}"));
    endings.iter().map(named).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn c11_a_database_whose_files_go_while_it_runs_grants_and_sells_nothing_until_they_are_back() {
    let mut stack = Stack::start_with(SALT402, StackOptions::default()).await;
    let body = inference("paid before");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    for endings in [&["", "-wal", "-shm"][..], &["-wal"], &["-shm"], &[""]] {
        let away =
            |file: &PathBuf| file.with_file_name(format!("{}.away", file.file_name().unwrap().display()));
        for file in &files(&stack, endings) {
            std::fs::rename(file, away(file)).unwrap();
        }
        refused(
            &stack.infer_with(&body, proof).await,
            StatusCode::SERVICE_UNAVAILABLE,
            "storage_unavailable",
        );
        refused(
            &stack.infer(&inference("new"), &[]).await,
            StatusCode::SERVICE_UNAVAILABLE,
            "storage_unavailable",
        );
        for base in [&stack.verifier, &stack.gateway] {
            let ready = stack.get(&format!("{base}/readyz")).await;
            assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE, "{base} {}", ready.body);
        }
        let status = stack.status().await;
        let reason = status["chains"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("salt402.db") && reason.contains("stop this process"), "{status}");
        for file in &files(&stack, endings) {
            std::fs::rename(away(file), file).unwrap();
        }
        stack.ready().await;
    }
    let log = stack.process.as_ref().unwrap().log();
    assert!(log.contains("ERROR") && log.contains("was removed or replaced"), "{log}");
    assert_eq!(stack.upstream.asked(), 0);
    // Nothing was lost by it.
    let served = stack.infer_with(&body, proof).await;
    assert_eq!(served.status, StatusCode::OK, "{}", served.body);

    // Removed for good: what was granted is granted no more, also by the next process.
    for file in &files(&stack, &["", "-wal", "-shm"]) {
        std::fs::remove_file(file).unwrap();
    }
    refused(&stack.infer_with(&body, proof).await, StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable");
    stack.kill();
    stack.process = Some(stack.role("up"));
    stack.ready().await;
    stack.indexed(stack.anvil.height().await).await;
    refused(&stack.infer_with(&body, proof).await, StatusCode::CONFLICT, "before_database");
    assert_eq!(stack.upstream.asked(), 1);
}
