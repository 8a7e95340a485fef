//! A client of x402 pays at the gateway by a signature: it is settled, claimed and answered once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use reqwest::StatusCode;
use salt402_tests::x402::{FACILITATOR, Terms, Token, X402Payer};
use salt402_tests::{Answer, Facilitating, FacilitatorOptions, StackOptions, inference};
use serde_json::{Value, json};

use crate::SALT402;

pub(crate) const SIGNATURES: &str = "
[payment.signatures]
token = \"WRAPPED_SALT\"
domain_name = \"Wrapped SALT\"
";

pub(crate) async fn stand() -> Facilitating {
    let stack = StackOptions { payment: SIGNATURES.into(), ..StackOptions::default() };
    let stand = Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    stand.fund(X402Payer::new().address, 1_000_000_000_000_000_000).await;
    stand
}

/// What a 402 asks of clients of x402.
pub(crate) fn required(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.body);
    let header = answer.headers["payment-required"].to_str().unwrap();
    serde_json::from_slice(&STANDARD.decode(header).unwrap()).unwrap()
}

/// What is sent to pay by EIP-3009 what is asked, with the nonce of a number.
pub(crate) fn sign(payer: &X402Payer, token: &Token, required: &Value, number: u64) -> String {
    sign_amount(payer, token, required, number, required["accepts"][0]["amount"].as_str().unwrap())
}

fn sign_amount(payer: &X402Payer, token: &Token, required: &Value, number: u64, amount: &str) -> String {
    let mut accepted = required["accepts"][0].clone();
    accepted["amount"] = json!(amount);
    let to = accepted["payTo"].as_str().unwrap().parse().unwrap();
    let mut payload =
        payer.eip3009(token, &Terms::new(to, amount.parse().unwrap(), number))["paymentPayload"].take();
    payload["accepted"] = accepted;
    payload["resource"] = required["resource"].clone();
    STANDARD.encode(payload.to_string())
}

async fn show(stand: &Facilitating, body: &Value, signed: &str) -> Answer {
    stand.stack.infer(body, &[("payment-signature", signed)]).await
}

/// An answer that no client signs again for.
pub(crate) fn is_final(answer: &Answer, code: &str) {
    assert_eq!(answer.code(), code, "{} {}", answer.status, answer.body);
    let status = answer.status.as_u16();
    assert!(
        (400..500).contains(&status) && ![402, 408, 409, 429].contains(&status),
        "{status} {}",
        answer.body
    );
    assert!(!answer.headers.contains_key("payment-required"));
    assert_eq!(answer.headers["x-should-retry"], "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_pays_for_one_request_and_the_money_moves_once() {
    let stand = stand().await;
    let payer = X402Payer::new();
    let (one, other) = (inference("one"), inference("other"));
    let asked = stand.stack.infer(&one, &[]).await;
    let required = required(&asked);
    assert!(required["resource"]["url"].as_str().unwrap().starts_with(&stand.stack.gateway), "{required}");
    assert_eq!(required["accepts"][0]["extra"]["primaryType"], "TransferWithAuthorization");
    let price: u128 = required["accepts"][0]["amount"].as_str().unwrap().parse().unwrap();

    let signed = sign(&payer, &stand.wrapped, &required, 1);
    let answers = join_all((0..8).map(|_| show(&stand, &one, &signed))).await;
    let given = answers.iter().filter(|answer| answer.status.is_success()).count();
    assert!(given >= 1, "{answers:?}");
    for answer in &answers {
        if answer.status.is_success() {
            assert_eq!(answer.body, answers.iter().find(|answer| answer.status.is_success()).unwrap().body);
            let told = STANDARD.decode(answer.headers["payment-response"].to_str().unwrap()).unwrap();
            let told: Value = serde_json::from_slice(&told).unwrap();
            assert_eq!(
                (&told["success"], &told["network"]),
                (&json!(true), &json!("eip155:40204")),
                "{told}"
            );
        } else {
            // Everybody can read the signature off the chain now, so it is answered a few times and no more.
            is_final(answer, "quote_required");
        }
    }
    assert_eq!(stand.paid(&stand.wrapped).await, price);
    assert_eq!(stand.stack.upstream.asked(), 1);

    // Whoever knows the request and what the chain shows of the payment has no signature of its payer: not by another nonce, not
    // by the same one, and not without the quote id.
    for (path, value) in [
        ("/payload/authorization/nonce", json!(format!("0x{}", "77".repeat(32)))),
        ("/payload/signature", json!(format!("0x{}1b", "11".repeat(64)))),
        ("/accepted/extra/quoteId", Value::Null),
    ] {
        let mut forged: Value = serde_json::from_slice(&STANDARD.decode(&signed).unwrap()).unwrap();
        *forged.pointer_mut(path).unwrap() = value;
        is_final(&show(&stand, &one, &STANDARD.encode(forged.to_string())).await, "signature_used");
    }

    // It pays for nothing else, not even for whoever signed it.
    is_final(&show(&stand, &other, &signed).await, "signature_used");
    // Nor by its nonce.
    let nonce = Terms::new(stand.wrapped.address, 0, 1).nonce;
    let proof = format!("eip3009:{}:{}:{nonce}", stand.wrapped.address, payer.address);
    let by_nonce = stand.stack.infer(&other, &[("x-payment-proof", &proof)]).await;
    assert_eq!(by_nonce.status, StatusCode::PAYMENT_REQUIRED, "{}", by_nonce.body);

    // A client that signs again for the same request is answered from the first, and pays once.
    let again = sign(&payer, &stand.wrapped, &self::required(&stand.stack.infer(&one, &[]).await), 2);
    let before = stand.nonce(FACILITATOR).await;
    let answer = show(&stand, &one, &again).await;
    assert!(answer.status.is_success() || answer.code() == "quote_required", "{}", answer.body);
    assert_eq!(stand.nonce(FACILITATOR).await, before);
    assert_eq!(stand.paid(&stand.wrapped).await, price);
    assert_eq!(stand.stack.upstream.asked(), 1);

    // Two requests with one signature at once: one is served.
    let signed =
        sign(&payer, &stand.wrapped, &self::required(&stand.stack.infer(&inference("a"), &[]).await), 3);
    let both = [inference("a"), inference("b")];
    let answers = join_all(both.iter().map(|body| show(&stand, body, &signed))).await;
    let served = answers.iter().filter(|answer| answer.status.is_success()).count();
    assert_eq!(served, 1, "{answers:?}");
    for refused in answers.iter().filter(|answer| !answer.status.is_success()) {
        // Its quote is for the other request, which is seen before anything is written.
        assert!(["signature_used", "quote_mismatch"].contains(&refused.code().as_str()), "{}", refused.body);
    }
    assert_eq!(stand.paid(&stand.wrapped).await, 2 * price);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pay_moves_nothing_and_is_told_how_to_pay() {
    let stand = stand().await;
    let payer = X402Payer::new();
    let body = inference("one");
    let required = required(&stand.stack.infer(&body, &[]).await);
    let price: u128 = required["accepts"][0]["amount"].as_str().unwrap().parse().unwrap();
    let less = sign_amount(&payer, &stand.wrapped, &required, 1, &(price - 1).to_string());
    let poor = sign(&X402Payer::numbered(7), &stand.wrapped, &required, 1);
    let other_token = sign(&payer, &stand.salt, &required, 1);
    for (signed, code) in
        [(less, "insufficient_payment"), (poor, "signature_refused"), (other_token, "signature_refused")]
    {
        let answer = show(&stand, &body, &signed).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::PAYMENT_REQUIRED, code),
            "{}",
            answer.body
        );
        self::required(&answer);
    }
    let signed = sign(&payer, &stand.wrapped, &required, 2);
    let two = [("payment-signature", &*signed), ("x-payment-proof", &format!("0x{}", "11".repeat(32)))];
    let both = stand.stack.infer(&body, &two).await;
    assert_eq!(both.status, StatusCode::BAD_REQUEST, "{}", both.body);
    let garbage = show(&stand, &body, "e30=").await;
    assert_eq!(garbage.status, StatusCode::BAD_REQUEST, "{}", garbage.body);
    assert_eq!((stand.paid(&stand.wrapped).await, stand.stack.upstream.asked()), (0, 0));

    // What another server had settled is not for sale here.
    let mut question = json!({ "x402Version": 2, "paymentRequirements": required["accepts"][0] });
    question["paymentPayload"] = serde_json::from_slice(&STANDARD.decode(&signed).unwrap()).unwrap();
    assert_eq!(stand.settle(&question).await["success"], true);
    is_final(&show(&stand, &body, &signed).await, "signature_used");
    assert_eq!((stand.paid(&stand.wrapped).await, stand.stack.upstream.asked()), (price, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_was_sent_when_the_process_was_killed_is_served_for_the_same_or_another_signature() {
    let mut stand = stand().await;
    let payer = X402Payer::new();
    for (number, shown_again) in [(1, 1), (2, 9)] {
        let body = inference(&format!("killed {number}"));
        let required = required(&stand.stack.infer(&body, &[]).await);
        let price: u128 = required["accepts"][0]["amount"].as_str().unwrap().parse().unwrap();
        let signed = sign(&payer, &stand.wrapped, &required, number);
        let paid = stand.paid(&stand.wrapped).await;
        stand.stack.anvil.automine(false).await;
        {
            let asking = show(&stand, &body, &signed);
            tokio::pin!(asking);
            loop {
                tokio::select! {
                    answer = &mut asking => panic!("nothing is mined, and it was answered: {}", answer.body),
                    () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
                }
                let waiting = stand.stack.anvil.ask("txpool_status", json!([])).await;
                if waiting["pending"] != "0x0" {
                    break;
                }
            }
        }
        stand.stack.kill();
        stand.stack.anvil.automine(true).await;
        stand.stack.anvil.mine(1).await;
        stand.up().await;
        let signed = sign(&payer, &stand.wrapped, &required, shown_again);
        let mut answer = show(&stand, &body, &signed).await;
        for _ in 0..50 {
            if answer.status.is_success() {
                break;
            }
            is_final(&answer, "settlement_pending");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            answer = show(&stand, &body, &signed).await;
        }
        assert!(answer.status.is_success(), "{number}: {}", answer.body);
        assert_eq!(stand.paid(&stand.wrapped).await, paid + price, "{number}");
    }
    assert_eq!(stand.stack.upstream.asked(), 2);
}

/// x402-fetch and thirdweb send their second request without the headers of the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_paid_body_is_read_as_json_where_its_client_has_lost_its_type() {
    let stand = stand().await;
    let url = format!("{}/v1/inference", stand.stack.gateway);
    for (number, kind) in [(1, Some("text/plain;charset=UTF-8")), (2, None)] {
        let body = inference(&format!("lost {number}"));
        let required = required(&stand.stack.infer(&body, &[]).await);
        let signed = sign(&X402Payer::new(), &stand.wrapped, &required, number);
        let ask = async |kind: Option<&str>, signed: Option<&str>| {
            let mut request = stand.stack.client.post(&url).body(body.to_string());
            for (name, value) in [("content-type", kind), ("payment-signature", signed)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            request.send().await.unwrap().status()
        };
        // A page may send that without being asked first, so without a payment it is not read.
        assert_eq!(ask(kind, None).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        for other in ["text/html", "text/plain;charset=latin1", "application/x-www-form-urlencoded"] {
            assert_eq!(ask(Some(other), Some(&signed)).await, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{other}");
        }
        assert_eq!(ask(kind, Some(&signed)).await, StatusCode::OK, "{kind:?}");
    }
}

/// Whoever is told of a success serves for it. So nobody is told but the server to which its payer showed it, though the whole
/// signature can be read in the mempool.
#[tokio::test(flavor = "multi_thread")]
async fn t5_whoever_reads_a_payment_in_the_mempool_is_told_nothing_and_its_payer_is_served() {
    let stand = stand().await;
    let payer = X402Payer::new();
    let body = inference("in the mempool");
    let required = required(&stand.stack.infer(&body, &[]).await);
    let price: u128 = required["accepts"][0]["amount"].as_str().unwrap().parse().unwrap();
    let signed = sign(&payer, &stand.wrapped, &required, 1);
    let mut question = json!({ "x402Version": 2, "paymentRequirements": required["accepts"][0] });
    question["paymentPayload"] = serde_json::from_slice(&STANDARD.decode(&signed).unwrap()).unwrap();
    stand.stack.anvil.automine(false).await;
    let read = async {
        while stand.stack.anvil.ask("txpool_status", json!([])).await["pending"] == "0x0" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let before = [stand.settle(&question).await, stand.settle_copy(&question).await];
        stand.stack.anvil.automine(true).await;
        stand.stack.anvil.mine(1).await;
        (before, [stand.settle(&question).await, stand.settle_copy(&question).await])
    };
    let (answer, (before, after)) = tokio::join!(show(&stand, &body, &signed), read);
    for told in before.iter().chain(&after) {
        assert_eq!(told["success"], false, "{told}");
        assert_eq!(told["errorReason"], "invalid_exact_evm_nonce_already_used", "{told}");
    }
    assert!(answer.status.is_success(), "{}", answer.body);
    assert_eq!(stand.paid(&stand.wrapped).await, price);
}
