//! Two chains in one process: each has its rows, its confirmations, its reorganizations and its node.

use reqwest::StatusCode;
use salt402_protocol::{Address, Amount, B256, ChainId};
use salt402_tests::{Anvil, PAYEE, Stack, StackOptions, TestPayer, free_port, inference};
use serde_json::{Value, json};

use crate::SALT402;

const CITRATE: &str = "eip155:40204";
const BASE: &str = "eip155:84532";

/// Another chain beside the stack's, with its contract.
struct Second {
    anvil: Anvil,
    contract: Address,
}

/// A stack that follows a second chain too.
async fn two_chains() -> (Stack, Second) {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let chain = ChainId::new(84532).unwrap();
    let anvil = Anvil::start_as(chain, free_port()).await;
    // Heights that differ from those of the other.
    anvil.mine(40).await;
    let contract = anvil.deploy(&stack.folder().join("deployments")).await.salt_pay;
    let genesis = anvil.ask("eth_getBlockByNumber", json!(["0x0", false])).await["hash"].clone();
    let sections = format!(
        "[chains.second]\nprofile = \"base-sepolia\"\nrpc = \"{}\"\nws = \"ws://127.0.0.1:{}\"\n\
         deployments = \"deployments\"\n[chains.second.overrides]\ngenesis_hash = {genesis}\npoll_ms = 100\n\
         finality_depth = 8\nreorg_window = 64",
        anvil.http(),
        anvil.port
    );
    stack.configure(&StackOptions { sections, ..Default::default() });
    stack.up().await;
    (stack, Second { anvil, contract })
}

fn terms(chain: &str, digest: u8, confirmations: u64) -> Value {
    json!({
        "chain": chain, "payee": PAYEE, "asset": "native", "amount": "1016",
        "request_digest": B256::repeat_byte(digest), "confirmations": confirmations,
    })
}

/// Quotes and pays for some terms, on an anvil.
async fn pay(stack: &Stack, terms: &Value, anvil: &Anvil, contract: Address) -> B256 {
    let mut asked = terms.clone();
    asked.as_object_mut().unwrap().remove("confirmations");
    let quote = stack.post(&format!("{}/v1/quotes", stack.verifier), &asked, &[]).await;
    assert_eq!(quote.status, StatusCode::OK, "{}", quote.body);
    let reference = quote.json()["reference"].as_str().unwrap().parse().unwrap();
    let payer = TestPayer::new(anvil);
    let amount: Amount = "1016".parse().unwrap();
    let prepared = payer.prepare(contract, reference, PAYEE.parse().unwrap(), amount).await;
    payer.send(&prepared).await
}

async fn verify(stack: &Stack, terms: &Value, proof: B256, wait_ms: u64) -> Value {
    let ask = json!({
        "proof": proof, "requirement": terms, "claim": true, "claimant": "shop", "wait_ms": wait_ms,
    });
    stack.post(&format!("{}/v1/verify", stack.verifier), &ask, &[]).await.json()
}

async fn rows(stack: &Stack, chain: &str, transaction: B256) -> Vec<Value> {
    let url = format!("{}/v1/payments/{transaction}?chain={chain}", stack.verifier);
    stack.get(&url).await.json()["payments"].as_array().unwrap().clone()
}

/// What the status says of a chain.
async fn of_chain(stack: &Stack, chain: &str) -> Value {
    let status = stack.status().await;
    let chains = status["chains"].as_array().unwrap();
    chains.iter().find(|one| one["chain"] == chain).unwrap_or_else(|| panic!("{chain}: {status}")).clone()
}

/// Until the index of a chain stands at its node's head.
async fn current(stack: &mut Stack, chain: &str, anvil: &Anvil) {
    let (height, url) = (anvil.height().await, format!("{}/v1/status", stack.verifier));
    let stands = |answer: &salt402_tests::Answer| {
        let status = answer.json();
        let mut chains = status["chains"].as_array().unwrap().iter();
        chains.any(|one| one["chain"] == chain && one["indexed"].as_u64() >= Some(height))
    };
    stack.until(&url, stands).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_chains_have_their_own_rows_confirmations_and_reorganizations() {
    let (mut stack, second) = two_chains().await;
    let salt_pay = stack.deployment.salt_pay;
    let (here, there) = (terms(CITRATE, 1, 1), terms(BASE, 2, 3));
    let proof_here = pay(&stack, &here, &stack.anvil, salt_pay).await;
    let proof_there = pay(&stack, &there, &second.anvil, second.contract).await;
    assert_eq!(verify(&stack, &here, proof_here, 5000).await["status"], "accepted");

    // Blocks of the one confirm nothing on the other.
    stack.anvil.mine(5).await;
    current(&mut stack, BASE, &second.anvil).await;
    let pending = verify(&stack, &there, proof_there, 0).await;
    assert_eq!((&pending["status"], &pending["code"]), (&json!("pending"), &json!("awaiting_confirmations")));
    second.anvil.mine(2).await;
    let accepted = verify(&stack, &there, proof_there, 5000).await;
    assert_eq!(accepted["status"], "accepted", "{accepted}");

    // A transaction is looked for on the chain that is asked about, and a proof counts on its own.
    assert_eq!(
        (rows(&stack, CITRATE, proof_here).await.len(), rows(&stack, BASE, proof_there).await.len()),
        (1, 1)
    );
    assert_eq!(
        (rows(&stack, BASE, proof_here).await.len(), rows(&stack, CITRATE, proof_there).await.len()),
        (0, 0)
    );
    let elsewhere = verify(&stack, &terms(BASE, 1, 1), proof_here, 0).await;
    assert_ne!(elsewhere["status"], "accepted", "{elsewhere}");

    // One of them is reorganized, and the other is not touched.
    let before = of_chain(&stack, CITRATE).await;
    second.anvil.reorg(3).await;
    second.anvil.mine(1).await;
    current(&mut stack, BASE, &second.anvil).await;
    assert_eq!(rows(&stack, BASE, proof_there).await[0]["canonical"], false);
    assert_eq!(rows(&stack, CITRATE, proof_here).await[0]["canonical"], true);
    let incidents = stack.get(&format!("{}/v1/incidents?open=true", stack.verifier)).await.json();
    let incidents = incidents["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!((&incidents[0]["chain"], &incidents[0]["kind"]), (&json!(BASE), &json!("payment_lost")));
    let after = of_chain(&stack, CITRATE).await;
    assert_eq!((&after["payments"], &after["reorganizations"]), (&before["payments"], &json!(0)));
    assert_eq!(of_chain(&stack, BASE).await["reorganizations"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_node_of_one_chain_is_dead_the_other_goes_on_and_readiness_says_which() {
    let (mut stack, second) = two_chains().await;
    second.anvil.stop();
    let ready = format!("{}/readyz", stack.verifier);
    let said = stack.until(&ready, |answer| answer.status == StatusCode::SERVICE_UNAVAILABLE).await;
    let detail = said.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("base-sepolia: ") && !detail.contains("local: "), "{detail}");
    let ready_of = |chain: &Value| chain["ready"].as_bool();
    assert_eq!(ready_of(&of_chain(&stack, CITRATE).await), Some(true));
    assert_eq!(ready_of(&of_chain(&stack, BASE).await), Some(false));

    let body = inference("beside a dead chain");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(rows(&stack, CITRATE, proof).await[0]["claimed"], true);
    // What is not known of the dead one is pending, and nobody is told to pay again.
    let unknown = verify(&stack, &terms(BASE, 3, 1), B256::repeat_byte(9), 0).await;
    assert_eq!(unknown["status"], "pending", "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_listed_and_counted_under_its_own_chain_alone() {
    let (mut stack, second) = two_chains().await;
    let salt_pay = stack.deployment.salt_pay;
    let (here, there) = (terms(CITRATE, 1, 1), terms(BASE, 2, 1));
    let proof_here = pay(&stack, &here, &stack.anvil, salt_pay).await;
    let proof_there = pay(&stack, &there, &second.anvil, second.contract).await;
    for (asked, proof) in [(&here, proof_here), (&there, proof_there)] {
        assert_eq!(verify(&stack, asked, proof, 5000).await["status"], "accepted");
    }
    let status = format!("{}/v1/status", stack.verifier);
    let mut open = Vec::new();
    for (chain, anvil_is_second) in [(BASE, true), (CITRATE, false)] {
        if anvil_is_second {
            second.anvil.reorg(1).await;
        } else {
            stack.anvil.reorg(1).await;
        }
        open.push(chain);
        let all = open.len();
        stack.until(&status, |answer| answer.json()["open_incidents"] == all).await;
        for each in [CITRATE, BASE] {
            let expected = usize::from(open.contains(&each));
            assert_eq!(of_chain(&stack, each).await["open_incidents"], expected, "{each} of {open:?}");
            let listed = incidents_of(&stack, each, "open=true").await;
            assert_eq!(listed.len(), expected, "{listed:?}");
            let lost = if each == BASE { proof_there } else { proof_here };
            assert!(listed.iter().all(|one| one["chain"] == each && one["transaction"] == lost.to_string()));
        }
    }
    // A chain that is not followed has none.
    assert!(incidents_of(&stack, "eip155:8453", "open=true").await.is_empty());

    // One that is settled is settled there, and the other stays open.
    let id = incidents_of(&stack, BASE, "open=true").await[0]["id"].to_string();
    let settled = std::process::Command::new(stack.binary())
        .args(["incidents", "settle", &id, "--note", "made good", "--config"])
        .arg(stack.config())
        .output()
        .unwrap();
    assert!(settled.status.success(), "{settled:?}");
    for (chain, left) in [(BASE, 0), (CITRATE, 1)] {
        assert_eq!(of_chain(&stack, chain).await["open_incidents"], left, "{chain}");
        assert_eq!(incidents_of(&stack, chain, "open=true").await.len(), left, "{chain}");
        assert_eq!(incidents_of(&stack, chain, "open=false").await.len(), 1 - left, "{chain}");
        let gauge =
            format!("salt402_incidents{{chain=\"{chain}\",kind=\"payment_lost\",state=\"open\"}} {left}\n");
        let metrics = format!("{}/metrics", stack.verifier);
        stack.until(&metrics, |answer| answer.body.contains(&gauge)).await;
    }
    // A used proof that is shown for another request is noted on its chain alone.
    let fresh = terms(BASE, 3, 1);
    let proof = pay(&stack, &fresh, &second.anvil, second.contract).await;
    let accepted = verify(&stack, &fresh, proof, 5000).await;
    assert_eq!(accepted["status"], "accepted", "{accepted}");
    let ask =
        json!({ "proof": proof, "requirement": fresh, "claim": true, "claimant": "rival", "wait_ms": 0 });
    let refused = stack.post(&format!("{}/v1/verify", stack.verifier), &ask, &[]).await.json();
    assert_eq!(refused["code"], "already_claimed", "{refused}");
    let replays = format!("{}/v1/incidents?kind=replay_attempt&chain={BASE}", stack.verifier);
    stack
        .until(&replays, |answer| answer.json()["incidents"].as_array().is_some_and(|all| all.len() == 1))
        .await;
    assert!(incidents_of(&stack, CITRATE, "kind=replay_attempt").await.is_empty());
}

async fn incidents_of(stack: &Stack, chain: &str, query: &str) -> Vec<Value> {
    let told = stack.get(&format!("{}/v1/incidents?chain={chain}&{query}", stack.verifier)).await.json();
    told["incidents"].as_array().unwrap_or_else(|| panic!("{told}")).clone()
}
