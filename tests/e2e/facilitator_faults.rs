//! The facilitator under faults: kill -9, a node that lies about what it took, a chain that takes blocks back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use salt402_protocol::{Address, B256};
use salt402_tests::x402::{FACILITATOR, FACILITATOR_KEY, Terms, X402Payer};
use salt402_tests::{Facilitating, FacilitatorOptions, Fault, NodeProxy, PAYEE, Salt402, StackOptions};
use serde_json::{Value, json};

use crate::SALT402;

fn payee() -> Address {
    PAYEE.parse().unwrap()
}

fn hash(told: &Value) -> B256 {
    assert_eq!(told["success"], true, "{told}");
    told["transaction"].as_str().unwrap().parse().unwrap()
}

/// A facilitator whose only node is a proxy.
async fn behind_a_proxy() -> (Facilitating, NodeProxy) {
    let mut stand = Facilitating::prepare(SALT402, FacilitatorOptions::default()).await;
    let proxy = NodeProxy::before(stand.stack.anvil.http()).await;
    stand.configure(&FacilitatorOptions {
        stack: StackOptions {
            nodes: format!("[[chains.local.nodes]]\nrpc = \"{}\"", proxy.http()),
            ..Default::default()
        },
        ..Default::default()
    });
    stand.up().await;
    (stand, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_takes_a_transaction_and_answers_502_costs_no_second_one() {
    let (stand, proxy) = behind_a_proxy().await;
    let payer = X402Payer::new();
    proxy.loses(|method| (method == "eth_sendRawTransaction").then_some(Fault::Status(502)));
    for number in 1..=4 {
        let body = payer.eip3009(&stand.wrapped, &Terms::new(payee(), 5, number));
        hash(&stand.settle_until_known(&body).await);
    }
    proxy.loses(|_| None);
    let body = payer.eip3009(&stand.wrapped, &Terms::new(payee(), 5, 9));
    hash(&stand.settle_until_known(&body).await);
    assert_eq!((stand.nonce(FACILITATOR).await, stand.paid(&stand.wrapped).await), (5, 25));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_takes_nothing_is_waited_for_and_the_result_comes_by_itself() {
    let (stand, proxy) = behind_a_proxy().await;
    let body = X402Payer::new().eip3009(&stand.wrapped, &Terms::new(payee(), 5, 1));
    proxy.refuses(|method| (method == "eth_sendRawTransaction").then_some(Fault::Status(503)));
    let asked = tokio::spawn(stand.try_settle(&body));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(stand.nonce(FACILITATOR).await, 0);
    proxy.refuses(|_| None);
    let told = asked.await.unwrap().unwrap();
    assert!(told["success"] == true || told["errorReason"] == "settlement_pending", "{told}");
    // A success is told once.
    let told = if told["success"] == true { told } else { stand.settle_until_known(&body).await };
    hash(&told);
    assert_eq!((stand.nonce(FACILITATOR).await, stand.paid(&stand.wrapped).await), (1, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_a_reorganization_drops_is_sent_again() {
    let mut stand = Facilitating::start(SALT402).await;
    let payer = X402Payer::new();
    // anvil's reorganizations need some past.
    stand.stack.anvil.mine(3).await;
    let bodies: Vec<Value> =
        (1..=3).map(|number| payer.eip3009(&stand.wrapped, &Terms::new(payee(), 5, number))).collect();
    for body in &bodies {
        hash(&stand.settle(body).await);
    }
    stand.stack.indexed(stand.stack.anvil.height().await).await;
    stand.stack.anvil.reorg(3).await;
    stand.stack.anvil.mine(1).await;
    let give_up = tokio::time::Instant::now() + Duration::from_secs(30);
    while stand.paid(&stand.wrapped).await < 15 {
        assert!(tokio::time::Instant::now() < give_up, "it is not sent again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for body in &bodies {
        let told = stand.settle_until_known(body).await;
        assert!(stand.stack.anvil.block_of(hash(&told)).await.is_some(), "{told}");
    }
    assert_eq!((stand.nonce(FACILITATOR).await, stand.paid(&stand.wrapped).await), (3, 15));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_what_is_being_sent() {
    let mut stand = Facilitating::start(SALT402).await;
    let payer = X402Payer::new();
    let bodies: Vec<Value> =
        (1..=8).map(|number| payer.eip3009(&stand.wrapped, &Terms::new(payee(), 5, number))).collect();
    let asked: Vec<_> = bodies.iter().map(|body| tokio::spawn(stand.try_settle(body))).collect();
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(stand.stack.process.take().unwrap().terminate().success());
    // Who was answered has the truth; who was not asks again.
    let mut told = Vec::new();
    for one in asked {
        told.push(one.await.unwrap());
    }
    stand.up().await;
    for (body, told) in bodies.iter().zip(told) {
        let now = stand.settle_until_known(body).await;
        hash(&now);
        if let Some(told) = told.filter(|told| told["success"] == true) {
            assert_eq!(told, now);
        }
    }
    assert_eq!(stand.paid(&stand.wrapped).await, 40);
}

/// kill -9 between claim, send and receipt. `FACILITATOR_KILLS` says how often, `CRASH_SEED` where.
#[tokio::test(flavor = "multi_thread")]
async fn settlements_survive_kills_and_none_is_sent_twice() {
    const EACH: u64 = 6;
    let kills: u64 = std::env::var("FACILITATOR_KILLS").map_or(10, |text| text.parse().unwrap());
    let seed: u64 = match std::env::var("CRASH_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("CRASH_SEED={seed}");
    let mut drawn = seed;
    let mut draw = move |below: u64| {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (drawn >> 33) % below
    };
    let mut stand = Facilitating::start(SALT402).await;
    let (payer, facilitator): (_, Address) = (X402Payer::new(), FACILITATOR.parse().unwrap());
    stand.approve(payer.address, &stand.wrapped, alloy_primitives::U256::MAX).await;
    let mut bodies = Vec::new();
    let mut told = Vec::new();
    let mut cut = 0;
    for round in 0..kills {
        // Some blocks come by themselves, some late, so that all of claim, send and receipt are cut.
        let by_itself = draw(2) == 0;
        stand.stack.anvil.automine(by_itself).await;
        let from = bodies.len();
        for number in 0..EACH {
            let terms = Terms::new(payee(), 5, round * EACH + number);
            bodies.push(match draw(4) {
                0 => payer.permit2(&stand.wrapped, &terms),
                1 => payer.upto(&stand.wrapped, &terms, facilitator),
                _ => payer.eip3009(&stand.wrapped, &terms),
            });
        }
        let asked: Vec<_> = bodies[from..].iter().map(|body| tokio::spawn(stand.try_settle(body))).collect();
        tokio::time::sleep(Duration::from_millis(draw(120))).await;
        if !by_itself && draw(2) == 0 {
            stand.stack.anvil.mine(1).await;
            tokio::time::sleep(Duration::from_millis(draw(30))).await;
        }
        stand.stack.kill();
        for one in asked {
            let one = one.await.unwrap();
            cut += u64::from(one.is_none());
            told.push(one.filter(|told| told["success"] == true));
        }
        // The next process is sometimes killed while it takes up what the first one left.
        if draw(3) == 0 {
            stand.stack.process = Some(Salt402::start(stand.stack.binary(), "up", &stand.stack.config()));
            tokio::time::sleep(Duration::from_millis(draw(400))).await;
            stand.stack.kill();
        }
        stand.stack.anvil.automine(true).await;
        stand.stack.anvil.mine(1).await;
        stand.up().await;
    }
    assert!(cut > 0, "no settlement was cut off: kill earlier; seed {seed}");
    for (index, body) in bodies.iter().enumerate() {
        let now = stand.settle_until_known(body).await;
        let transaction = hash(&now);
        if let Some(before) = &told[index] {
            assert_eq!(hash(before), transaction, "the result of {index} is another one now, seed {seed}");
        }
    }
    let all = u128::from(kills * EACH);
    assert_eq!(stand.paid(&stand.wrapped).await, 5 * all, "seed {seed}");
    // Each was in one transaction alone that could be mined: one slot each, and none without a use.
    let (code, text) = stand.command(&["settlements", "list", "--limit", "10000", "--json"]);
    assert_eq!(code, 0, "{text}");
    let rows: Value = serde_json::from_str(&text).unwrap();
    let mut used = std::collections::BTreeSet::new();
    for row in rows.as_array().unwrap() {
        assert_eq!(row["state"], "settled", "seed {seed}: {row}");
        let (_, text) = stand.command(&["settlements", "show", &row["number"].to_string(), "--json"]);
        let shown: Value = serde_json::from_str(&text).unwrap();
        let nonces: std::collections::BTreeSet<u64> = shown["transactions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|of| of["nonce"].as_u64().unwrap())
            .collect();
        assert_eq!(nonces.len(), 1, "seed {seed}: {shown}");
        used.extend(nonces);
    }
    let mined = stand.nonce(FACILITATOR).await;
    assert_eq!(used.len() as u64, mined, "transactions without a use; seed {seed}");
    assert_eq!(used.last().copied(), Some(mined - 1), "seed {seed}");
}

/// T19: neither a key nor a signature is in any output.
#[tokio::test(flavor = "multi_thread")]
async fn the_facilitators_secrets_are_in_no_output() {
    const TOKEN: &str = "facilitator-token-7d2c9b41e0f8";
    let options = FacilitatorOptions {
        facilitator: "callers.shop = { token_env = \"SHOP_TOKEN\" }".into(),
        ..Default::default()
    };
    let mut stand = Facilitating::prepare(SALT402, options).await;
    let folder = stand.stack.folder().to_owned();
    std::fs::remove_file(folder.join("settle0.key")).unwrap();
    let text = std::fs::read_to_string(stand.stack.config()).unwrap();
    let text = text.replace("{ file = \"settle0.key\" }", "{ env = \"SETTLE_KEY\" }");
    std::fs::write(stand.stack.config(), text).unwrap();
    let variables = [("SHOP_TOKEN", TOKEN), ("SETTLE_KEY", FACILITATOR_KEY)];
    stand.stack.process =
        Some(Salt402::start_with(stand.stack.binary(), "up", &stand.stack.config(), &variables));
    stand.stack.ready().await;
    stand.ready().await;
    let payer = X402Payer::new();
    let good = payer.eip3009(&stand.wrapped, &Terms::new(payee(), 5, 1));
    let poor = payer.eip3009(&stand.wrapped, &Terms::new(payee(), 10_u128.pow(30), 2));
    let mut broken = payer.eip3009(&stand.wrapped, &Terms::new(payee(), 5, 3));
    broken["paymentPayload"]["payload"]["authorization"]["value"] = json!("x");
    let signatures: Vec<String> = [&good, &poor, &broken]
        .iter()
        .map(|body| body["paymentPayload"]["payload"]["signature"].as_str().unwrap()[2..].to_owned())
        .collect();
    let bearer = format!("Bearer {TOKEN}");
    let (token, wrong) = ([("authorization", bearer.as_str())], format!("{bearer}x"));
    let mut said = Vec::new();
    for body in [&good, &poor, &broken, &json!({ "x402Version": 2, "paymentPayload": TOKEN.len() })] {
        for route in ["verify", "settle"] {
            let url = format!("{}/{route}", stand.url);
            said.push(stand.stack.post(&url, body, &token).await);
            said.push(stand.stack.post(&url, body, &[("authorization", &wrong)]).await);
        }
    }
    assert!(said.iter().any(|answer| answer.status == StatusCode::OK && answer.json()["success"] == true));
    for path in ["/", "/health", "/healthz", "/supported", "/openapi.json"] {
        said.push(stand.stack.get(&format!("{}{path}", stand.url)).await);
    }
    said.push(stand.stack.get(&format!("{}/metrics", stand.stack.verifier)).await);
    let mut outputs: Vec<String> =
        said.iter().map(|answer| format!("{:?}\n{}", answer.headers, answer.body)).collect();
    for arguments in
        [&["settlements", "list"][..], &["settlements", "show", "1"], &["settlements", "show", "1", "--json"]]
    {
        outputs.push(stand.command(arguments).1);
    }
    let process = stand.stack.process.take().unwrap();
    let arguments = std::fs::read(format!("/proc/{}/cmdline", process.id())).unwrap();
    outputs.push(String::from_utf8_lossy(&arguments).into_owned());
    outputs.push(process.log());
    assert!(process.terminate().success());
    let secrets = signatures.into_iter().chain([TOKEN.to_owned(), FACILITATOR_KEY[2..].to_owned()]);
    for secret in secrets {
        for output in &outputs {
            if let Some(at) = output.find(&secret) {
                let around: String =
                    output[..at].chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
                panic!("an output holds {secret}, after: {around}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_settled_beside_citrates_node() {
    let options = FacilitatorOptions {
        stack: StackOptions { citrate: true, chain: "confirmations = 1".into(), ..Default::default() },
        ..Default::default()
    };
    let stand = Facilitating::start_with(SALT402, options).await;
    let payer = X402Payer::new();
    let facilitator: Address = FACILITATOR.parse().unwrap();
    stand.approve(payer.address, &stand.wrapped, alloy_primitives::U256::MAX).await;
    for (what, body) in [
        ("EIP-3009", payer.eip3009(&stand.wrapped, &Terms::new(payee(), 5, 1))),
        ("Permit2", payer.permit2(&stand.wrapped, &Terms::new(payee(), 5, 2))),
        ("upto", payer.upto(&stand.wrapped, &Terms::new(payee(), 5, 3), facilitator)),
    ] {
        assert_eq!(stand.verify(&body).await["isValid"], true, "{what}");
        hash(&stand.settle_until_known(&body).await);
        assert_eq!(stand.verify(&body).await["isValid"], false, "{what}");
    }
    assert_eq!((stand.nonce(FACILITATOR).await, stand.paid(&stand.wrapped).await), (3, 15));
    // A payer that has too little is told so, and nothing is sent.
    let poor = X402Payer::numbered(9).eip3009(&stand.wrapped, &Terms::new(payee(), 5, 4));
    assert_eq!(stand.verify(&poor).await["invalidReason"], "invalid_exact_evm_insufficient_balance");
    let citrate = stand.stack.citrate.as_ref().unwrap();
    let (units, allowed) = citrate.units();
    assert!(units <= allowed, "{units} units of {allowed}");
}
