//! Charging by use where something comes late: a signature that ends too soon, one that is given up, and a settlement that takes its time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy_primitives::{U256, hex};
use alloy_sol_types::SolCall as _;
use reqwest::StatusCode;
use salt402_protocol::contracts::{IX402Permit2Proxy as Shared, IX402UptoPermit2Proxy as Upto};
use salt402_protocol::typed_data::X402_UPTO_PROXY;
use salt402_protocol::{ChainId, SignedNonce};
use salt402_store::{ChargeState, Options, Store};
use salt402_tests::x402::{Terms, X402Payer};
use salt402_tests::{Answer, Facilitating, PAYEE, Scripted};
use serde_json::{Value, json};

use crate::charging::{CHAT, USED, asked, chat, paid, post, settled, sign, sign_until, stand, stand_of};

/// Shows a signature until it is answered. Before that, nobody is told to pay.
async fn shown(stand: &Facilitating, body: &Value, signed: &str) -> Answer {
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = post(stand, CHAT, body, Some(signed)).await;
        if answer.status.is_success() || Instant::now() > give_up {
            return answer;
        }
        assert_ne!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.body);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whoever is told to sign anew is served when it does.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_signs_anew_for_what_was_given_up_or_came_too_late_is_served() {
    let stand = stand().await;
    let payer = X402Payer::new();

    // The model server refuses the request for good, and is mended.
    let body = chat("given up", false);
    let signed = sign(&stand, &payer, &asked(&stand, CHAT, &body).await, 1);
    let refusal = r#"{"error":{"message":"no","type":"invalid_request_error"}}"#;
    stand.stack.upstream.script(Scripted::json(400, refusal));
    let told = post(&stand, CHAT, &body, Some(&signed)).await;
    assert!(told.code() == "signature_used" && told.body.contains("sign anew"), "{}", told.body);
    let anew = sign(&stand, &payer, &asked(&stand, CHAT, &body).await, 2);
    assert_eq!(settled(&shown(&stand, &body, &anew).await)["amount"], USED.to_string());
    paid(&stand, USED).await;
    // The first still pays for nothing.
    assert_eq!(post(&stand, CHAT, &body, Some(&signed)).await.code(), "signature_used");

    // A signature ends too soon to be settled after the run.
    let body = chat("too late", false);
    let required = asked(&stand, CHAT, &body).await;
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 20;
    let asked_before = stand.stack.upstream.asked();
    let told = post(&stand, CHAT, &body, Some(&sign_until(&stand, &payer, &required, 3, soon))).await;
    assert!(told.code() == "signature_refused" && told.body.contains("Sign anew"), "{}", told.body);
    assert_eq!(stand.stack.upstream.asked(), asked_before);
    let anew = sign(&stand, &payer, &required, 4);
    assert_eq!(settled(&shown(&stand, &body, &anew).await)["amount"], USED.to_string());
    paid(&stand, 2 * USED).await;
}

/// Nothing was charged of a signature. Whoever then uses its nonce on the chain, for almost nothing, has not paid by that.
#[tokio::test(flavor = "multi_thread")]
async fn t2_a_nonce_of_which_nothing_was_charged_is_no_cheap_payment() {
    let stand = stand().await;
    let payer = X402Payer::new();
    let body = chat("for nothing", false);
    let signed = sign(&stand, &payer, &asked(&stand, CHAT, &body).await, 1);
    let refusal = r#"{"error":{"message":"no","type":"invalid_request_error"}}"#;
    stand.stack.upstream.script(Scripted::json(400, refusal));
    assert_eq!(post(&stand, CHAT, &body, Some(&signed)).await.code(), "signature_used");
    let terms = Terms::new(PAYEE.parse().unwrap(), 1, 1);
    let nonce = U256::from_be_bytes(terms.nonce.0);
    let id = SignedNonce::Permit2 { owner: payer.address, nonce }.payment_id(ChainId::CITRATE);
    let store = Store::open(Options::new(stand.stack.database())).await.unwrap();
    let give_up = Instant::now() + Duration::from_secs(30);
    while store.charge(id).await.unwrap().unwrap().state != ChargeState::Settled && Instant::now() < give_up {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    store.close().await;

    // Its payer settles another with the same nonce, over one base unit.
    let cheap = payer.upto(&stand.wrapped, &terms, payer.address);
    let signature = cheap["paymentPayload"]["payload"]["signature"].as_str().unwrap();
    let amount = U256::from(1);
    let call = Upto::settleCall {
        permit: Shared::PermitTransferFrom {
            permitted: Shared::TokenPermissions { token: stand.wrapped.address, amount },
            nonce,
            deadline: U256::from(terms.valid_before),
        },
        amount,
        owner: payer.address,
        witness: Upto::Witness { to: terms.to, facilitator: payer.address, validAfter: U256::ZERO },
        signature: hex::decode(signature).unwrap().into(),
    };
    stand.call_as(payer.address, X402_UPTO_PROXY, call.abi_encode(), 0).await;
    paid(&stand, 1).await;
    let asked_before = stand.stack.upstream.asked();
    let proof = format!("permit2:{}:{nonce}", payer.address);
    let url = format!("{}{CHAT}", stand.stack.gateway);
    let told = stand.stack.post(&url, &body, &[("x-payment-proof", &proof)]).await;
    // It counts as any other payment: of this token nothing is asked.
    assert_eq!(told.code(), "wrong_asset", "{}", told.body);
    assert_eq!(stand.stack.upstream.asked(), asked_before);
}

/// What is not settled yet may still fail: the answer is kept until it is.
#[tokio::test(flavor = "multi_thread")]
async fn t4_an_answer_is_given_once_what_it_cost_is_settled_and_not_before() {
    let stand = stand_of("", "wait_ms = 1000").await;
    let payer = X402Payer::new();
    let body = chat("slow chain", false);
    let signed = sign(&stand, &payer, &asked(&stand, CHAT, &body).await, 1);
    stand.stack.anvil.ask("evm_setAutomine", json!([false])).await;
    let told = post(&stand, CHAT, &body, Some(&signed)).await;
    assert_eq!((told.code().as_str(), told.status.as_u16()), ("settlement_pending", 425), "{}", told.body);
    assert!(!told.headers.contains_key("payment-required") && told.headers["x-should-retry"] == "false");
    stand.stack.anvil.ask("evm_setAutomine", json!([true])).await;
    stand.stack.anvil.mine(1).await;
    assert_eq!(settled(&shown(&stand, &body, &signed).await)["amount"], USED.to_string());
    assert_eq!((stand.stack.upstream.asked(), stand.paid(&stand.wrapped).await), (1, USED));
}
