//! Several nodes before one chain, as an operator configures them.

use reqwest::StatusCode;
use salt402_tests::{Anvil, Stack, StackOptions, free_port, inference};
use serde_json::Value;

use crate::SALT402;

fn with_nodes(nodes: String) -> StackOptions {
    StackOptions { nodes, ..Default::default() }
}

async fn nodes_of(stack: &Stack) -> Vec<Value> {
    stack.status().await["chains"][0]["nodes"].as_array().expect("nodes are told").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_does_not_keep_a_payment_from_counting_and_is_told_of_without_its_key() {
    let dead = format!("http://127.0.0.1:{}/v1/topsecretkey", free_port());
    let nodes = format!(
        "[[chains.local.nodes]]\nrpc = \"{dead}\"\ntimeout_ms = 2000\n[[chains.local.nodes]]\nrpc = \"ANVIL\"\n\
         requests_per_second = 500"
    );
    let stack = Stack::start_with(SALT402, with_nodes(nodes)).await;
    let body = inference("beside a dead node");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);

    let nodes = nodes_of(&stack).await;
    assert_eq!((nodes[0]["serving"].as_bool(), nodes[1]["serving"].as_bool()), (Some(false), Some(true)));
    assert_eq!(nodes[1]["state"], "ready");
    assert!(nodes.iter().all(|node| node["logs_unproved"].is_null()), "anvil proves its logs: {nodes:?}");
    assert!(nodes[0]["reason"].as_str().is_some_and(|why| why.contains("cannot reach")), "{nodes:?}");
    let metrics = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
    for part in ["salt402_node_requests_total", "salt402_node_request_seconds", "salt402_node_budget_units"] {
        assert!(metrics.contains(part), "{part} is missing");
    }
    let told = format!("{nodes:?}{metrics}");
    assert!(!told.contains("topsecretkey"), "a key is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_chain_is_put_out_and_the_other_serves() {
    let mut stack = Stack::start(SALT402).await;
    stack.indexed(stack.anvil.height().await).await;
    stack.kill();
    // The same id, another first block.
    let stranger = Anvil::start_another_on(0).await;
    stranger.mine(50).await;
    let nodes = format!(
        "[[chains.local.nodes]]\nrpc = \"{}\"\n[[chains.local.nodes]]\nrpc = \"ANVIL\"\nws = \"ws://127.0.0.1:{}\"",
        stranger.http(),
        stack.anvil.port
    );
    stack.configure(&with_nodes(nodes));
    stack.up().await;
    let body = inference("beside a stranger");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let nodes = nodes_of(&stack).await;
    assert_eq!((&nodes[0]["state"], &nodes[1]["serving"]), (&Value::from("ejected"), &Value::from(true)));
    assert!(nodes[0]["reason"].as_str().is_some_and(|why| why.contains("block 0")), "{nodes:?}");
    let metrics = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
    assert!(
        metrics.lines().any(|line| line.starts_with("salt402_node_ejected") && line.ends_with(" 1")),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_two_must_agree_a_log_that_one_leaves_out_is_waited_for_and_not_lost() {
    let nodes = "[[chains.local.nodes]]\nrpc = \"CITRATE\"\n[[chains.local.nodes]]\nrpc = \"ANVIL\"";
    let options = StackOptions {
        citrate: true,
        nodes: nodes.into(),
        chain: "profile = \"citrate\"\nagree = 2\nconfirmations = 1\n[chains.local.overrides]\npoll_ms = 100"
            .into(),
        ..Default::default()
    };
    let mut stack = Stack::start_with(SALT402, options).await;
    let body = inference("two must agree");
    let details = stack.quote(&body).await;
    let payer = stack.payer();
    let payment =
        payer.prepare(details.payment_contract, details.reference, details.recipient, details.amount).await;
    let before = stack.anvil.height().await;
    stack.indexed(before).await;
    stack.citrate.as_ref().unwrap().omit(payment.hash);
    let proof = payer.send(&payment).await;
    let status = format!("{}/v1/status", stack.verifier);
    stack
        .until(&status, |answer| {
            answer.json()["chains"][0]["reason"].as_str().is_some_and(|why| why.contains("do not agree"))
        })
        .await;
    assert_eq!(stack.status().await["chains"][0]["indexed"], before, "a block was taken that one node cut");

    stack.citrate.as_ref().unwrap().reveal(payment.hash);
    stack.indexed(stack.anvil.height().await).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(stack.status().await["chains"][0]["payments"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_nodes_logs_cannot_be_proved_is_told_and_payments_count_all_the_same() {
    let options = StackOptions {
        citrate: true,
        chain: "completeness = \"receipts\"\nconfirmations = 1".into(),
        ..Default::default()
    };
    let stack = Stack::start_with(SALT402, options).await;
    let body = inference("without proof");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let nodes = nodes_of(&stack).await;
    assert_eq!(nodes[0]["logs_unproved"], true, "{nodes:?}");
    let metrics = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
    assert!(
        metrics.lines().any(|line| line.starts_with("salt402_node_logs_unproved{") && line.ends_with(" 1")),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_contradict_themselves_are_refused_by_name() {
    let stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let node = "[[chains.local.nodes]]\nrpc = \"ANVIL\"\n";
    for (chain, nodes, about) in [
        ("rpc = \"http://127.0.0.1:1\"", node.to_owned(), "chains.local.nodes"),
        ("agree = 2", node.to_owned(), "chains.local.agree"),
        ("agree = 0", node.to_owned(), "chains.local.agree"),
        ("", format!("{node}units_per_second = 1\nrequests_per_second = 1"), "nodes[0].requests_per_second"),
        ("", format!("{node}units_per_second = 0"), "nodes[0].units_per_second"),
        ("", format!("{node}timeout_ms = 0"), "nodes[0].timeout_ms"),
        ("", format!("{node}bearer_env = \"SALT402_TEST_UNSET\""), "nodes[0].bearer_env"),
        ("", format!("{node}bearer_file = \"no-such-file\""), "nodes[0].bearer_file"),
        ("", format!("{node}bearer = \"an-inline-secret\""), "nodes[0].bearer"),
        ("", format!("{node}role = \"spare\""), "spare"),
    ] {
        stack.configure(&StackOptions { chain: chain.into(), nodes, ..Default::default() });
        let output = std::process::Command::new(stack.binary())
            .args(["config", "check", "--config"])
            .arg(stack.config())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(about), "{about}: {told}");
        assert!(!told.contains("an-inline-secret"), "a secret is repeated: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_names_every_node_and_what_it_is_for_without_its_key() {
    let stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let nodes = "[[chains.local.nodes]]\nrpc = \"https://one.example/v1/a-key-in-a-path\"\n\
                 [[chains.local.nodes]]\nrpc = \"https://two.example\"\nrole = \"fallback\"\n";
    stack.configure(&StackOptions { nodes: nodes.into(), ..Default::default() });
    let output = std::process::Command::new(stack.binary())
        .args(["config", "check", "--config"])
        .arg(stack.config())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = told.lines().map(str::trim).filter(|line| line.starts_with("node ")).collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].starts_with("node one.example, polled every"), "{told}");
    assert!(
        lines[1].starts_with("node two.example, ") && lines[1].ends_with("asked while the others fail"),
        "{told}"
    );
    assert!(!told.contains("a-key-in-a-path"), "{told}");
}
