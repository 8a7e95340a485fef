//! A large payment that a second node must show before it is granted on.

use std::process::Command;

use reqwest::StatusCode;
use salt402_protocol::{Amount, Asset, U256};
use salt402_tests::{NodeProxy, Stack, StackOptions, inference};
use serde_json::Value;

use crate::SALT402;
use crate::vouchers::{opened, served, show};

/// The price of the requests here: 1,000 for each, and 1 for each of the 16 tokens, at the counted model.
const PRICE: u64 = 1016;

/// `salt402` over some nodes of one chain, two of which must show payments of an amount and more.
async fn stack_of(count: usize, from: u64) -> (Stack, Vec<NodeProxy>) {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let mut nodes = Vec::new();
    let mut lines = format!("[chains.local.policy]\nsecond_node = [{{ from = \"{from}\" }}]\n");
    for _ in 0..count {
        let node = NodeProxy::before(stack.anvil.http()).await;
        lines += &format!("[[chains.local.nodes]]\nrpc = \"{}\"\n", node.http());
        nodes.push(node);
    }
    stack.configure(&StackOptions {
        // The root of the receipts would find a changed log out at once.
        chain: "completeness = \"off\"\nvouchers = true".into(),
        nodes: lines,
        gateway: "wait_ms = 0".into(),
        ..Default::default()
    });
    stack.up().await;
    (stack, nodes)
}

/// The same with two nodes.
async fn stack(from: u64) -> (Stack, NodeProxy, NodeProxy) {
    let (stack, nodes) = stack_of(2, from).await;
    let [first, second] = <[NodeProxy; 2]>::try_from(nodes).unwrap();
    (stack, first, second)
}

/// A number as a word of an event.
fn word(number: u64) -> String {
    format!("{number:064x}")
}

/// The height of a block, or of the block of a receipt.
fn height(result: &Value) -> Option<u64> {
    let number = result.get("blockNumber").or_else(|| result.get("number"))?.as_str()?;
    u64::from_str_radix(number.trim_start_matches("0x"), 16).ok()
}

async fn disagreements(stack: &Stack) -> Vec<Value> {
    let told = stack.get(&format!("{}/v1/incidents?kind=nodes_disagree", stack.verifier)).await.json();
    told["incidents"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn t17_a_payment_that_one_node_makes_larger_is_not_granted_on_and_is_an_incident() {
    let (mut stack, first, second) = stack(PRICE).await;
    let body = inference("made up");
    let details = stack.quote(&body).await;
    assert_eq!(details.amount, Amount(U256::from(PRICE)));
    // Too little is paid, and the node that is followed says that it was enough.
    first.answers(|_, result| {
        let text = result.to_string().replace(&word(777), &word(PRICE));
        serde_json::from_str(&text).unwrap()
    });
    let proof = stack.payer().pay_as(&details, Amount(U256::from(777)), details.recipient).await;
    let known = format!("{}/v1/payments/{proof}?chain=eip155:40204", stack.verifier);
    let larger = Value::from(PRICE.to_string());
    stack.until(&known, |answer| answer.json()["payments"][0]["amount"] == larger).await;
    for round in 0..3 {
        let answer = stack.infer_with(&body, proof).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::CONFLICT, "nodes_disagree".into()),
            "{round}"
        );
        assert!(!answer.headers.contains_key("x-payment-details"), "{:?}", answer.headers);
    }
    let incidents = disagreements(&stack).await;
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(incidents[0]["transaction"], proof.to_string());
    let detail = incidents[0]["detail"].as_str().unwrap();
    let named = second.http().replace("http://", "");
    assert!(detail.contains(&named) && detail.contains("no such payment"), "{detail}");
    assert_eq!((stack.upstream.asked(), stack.status().await["claims"].as_u64()), (0, Some(0)));

    // A payment that both show is granted meanwhile, though the node lies about the other.
    let body = inference("honest");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let metrics = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
    for outcome in ["confirmed", "contradicted"] {
        let line = metrics.lines().find(|line| {
            line.starts_with("salt402_second_node_total") && line.contains(&format!("\"{outcome}\""))
        });
        assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{outcome}: {line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t17_a_block_of_one_node_without_the_transaction_is_a_contradiction_too() {
    let (mut stack, first, second) = stack(PRICE).await;
    let body = inference("left out");
    let details = stack.quote(&body).await;
    // The second has the block, and neither receipt nor logs of what the first shows in it.
    second.answers(|method, result| match method {
        "eth_getTransactionReceipt" => Value::Null,
        "eth_getLogs" => Value::Array(Vec::new()),
        _ => result,
    });
    let proof = stack.payer().pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.infer_with(&body, proof).await.code(), "nodes_disagree");
    assert_eq!(disagreements(&stack).await.len(), 1);
    // The payer did pay: when the node is mended, the same proof counts.
    second.answers(|_, result| result);
    assert!(first.asked("eth_getTransactionReceipt") > 0);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_that_lags_or_fails_is_waited_for_and_nobody_pays_again() {
    let (mut stack, _first, second) = stack(PRICE).await;
    for (prompt, fails) in [("lags", false), ("fails", true)] {
        let (body, asked) = (inference(prompt), stack.upstream.asked());
        let details = stack.quote(&body).await;
        let reached = stack.anvil.height().await;
        if fails {
            second.fails();
        } else {
            second.answers(move |_, result| match height(&result) {
                Some(number) if number > reached => Value::Null,
                _ => result,
            });
        }
        let proof = stack.payer().pay(&details).await;
        stack.indexed(stack.anvil.height().await).await;
        let answer = stack.infer_with(&body, proof).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{prompt}: {}", answer.body);
        assert_eq!(answer.code(), "awaiting_second_node", "{prompt}");
        assert!(answer.headers.contains_key("retry-after"), "{prompt}: {:?}", answer.headers);
        assert!(!answer.headers.contains_key("x-payment-details"), "{prompt}: {:?}", answer.headers);
        assert_eq!(stack.upstream.asked(), asked);
        assert!(disagreements(&stack).await.is_empty(), "{prompt}");

        // Whoever waits is answered when it is there, though no block comes.
        let verify = format!("{}/v1/verify", stack.verifier);
        let requirement = serde_json::json!({
            "chain": "eip155:40204", "payee": salt402_tests::PAYEE, "asset": "native",
            "amount": PRICE.to_string(), "request_digest": digest(&body),
        });
        let mut terms = requirement.clone();
        terms["claimant"] = "another service".into();
        let quote = stack.post(&format!("{}/v1/quotes", stack.verifier), &terms, &[]).await.json();
        let reference = quote["reference"].as_str().unwrap().parse().unwrap();
        let payee = salt402_tests::PAYEE.parse().unwrap();
        let payer = stack.payer();
        let payment = payer.prepare(details.payment_contract, reference, payee, details.amount).await;
        let paid_there = payer.send(&payment).await;
        stack.indexed(stack.anvil.height().await).await;
        let question = serde_json::json!({
            "proof": paid_there.to_string(),
            "quote_id": quote["quote_id"],
            "requirement": requirement,
            "claim": false, "claimant": "another service", "wait_ms": 20_000,
        });
        let waiting = stack.post(&verify, &question, &[]);
        let mended = async {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            second.answers(|_, result| result);
        };
        let (answer, ()) = tokio::join!(waiting, mended);
        assert_eq!(answer.json()["status"], "accepted", "{prompt}: {}", answer.body);
        let answer = stack.infer_with(&body, proof).await;
        assert_eq!(answer.status, StatusCode::OK, "{prompt}: {}", answer.body);
    }
}

/// What the gateway asks a payment for: the digest of method, path and body.
fn digest(body: &Value) -> String {
    let bytes = serde_json::to_vec(body).unwrap();
    salt402_protocol::RequestDigest::of("POST", "/v1/inference", &bytes).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_another_fork_is_waited_for_until_blocks_are_final_there_and_then_it_contradicts() {
    let (mut stack, _first, second) = stack(PRICE).await;
    let body = inference("another fork");
    let details = stack.quote(&body).await;
    let reached = stack.anvil.height().await;
    second.answers(move |method, mut result| {
        if method == "eth_getBlockByNumber" && height(&result) > Some(reached) {
            result["hash"] = Value::from(format!("0x{}", "f0".repeat(32)));
        }
        result
    });
    let proof = stack.payer().pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.code(), "awaiting_second_node", "{}", answer.body);
    assert!(answer.json()["detail"].as_str().unwrap().contains("another block"), "{}", answer.body);
    assert!(disagreements(&stack).await.is_empty());
    stack.anvil.mine(10).await;
    stack.indexed(stack.anvil.height().await).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(stack.infer_with(&body, proof).await.code(), "nodes_disagree");
    assert_eq!(disagreements(&stack).await.len(), 1);
    assert_eq!(stack.upstream.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_show_a_payment_are_enough_whatever_a_third_says() {
    let (mut stack, nodes) = stack_of(3, PRICE).await;
    let body = inference("two of three");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    nodes[0].answers(|method, mut result| {
        if method == "eth_getTransactionReceipt" && result.is_object() {
            result["status"] = Value::from("0x0");
            result["logs"] = Value::Array(Vec::new());
        }
        result
    });
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert!(
        nodes[1].asked("eth_getTransactionReceipt") == 1 && nodes[2].asked("eth_getTransactionReceipt") == 1
    );
    // With one of the two gone, what the first says of another payment is a contradiction.
    let body = inference("one of three");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    nodes[2].fails();
    assert_eq!(stack.infer_with(&body, proof).await.code(), "nodes_disagree");
    let told = disagreements(&stack).await;
    assert!(told[0]["detail"].as_str().unwrap().contains("reverted"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_amount_nothing_is_asked_and_what_was_confirmed_is_not_asked_again() {
    for (from, asked) in [(PRICE + 1, 0), (PRICE, 1)] {
        let (mut stack, _first, second) = stack(from).await;
        let body = inference("counted");
        let details = stack.quote(&body).await;
        let proof = stack.payer().pay(&details).await;
        stack.indexed(stack.anvil.height().await).await;
        for _ in 0..3 {
            let answer = stack.infer_with(&body, proof).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        }
        assert_eq!(second.asked("eth_getTransactionReceipt"), asked, "from {from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_node_the_configuration_is_refused_and_with_two_it_is_said_in_words() {
    let stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let policy = "[chains.local.policy]\nsecond_node = [{ from = \"100 SALT\" }]\n";
    let node = |host: &str| format!("[[chains.local.nodes]]\nrpc = \"http://{host}\"\n");
    let run = |nodes: String, command: &[&str]| {
        stack.configure(&StackOptions { nodes, ..Default::default() });
        let output =
            Command::new(stack.binary()).args(command).arg("--config").arg(stack.config()).output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&told).into_owned())
    };
    // The same host and port twice is one node.
    for nodes in [node("127.0.0.1:1"), node("127.0.0.1:1") + &node("127.0.0.1:1/key")] {
        for command in [&["config", "check"][..], &["up"]] {
            let (good, told) = run(format!("{policy}{nodes}"), command);
            assert!(!good && told.contains("chains.local.policy.second_node"), "{command:?}: {told}");
            assert!(told.contains("at least two nodes"), "{command:?}: {told}");
        }
    }
    let two = node("127.0.0.1:1") + &node("127.0.0.1:2");
    let (good, told) = run(format!("{policy}{two}"), &["config", "check"]);
    assert!(good && told.contains("100 SALT and more counts when two of the 2 nodes show it"), "{told}");
    let twice = "[chains.local.policy]\nsecond_node = [{ from = \"1\" }, { from = \"2\" }]\n";
    let (good, told) = run(format!("{twice}{two}"), &["config", "check"]);
    assert!(!good && told.contains("second_node[1]") && told.contains("named twice"), "{told}");
    let (good, told) = run(two, &["config", "check"]);
    assert!(good && told.contains("one node's word is enough"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t17_a_channel_that_one_node_makes_larger_pays_for_nothing_and_is_one_incident() {
    let (mut stack, first, second) = stack(PRICE).await;
    first.answers(|_, result| {
        let text = result.to_string().replace(&word(4 * PRICE), &word(8 * PRICE));
        serde_json::from_str(&text).unwrap()
    });
    let channel = opened(&mut stack, Asset::Native, 4 * PRICE, 1).await;
    for (prompt, ceiling) in [("one", PRICE), ("two", 8 * PRICE), ("three", 8 * PRICE)] {
        let answer = show(&stack, prompt, &channel.proof(ceiling)).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::CONFLICT, "nodes_disagree".into()),
            "{prompt}"
        );
        assert!(!answer.headers.contains_key("x-payment-details"), "{prompt}: {:?}", answer.headers);
    }
    let incidents = disagreements(&stack).await;
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    let detail = incidents[0]["detail"].as_str().unwrap();
    assert!(detail.contains(&second.http().replace("http://", "")), "{detail}");
    assert!(detail.contains(&format!("{} deposited", 4 * PRICE)), "{detail}");
    // A channel that both show is granted on meanwhile, though the node lies about the other; and so is this one, once the
    // nodes agree.
    let honest = opened(&mut stack, Asset::Native, 3 * PRICE, 2).await;
    served(&stack, "four", &honest.proof(PRICE)).await;
    second.answers(|_, result| {
        let text = result.to_string().replace(&word(4 * PRICE), &word(8 * PRICE));
        serde_json::from_str(&text).unwrap()
    });
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    served(&stack, "one", &channel.proof(PRICE)).await;
    assert_eq!(stack.upstream.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_waits_for_a_second_node_and_its_small_vouchers_for_none() {
    let (mut stack, _first, second) = stack(2 * PRICE).await;
    let channel = opened(&mut stack, Asset::Native, 4 * PRICE, 1).await;
    second.fails();
    served(&stack, "small", &channel.proof(PRICE)).await;
    let answer = show(&stack, "large", &channel.proof(2 * PRICE)).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::PAYMENT_REQUIRED, "awaiting_second_node".into()));
    assert!(!answer.headers.contains_key("x-payment-details"), "{:?}", answer.headers);
    assert!(disagreements(&stack).await.is_empty());
    second.answers(|_, result| result);
    let large = channel.proof(2 * PRICE);
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while show(&stack, "large", &large).await.status != StatusCode::OK {
        assert!(std::time::Instant::now() < give_up, "the second node is not asked again");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    // What was granted is answered whatever the second node says; what follows within the answer's age is not asked for anew.
    let asked = second.asked("eth_call");
    second.fails();
    served(&stack, "large", &large).await;
    served(&stack, "next", &channel.proof(3 * PRICE)).await;
    assert_eq!(second.asked("eth_call"), asked);
}
