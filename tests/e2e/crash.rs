//! kill -9 between any two lines.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use salt402_protocol::api::{QuoteRequest, QuoteResponse, Requirement, Verdict, VerifyRequest};
use salt402_protocol::{Amount, Asset, B256, ChainId, Proof, RequestDigest, U256};
use salt402_tests::{Stack, StackOptions, inference};

use crate::SALT402;

#[tokio::test(flavor = "multi_thread")]
async fn a_back_fill_that_is_killed_goes_on_and_ends_with_exact_rows() {
    const PAYMENTS: u64 = 120;
    // Ranges of two blocks, so that the back-fill takes many steps to be killed between.
    let chain = "[chains.local.overrides]\nlogs_range = 2".to_owned();
    let mut stack =
        Stack::start_with(SALT402, StackOptions { chain, idle: true, ..Default::default() }).await;
    let payer = stack.payer();
    let payee = salt402_tests::PAYEE.parse().unwrap();
    let mut transactions = Vec::new();
    for index in 0..PAYMENTS {
        let reference = B256::left_padding_from(&(index + 1).to_be_bytes());
        let amount = (index + 1).to_string().parse().unwrap();
        let prepared = payer.prepare(stack.deployment.salt_pay, reference, payee, amount).await;
        transactions.push(payer.send(&prepared).await);
    }
    // Anywhere between a start that has opened nothing and an index that is nearly done.
    let seed: u64 = match std::env::var("CRASH_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("CRASH_SEED={seed}");
    const KILLS: u64 = 20;
    let mut drawn = seed;
    for _ in 0..KILLS {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pause = 40 + (drawn >> 33) % 260;
        let process = stack.role("up");
        tokio::time::sleep(Duration::from_millis(pause)).await;
        process.kill();
    }
    stack.up().await;
    stack.indexed(stack.anvil.height().await).await;
    let status = stack.status().await;
    assert_eq!(status["chains"][0]["payments"], PAYMENTS, "after {KILLS} kills, seed {seed}: {status}");
    for (index, transaction) in transactions.iter().enumerate() {
        let url = format!("{}/v1/payments/{transaction}?chain=eip155:40204", stack.verifier);
        let known = stack.get(&url).await.json();
        let payments = known["payments"].as_array().unwrap();
        assert_eq!(payments.len(), 1, "{index}: {known}");
        assert_eq!(payments[0]["amount"], (index + 1).to_string());
        assert_eq!(payments[0]["block_number"].as_u64(), stack.anvil.block_of(*transaction).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_claimed_and_not_answered_is_run_again_for_its_payer() {
    let mut stack = Stack::start(SALT402).await;
    stack.upstream.delay(Duration::from_secs(30));
    let body = inference("interrupted");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let request = stack
        .client
        .post(format!("{}/v1/inference", stack.gateway))
        .header("x-payment-proof", proof.to_string())
        .json(&body);
    let broken = tokio::spawn(async move { request.send().await.is_err() });
    while stack.upstream.asked() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stack.kill();
    assert!(broken.await.unwrap(), "nobody was answered");

    stack.upstream.delay(Duration::ZERO);
    stack.up().await;
    assert_eq!(stack.status().await["claims"], 1, "the claim was on disk before the run");
    let other = stack.infer_with(&inference("somebody else's"), proof).await;
    assert_eq!(other.code(), "reference_mismatch");
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.json()["output"], "answer 2");
    assert_eq!(stack.infer_with(&body, proof).await.body, answer.body);
    assert_eq!(stack.status().await["claims"], 1);
}

/// What a payment in the load is for, and its proof.
struct Paid {
    requirement: Requirement,
    transaction: B256,
}

impl Paid {
    fn claim(&self, claimant: &str) -> VerifyRequest {
        VerifyRequest {
            proof: Proof::transaction(self.transaction),
            quote_id: None,
            requirement: self.requirement,
            claim: true,
            claimant: claimant.into(),
            wait_ms: 0,
            usage: None,
            by_use: false,
            at_least: None,
            raises: None,
            again_only: false,
            instance: None,
            client: None,
            credit: None,
        }
    }
}

async fn pay(stack: &Stack, number: u64) -> Paid {
    let requirement = Requirement {
        chain: ChainId::CITRATE,
        payee: salt402_tests::PAYEE.parse().unwrap(),
        asset: Asset::Native,
        amount: Amount(U256::from(7)),
        request_digest: RequestDigest(B256::left_padding_from(&number.to_be_bytes())),
        confirmations: None,
    };
    let Requirement { chain, payee, asset, amount, request_digest, .. } = requirement;
    let asked =
        QuoteRequest { chain, payee, asset, amount, request_digest, secret: false, claimant: String::new() };
    let asked = serde_json::to_value(asked).unwrap();
    let answer = stack.post(&format!("{}/v1/quotes", stack.verifier), &asked, &[]).await;
    let quote: QuoteResponse = serde_json::from_str(&answer.body).unwrap();
    let payer = stack.payer();
    let prepared = payer.prepare(quote.payment_contract, quote.reference, payee, amount).await;
    Paid { requirement, transaction: payer.send(&prepared).await }
}

/// Asks for a claim; `None` where nobody answered.
async fn ask(client: reqwest::Client, url: String, claim: VerifyRequest) -> Option<Verdict> {
    let response = client.post(url).json(&claim).send().await.ok()?;
    let text = response.text().await.ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn first(verdict: &Verdict) -> Option<bool> {
    match verdict {
        Verdict::Accepted { claim, .. } => Some(claim.as_ref().expect("a claim").first),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_under_load_survive_kills_and_none_is_made_twice() {
    const PAYMENTS: u64 = 96;
    const CLAIMANTS: [&str; 3] = ["one", "two", "three"];
    // Nothing becomes final meanwhile, so that the sum of what was granted is checked too.
    let chain = "[chains.local.policy]\nexposure = [{ most = \"1 SALT\" }]\n\
                 [chains.local.overrides]\nfinality_depth = 900\nreorg_window = 1000";
    let mut stack =
        Stack::start_with(SALT402, StackOptions { chain: chain.into(), ..Default::default() }).await;
    let mut paid = Vec::new();
    for number in 0..PAYMENTS {
        paid.push(pay(&stack, number).await);
    }
    stack.indexed(stack.anvil.height().await).await;

    let url = format!("{}/v1/verify", stack.verifier);
    let mut granted: Vec<Option<&str>> = vec![None; paid.len()];
    let mut cut = 0;
    for pause in [2, 5, 9, 14, 20] {
        let claims: Vec<_> = (0..paid.len())
            .flat_map(|index| CLAIMANTS.map(|claimant| (index, claimant)))
            .map(|(index, claimant)| {
                let asked = ask(stack.client.clone(), url.clone(), paid[index].claim(claimant));
                (index, claimant, tokio::spawn(asked))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        stack.kill();
        for (index, claimant, asked) in claims {
            match asked.await.unwrap() {
                None => cut += 1,
                Some(verdict) => match (first(&verdict), granted[index]) {
                    (Some(true), known) => {
                        assert_eq!(known, None, "payment {index} was granted twice");
                        granted[index] = Some(claimant);
                    }
                    // Made in an earlier life, whose answer was cut off, or answered here before.
                    (Some(false), None) => granted[index] = Some(claimant),
                    (Some(false), Some(known)) => assert_eq!(known, claimant, "payment {index}"),
                    (None, _) => {}
                },
            }
        }
        stack.up().await;
    }
    assert!(cut > 0, "no claim was cut off: kill earlier");

    for (index, paid) in paid.iter().enumerate() {
        let mut holders = Vec::new();
        for claimant in CLAIMANTS {
            let verdict = ask(stack.client.clone(), url.clone(), paid.claim(claimant)).await.unwrap();
            if let Some(first) = first(&verdict) {
                assert!(!first || granted[index].is_none(), "payment {index}: an acknowledged claim is gone");
                holders.push(claimant);
            }
        }
        assert_eq!(holders.len(), 1, "payment {index}: {holders:?}");
        assert!(granted[index].is_none_or(|known| known == holders[0]), "payment {index}: {holders:?}");
    }
    assert_eq!(stack.status().await["claims"], PAYMENTS);
    let exposed = format!("salt402_exposure{{chain=\"eip155:40204\",asset=\"native\"}} {}", 7 * PAYMENTS);
    let metrics = format!("{}/metrics", stack.verifier);
    stack.until(&metrics, |answer| answer.body.contains(&exposed)).await;
}
