//! A request is paid, run once and answered.

use std::time::Duration;

use reqwest::StatusCode;
use salt402_protocol::RequestDigest;
use salt402_protocol::details::PaymentDetails;
use salt402_tests::{PAYEE, Stack, StackOptions, inference, payment_details};

use crate::SALT402;

#[tokio::test(flavor = "multi_thread")]
async fn a_402_says_what_is_paid_for_and_how() {
    let stack = Stack::start(SALT402).await;
    let body = inference("hello");
    let answer = stack.infer(&body, &[]).await;
    let details = payment_details(&answer);
    assert_eq!(details.amount.to_string(), "1016");
    assert_eq!(details.asset.to_string(), "native");
    assert_eq!((details.chain_id, details.network.as_str()), (40204, "local"));
    assert_eq!(details.recipient.to_string(), PAYEE);
    assert_eq!(details.payment_contract, stack.deployment.salt_pay);
    assert_eq!(details.reference, details.quote_id.reference());
    let digest = RequestDigest::of("POST", "/v1/inference", body.to_string().as_bytes());
    assert_eq!(details.resource.request_digest, digest);

    assert_eq!(answer.headers["cache-control"], "no-store, private");
    assert_eq!(answer.code(), "payment_required");
    let in_body: PaymentDetails = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(in_body, details);
    assert_eq!(stack.upstream.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_request_is_run_once_and_a_retry_gets_the_same_answer() {
    let stack = Stack::start(SALT402).await;
    let body = inference("hello");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;

    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.json()["output"], "answer 1");
    assert_eq!(answer.headers["cache-control"], "no-store, private");
    assert!(answer.headers["server-timing"].to_str().unwrap().starts_with("payment;"));
    let receipt: serde_json::Value =
        serde_json::from_str(answer.headers["x-payment-receipt"].to_str().unwrap()).unwrap();
    assert_eq!(receipt["transaction"], proof.to_string());
    assert_eq!(receipt["amount"], "1016");

    for _ in 0..3 {
        assert_eq!(stack.infer_with(&body, proof).await.body, answer.body);
    }
    assert_eq!(stack.upstream.asked(), 1);

    let known = stack.get(&format!("{}/v1/payments/{proof}?chain=eip155:40204", stack.verifier)).await.json();
    assert_eq!(known["payments"].as_array().unwrap().len(), 1);
    assert_eq!(known["payments"][0]["claimed"], true);
    assert_eq!(known["payments"][0]["reference"], details.reference.to_string());
    let status = stack.status().await;
    assert_eq!((status["claims"].as_u64(), status["chains"][0]["payments"].as_u64()), (Some(1), Some(1)));
    let metrics = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
    assert!(metrics.contains("salt402_claims_total 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_copies_of_one_proof_are_one_execution() {
    let stack = Stack::start(SALT402).await;
    stack.upstream.delay(Duration::from_millis(200));
    let body = inference("a hundred times");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let copies: Vec<_> = (0..100)
        .map(|_| {
            let request = stack
                .client
                .post(format!("{}/v1/inference", stack.gateway))
                .header("x-payment-proof", proof.to_string())
                .header("x-payment-quote", details.quote_id.as_str())
                .json(&body);
            tokio::spawn(async move {
                let response = request.send().await.unwrap();
                (response.status(), response.text().await.unwrap())
            })
        })
        .collect();
    for copy in copies {
        let (status, text) = copy.await.unwrap();
        assert_eq!(status, StatusCode::OK, "{text}");
        assert!(text.contains("answer 1\""), "{text}");
    }
    assert_eq!(stack.upstream.asked(), 1);
    assert_eq!(stack.status().await["claims"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_survives_a_restart() {
    let mut stack = Stack::start(SALT402).await;
    let body = inference("kept");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert!(stack.process.take().unwrap().terminate().success());
    stack.up().await;
    assert_eq!(stack.infer_with(&body, proof).await.body, answer.body);
    assert_eq!(stack.upstream.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_model_server_uses_nothing_up() {
    let stack = Stack::start(SALT402).await;
    stack.upstream.fail(2);
    let body = inference("try again");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    for wait in 1..=2 {
        let answer = stack.infer_with(&body, proof).await;
        // No status after which a client pays anew.
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::FAILED_DEPENDENCY, "upstream_failed")
        );
        assert_eq!(answer.headers["retry-after"], wait.to_string());
        assert_eq!(answer.headers["x-should-retry"], "false");
        tokio::time::sleep(Duration::from_secs(wait)).await;
    }
    let answer = stack.infer_with(&body, proof).await;
    assert_eq!(answer.json()["output"], "answer 3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_of_ones_own_is_nobody_elses() {
    let stack = Stack::start(SALT402).await;
    let body = inference("mine");
    let details = payment_details(&stack.infer(&body, &[("x-payment-binding", "quote")]).await);
    let shared = stack.quote(&body).await;
    assert_ne!(details.reference, shared.reference);
    let proof = stack.payer().pay(&details).await.to_string();

    // Whoever reads the hash off the chain and sends the identical request gets nothing.
    let stolen = stack.infer(&body, &[("x-payment-proof", &proof)]).await;
    assert_eq!((stolen.status, stolen.code().as_str()), (StatusCode::PAYMENT_REQUIRED, "reference_mismatch"));
    let quote = details.quote_id.as_str();
    let answer = stack.infer(&body, &[("x-payment-proof", &proof), ("x-payment-quote", quote)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(stack.upstream.asked(), 1);
}

/// Everybody can read the hash off the chain and send the same popular prompt.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_quote_id_an_answer_is_given_again_a_few_times_and_to_its_payer_as_often_as_it_asks() {
    let gateway = "bare_again = 2".to_owned();
    let mut stack = Stack::start_with(SALT402, StackOptions { gateway, ..Default::default() }).await;
    let body = inference("popular");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    let strangers: Vec<_> = (0..20)
        .map(|_| {
            let request = stack.client.post(format!("{}/v1/inference", stack.gateway));
            let request = request.header("x-payment-proof", proof.to_string()).json(&body);
            tokio::spawn(async move {
                let response = request.send().await.unwrap();
                (response.status(), response.headers().contains_key("x-payment-details"))
            })
        })
        .collect();
    let mut served = 0;
    for stranger in strangers {
        match stranger.await.unwrap() {
            (StatusCode::OK, _) => served += 1,
            refused => {
                assert_eq!(refused, (StatusCode::PAYMENT_REQUIRED, false), "nobody is led to pay again");
            }
        }
    }
    assert_eq!(served, 3, "once, and twice again");
    let refused = stack.infer_with(&body, proof).await;
    assert_eq!(refused.code(), "quote_required");
    let (hash, quote) = (proof.to_string(), details.quote_id.as_str());
    let payment = [("x-payment-proof", hash.as_str()), ("x-payment-quote", quote)];
    for _ in 0..5 {
        assert_eq!(stack.infer(&body, &payment).await.json()["output"], "answer 1");
    }
    // A restart forgets the count and no more than that.
    stack.kill();
    stack.up().await;
    let mut again = 0;
    for _ in 0..10 {
        again += usize::from(stack.infer_with(&body, proof).await.status == StatusCode::OK);
    }
    assert!(again <= 3, "{again}");
    assert_eq!(stack.infer(&body, &payment).await.json()["output"], "answer 1");
    assert_eq!(stack.upstream.asked(), 1);
}
