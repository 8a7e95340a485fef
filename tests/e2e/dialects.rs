//! Other dialects of a 402: what it asks in them, and what is shown in them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::{Method, StatusCode};
use salt402_protocol::{B256, keccak256};
use salt402_tests::x402::{Terms, Token, X402Payer};
use salt402_tests::{Answer, Facilitating, FacilitatorOptions, Stack, StackOptions, TestService, inference};
use salt402_tests::{PAYEE, payment_details};
use serde_json::{Value, json};

use crate::SALT402;
use crate::services::{Asked, FREE, PAID, selling};
use crate::signed::{SIGNATURES, is_final};

/// The most bytes of headers of a 402.
const MOST_OF_HEADERS: usize = 8 * 1024;

fn decoded(text: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).unwrap()).unwrap()
}

/// The challenges of a 402, with what each requests.
fn challenges(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.body);
    let of = |value: &reqwest::header::HeaderValue| {
        let text = value.to_str().unwrap().strip_prefix("Payment ").unwrap();
        let mut challenge: Value = text
            .split(", ")
            .map(|part| part.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), json!(value.trim_matches('"'))))
            .collect();
        challenge["asked"] = decoded(challenge["request"].as_str().unwrap());
        challenge
    };
    answer.headers.get_all("www-authenticate").iter().map(of).collect()
}

fn credential(challenge: &Value, payload: &Value) -> String {
    let mut echo = challenge.clone();
    echo.as_object_mut().unwrap().remove("asked");
    let credential = json!({ "challenge": echo, "payload": payload });
    format!("Payment {}", URL_SAFE_NO_PAD.encode(credential.to_string()))
}

fn receipt(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    decoded(answer.headers["payment-receipt"].to_str().unwrap())
}

async fn by_hash(stack: &Stack, unpaid: &Answer) -> String {
    let hash = stack.payer().pay(&payment_details(unpaid)).await;
    let challenge = challenges(unpaid).pop().unwrap();
    credential(&challenge, &json!({ "type": "hash", "hash": hash }))
}

/// What is signed for a challenge.
fn signed(payer: &X402Payer, token: &Token, challenge: &Value, valid_before: u64) -> String {
    let asked = &challenge["asked"];
    let (id, realm) = (challenge["id"].as_str().unwrap(), challenge["realm"].as_str().unwrap());
    let terms = Terms {
        nonce: keccak256(format!("{id}{realm}")),
        valid_before,
        ..Terms::new(PAYEE.parse().unwrap(), asked["amount"].as_str().unwrap().parse().unwrap(), 0)
    };
    let sent = payer.eip3009(token, &terms);
    let sent = &sent["paymentPayload"]["payload"];
    let mut payload = sent["authorization"].clone();
    payload["type"] = json!("authorization");
    payload["signature"] = sent["signature"].clone();
    credential(challenge, &payload)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_402_asks_in_every_dialect_within_the_headers_that_clients_take() {
    let stack = StackOptions { payment: SIGNATURES.into(), ..StackOptions::default() };
    let stand = Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    let unpaid = stand.stack.infer(&inference("asks"), &[]).await;
    let bytes: usize = unpaid.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    assert!(bytes <= MOST_OF_HEADERS, "{bytes} bytes");
    let details = payment_details(&unpaid);
    let [by_signature, by_transaction] = challenges(&unpaid).try_into().unwrap();
    for challenge in [&by_signature, &by_transaction] {
        assert_eq!(challenge["id"], details.quote_id.as_str());
        assert_eq!(challenge["intent"], "charge");
        assert!(stand.stack.gateway.ends_with(challenge["realm"].as_str().unwrap()), "{challenge}");
        assert_eq!(challenge["asked"]["amount"], details.amount.to_string());
        assert_eq!(challenge["asked"]["methodDetails"]["chainId"], 40204);
        assert_eq!(challenge["asked"]["recipient"], PAYEE);
    }
    assert_eq!(by_signature["method"], "evm");
    assert_eq!(by_signature["asked"]["currency"], stand.wrapped.address.to_string());
    assert_eq!(by_transaction["method"], "salt402");
    assert_eq!(by_transaction["asked"]["methodDetails"]["reference"], details.reference.to_string());
    // Citrate has no name in version 1 of x402.
    assert!(unpaid.json().get("accepts").is_none());

    // The operator chooses.
    let payment = format!("dialects = [\"x402\"]\n{SIGNATURES}");
    let stack = StackOptions { payment, ..StackOptions::default() };
    let stand = Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    let unpaid = stand.stack.infer(&inference("asks"), &[]).await;
    assert!(challenges(&unpaid).is_empty());
    assert!(unpaid.headers.contains_key("payment-required"));
}

#[tokio::test(flavor = "multi_thread")]
async fn t1_a_credential_of_mpp_pays_for_one_request_as_a_hash_or_as_a_signature() {
    let stack = StackOptions { payment: SIGNATURES.into(), ..StackOptions::default() };
    let stand = Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    let stack = &stand.stack;
    let payer = X402Payer::new();
    stand.fund(payer.address, 1_000_000_000_000_000_000).await;

    // A transaction.
    let unpaid = stack.infer(&inference("by hash"), &[]).await;
    let hash = by_hash(stack, &unpaid).await;
    let paid = stack.infer(&inference("by hash"), &[("authorization", &hash)]).await;
    let told = receipt(&paid);
    assert_eq!((&told["method"], &told["status"]), (&json!("salt402"), &json!("success")));
    assert!(!paid.headers.contains_key("payment-response"));
    let again = stack.infer(&inference("by hash"), &[("payment-authorization", &hash)]).await;
    assert_eq!(again.body, paid.body);
    // Shown for another request it pays for nothing, and its client is not led to pay again.
    let other = stack.infer(&inference("another"), &[("authorization", &hash)]).await;
    assert_eq!(other.status, StatusCode::PAYMENT_REQUIRED, "no money of it was for this: {}", other.body);

    // A signature.
    let unpaid = stack.infer(&inference("by signature"), &[]).await;
    let [challenge, _] = challenges(&unpaid).try_into().unwrap();
    let credential = signed(&payer, &stand.wrapped, &challenge, 3_350_000_000);
    let before = stand.paid(&stand.wrapped).await;
    let paid = stack.infer(&inference("by signature"), &[("authorization", &credential)]).await;
    let told = receipt(&paid);
    assert_eq!(told["method"], "evm");
    let hash: B256 = told["reference"].as_str().unwrap().parse().unwrap();
    assert!(stack.anvil.block_of(hash).await.is_some());
    let price: u128 = challenge["asked"]["amount"].as_str().unwrap().parse().unwrap();
    assert_eq!(stand.paid(&stand.wrapped).await - before, price);
    assert_eq!(
        stack.infer(&inference("by signature"), &[("authorization", &credential)]).await.body,
        paid.body
    );
    let other = stack.infer(&inference("another"), &[("authorization", &credential)]).await;
    is_final(&other, "signature_used");
    assert_eq!(stand.paid(&stand.wrapped).await - before, price, "the money moved once");

    // What was signed for another challenge, and what comes with something else to pay with.
    let unpaid = stack.infer(&inference("third"), &[]).await;
    let [challenge, _] = challenges(&unpaid).try_into().unwrap();
    let mut moved = challenge.clone();
    moved["realm"] = json!("elsewhere.example");
    let elsewhere = signed(&payer, &stand.wrapped, &moved, 3_350_000_000);
    let mut echo = decoded(elsewhere.strip_prefix("Payment ").unwrap());
    echo["challenge"]["realm"] = challenge["realm"].clone();
    let forged = format!("Payment {}", URL_SAFE_NO_PAD.encode(echo.to_string()));
    let here = signed(&payer, &stand.wrapped, &challenge, 3_350_000_000);
    for headers in [
        &[("authorization", forged.as_str())][..],
        &[("authorization", &here), ("payment-signature", "e30=")],
        &[("authorization", &here), ("payment-authorization", &here)],
        &[("authorization", &here), ("x-payment", "e30=")],
        &[("authorization", &here), ("x-payment-proof", &hash.to_string())],
    ] {
        let refused = stack.infer(&inference("third"), headers).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{headers:?} {}", refused.body);
    }
    assert_eq!(stand.paid(&stand.wrapped).await - before, price);
    assert_eq!(stack.upstream.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn version_1_of_x402_is_refused_for_a_chain_that_it_has_no_name_for() {
    let stack = StackOptions { payment: SIGNATURES.into(), ..StackOptions::default() };
    let stand = Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    let payer = X402Payer::new();
    let sent = payer.eip3009(&stand.wrapped, &Terms::new(PAYEE.parse().unwrap(), 5, 1));
    let payload = json!({
        "x402Version": 1, "scheme": "exact", "network": "base", "payload": sent["paymentPayload"]["payload"],
    });
    let shown = STANDARD.encode(payload.to_string());
    let refused = stand.stack.infer(&inference("v1"), &[("x-payment", &shown)]).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::PAYMENT_REQUIRED, "signature_refused".into()));
    assert_eq!(stand.paid(&stand.wrapped).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_pays_is_not_passed_on_to_what_is_sold() {
    let service = TestService::start().await;
    let stack = Stack::start_with(SALT402, selling(&service, "pass_credentials = true", &[FREE, PAID])).await;
    let unpaid = Asked::get(&stack, "/paid/a").send(&stack).await;
    let hash = by_hash(&stack, &unpaid).await;
    let asked = Asked::of(&stack, Method::GET, "/paid/a", Vec::new());
    let paid = asked.clone().with("authorization", hash.clone()).with("authorization", "Bearer theirs");
    let answer = paid.send(&stack).await;
    receipt(&answer);
    let [received] = service.received().try_into().unwrap();
    let passed: Vec<_> = received.headers.iter().filter(|(name, _)| name.contains("authorization")).collect();
    assert_eq!(passed, [&("authorization".to_owned(), "Bearer theirs".to_owned())]);
    assert_eq!(received.header("payment-authorization"), None);
}
