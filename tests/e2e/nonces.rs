//! A payer signs, somebody else submits and is never heard of again: the nonce is the proof.

use reqwest::StatusCode;
use salt402_protocol::details::PaymentDetails;
use salt402_protocol::{Address, Amount, B256, SignedNonce, U256};
use salt402_tests::signing::{PAYER, approve_permit2_call, exact_call, wrapped_salt_call};
use salt402_tests::{Answer, Stack, StackOptions, TestPayer, inference};
use serde_json::Value;

use crate::SALT402;

/// A stack that is paid in wrapped SALT, by authorizations and over Permit2, and answers at once. The payer has some.
async fn stack() -> Stack {
    stack_with(StackOptions::default()).await
}

/// The same with what else is asked for.
async fn stack_with(options: StackOptions) -> Stack {
    let options = StackOptions {
        payment: "asset = \"WRAPPED_SALT\"\nasset_symbol = \"SALT\"\nasset_decimals = 18".into(),
        chain: format!(
            "{}\n[[chains.local.sources]]\nkind = \"eip3009-token\"\n[[chains.local.sources]]\nkind = \"x402-exact-proxy\"\n",
            options.chain
        ),
        gateway: "wait_ms = 0".into(),
        ..options
    };
    let stack = Stack::start_with(SALT402, options).await;
    let token = stack.deployment.wrapped_salt;
    stack.payer().wrap(token, Amount(U256::from(1_000_000))).await;
    stack.payer().call(token, approve_permit2_call(), Amount::ZERO).await;
    stack
}

/// What the payer signed to pay for a 402.
#[derive(Clone, Copy, Debug)]
enum Signed {
    Authorization,
    Permit,
}

impl Signed {
    fn nonce(self, details: &PaymentDetails, token: Address) -> SignedNonce {
        let payer = PAYER.parse().unwrap();
        match self {
            Self::Authorization => {
                SignedNonce::Eip3009 { token, authorizer: payer, nonce: details.reference }
            }
            Self::Permit => {
                SignedNonce::Permit2 { owner: payer, nonce: U256::from_be_bytes(details.reference.0) }
            }
        }
    }

    /// Somebody submits it. Returns the transaction, which the payer does not know.
    async fn submit(self, stack: &Stack, from: &TestPayer, details: &PaymentDetails) -> B256 {
        let (token, proxy) = (stack.deployment.wrapped_salt, stack.deployment.exact_proxy);
        match self {
            Self::Authorization => from.call(token, wrapped_salt_call(details, token), Amount::ZERO).await,
            Self::Permit => from.call(proxy, exact_call(details, token, proxy), Amount::ZERO).await,
        }
    }
}

async fn show(stack: &Stack, body: &Value, proof: &str) -> Answer {
    stack.infer(body, &[("x-payment-proof", proof)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signed_and_does_not_know_the_transaction_shows_the_nonce() {
    the_nonce_is_the_proof(stack().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_pays_beside_citrates_node() {
    let stack = stack_with(StackOptions {
        citrate: true,
        chain: "confirmations = 1".into(),
        ..StackOptions::default()
    })
    .await;
    the_nonce_is_the_proof(stack).await;
}

async fn the_nonce_is_the_proof(mut stack: Stack) {
    let token = stack.deployment.wrapped_salt;
    for (signed, prompt) in [(Signed::Authorization, "authorized"), (Signed::Permit, "over permit2")] {
        let (body, asked) = (inference(prompt), stack.upstream.asked());
        let details = stack.quote(&body).await;
        let nonce = signed.nonce(&details, token);
        let proof = nonce.to_string();

        // Before it is settled: not seen, and nobody is led to pay again.
        let early = show(&stack, &body, &proof).await;
        assert_eq!((early.status, early.code().as_str()), (StatusCode::PAYMENT_REQUIRED, "payment_not_seen"));
        assert!(early.json()["detail"].as_str().unwrap().contains("do not pay again"), "{}", early.body);
        assert!(!early.headers.contains_key("x-payment-details"), "{:?}", early.headers);

        let transaction = signed.submit(&stack, &TestPayer::submitter(&stack.anvil), &details).await;
        stack.indexed(stack.anvil.height().await).await;
        // For another request it is no proof, and uses nothing up.
        let other = show(&stack, &inference("something else"), &proof).await;
        assert_eq!(other.code(), "reference_mismatch", "{}", other.body);

        let answer = show(&stack, &body, &proof).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let receipt: Value =
            serde_json::from_str(answer.headers["x-payment-receipt"].to_str().unwrap()).unwrap();
        assert_eq!(receipt["transaction"], transaction.to_string());
        assert_eq!(receipt["payment_id"], nonce.payment_id(salt402_protocol::ChainId::CITRATE).to_string());
        // Hash and nonce are one payment, and one execution.
        for again in [transaction.to_string(), proof] {
            let again = show(&stack, &body, &again).await;
            assert_eq!((again.status, &again.body), (StatusCode::OK, &answer.body));
        }
        if let SignedNonce::Permit2 { owner, nonce } = nonce {
            let decimal = format!("permit2:{owner}:{nonce}");
            assert_eq!(show(&stack, &body, &decimal).await.body, answer.body);
        }
        assert_eq!(stack.upstream.asked(), asked + 1);
    }
    assert_eq!(stack.status().await["claims"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_with_hashes_and_nonces_of_one_payment_is_one_execution() {
    let mut stack = stack().await;
    let token = stack.deployment.wrapped_salt;
    let body = inference("both at once");
    let details = stack.quote(&body).await;
    let nonce = Signed::Permit.nonce(&details, token).to_string();
    let hash = Signed::Permit.submit(&stack, &TestPayer::submitter(&stack.anvil), &details).await.to_string();
    stack.indexed(stack.anvil.height().await).await;
    let mut crowd = tokio::task::JoinSet::new();
    for place in 0..30 {
        let proof = if place % 2 == 0 { &nonce } else { &hash };
        let url = format!("{}/v1/inference", stack.gateway);
        let request = stack.client.post(url).json(&body).header("x-payment-proof", proof);
        let request = request.header("x-payment-quote", details.quote_id.as_str());
        crowd.spawn(async move {
            let answer = request.send().await.unwrap();
            (answer.status(), answer.text().await.unwrap())
        });
    }
    let answers = crowd.join_all().await;
    for answer in &answers {
        assert_eq!(*answer, (StatusCode::OK, answers[0].1.clone()));
    }
    assert_eq!(stack.upstream.asked(), 1);
    assert_eq!(stack.status().await["claims"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_is_not_what_paid_is_refused_or_waited_for() {
    let mut stack = stack().await;
    let (token, body) = (stack.deployment.wrapped_salt, inference("refusals"));
    let details = stack.quote(&body).await;
    let nonce = Signed::Authorization.nonce(&details, token);
    Signed::Authorization.submit(&stack, &TestPayer::submitter(&stack.anvil), &details).await;
    stack.indexed(stack.anvil.height().await).await;
    let (reference, submitter) = (details.reference, TestPayer::submitter(&stack.anvil));
    // The same numbers in another place name another payment, which nobody made.
    for (proof, code) in [
        (format!("permit2:{PAYER}:{reference}"), "payment_not_seen"),
        (format!("eip3009:{token}:{}:{reference}", salt402_tests::PAYEE), "payment_not_seen"),
        (format!("eip3009:{}:{PAYER}:{reference}", stack.deployment.salt), "no_payment"),
        (format!("eip3009:{token}:{PAYER}:{reference}:0"), "malformed_proof"),
        (format!("eip3009:{token}:{PAYER}"), "malformed_proof"),
        (format!("permit2:{PAYER}:0x1"), "malformed_proof"),
    ] {
        let refused = show(&stack, &body, &proof).await;
        assert_eq!(refused.code(), code, "{proof}: {}", refused.body);
    }
    // An authorization that the token refuses a second time pays nothing: its nonce still names the first.
    let again = Signed::Authorization.submit(&stack, &submitter, &details).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(show(&stack, &body, &again.to_string()).await.code(), "transaction_reverted");
    assert_eq!(stack.upstream.asked(), 0);
    assert_eq!(show(&stack, &body, &nonce.to_string()).await.status, StatusCode::OK);
    assert_eq!((stack.upstream.asked(), stack.status().await["claims"].as_u64()), (1, Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_is_good_again_when_somebody_settles_it_after_a_reorganization() {
    let mut stack = stack().await;
    let token = stack.deployment.wrapped_salt;
    for (signed, prompt, granted) in [
        (Signed::Authorization, "granted before", true),
        (Signed::Permit, "granted after", false),
        (Signed::Permit, "granted before over permit2", true),
    ] {
        let (body, asked) = (inference(prompt), stack.upstream.asked());
        let details = stack.quote(&body).await;
        let proof = signed.nonce(&details, token).to_string();
        let first = signed.submit(&stack, &TestPayer::submitter(&stack.anvil), &details).await;
        stack.indexed(stack.anvil.height().await).await;
        if granted {
            assert_eq!(show(&stack, &body, &proof).await.status, StatusCode::OK);
        }
        let known = format!("{}/v1/payments/{first}?chain=eip155:40204", stack.verifier);
        stack.until(&known, |answer| answer.json()["payments"][0]["canonical"] == true).await;
        stack.anvil.reorg(1).await;
        stack.until(&known, |answer| answer.json()["payments"][0]["canonical"] == false).await;
        let dropped = show(&stack, &body, &proof).await;
        assert_eq!(dropped.code(), "payment_orphaned", "{}", dropped.body);
        assert!(!dropped.headers.contains_key("x-payment-details"), "{:?}", dropped.headers);
        assert_eq!(stack.status().await["open_incidents"], u64::from(granted));

        // Another account submits the same signature: another transaction, and the same payment.
        let second = signed.submit(&stack, &stack.payer(), &details).await;
        assert_ne!(first, second);
        stack.indexed(stack.anvil.height().await).await;
        let answer = show(&stack, &body, &proof).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(show(&stack, &body, &second.to_string()).await.body, answer.body);
        // Who knows the first transaction's hash alone is led to the payment too.
        assert_eq!(show(&stack, &body, &first.to_string()).await.body, answer.body);
        assert_eq!(stack.upstream.asked(), asked + 1);
        assert_eq!(stack.status().await["open_incidents"], 0);
    }
    assert_eq!(stack.status().await["claims"], 3);
}
