//! The dialects of smaller peers at a gateway: what their clients sign or send pays once, by the same way as everything else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use salt402_protocol::{Amount, B256, keccak256};
use salt402_tests::x402::{Terms, Token, X402Payer};
use salt402_tests::{
    Answer, Facilitating, FacilitatorOptions, PAYEE, StackOptions, inference, payment_details,
};
use serde_json::{Value, json};

use crate::SALT402;
use crate::signed::{SIGNATURES, is_final};

/// The headers and the members of a body that say how to pay.
const OFFERS: [&str; 5] = [
    "x-payment-details",
    "payment-required",
    "www-authenticate",
    "x-payment-required",
    "x-payment-requirements",
];

async fn stand(dialects: &str) -> Facilitating {
    let stack = StackOptions { payment: format!("{dialects}\n{SIGNATURES}"), ..StackOptions::default() };
    let stand = Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    stand.fund(X402Payer::new().address, 1_000_000_000_000_000_000).await;
    stand
}

/// What a payer signs for an amount in base units, with the nonce of a number.
fn signed(token: &Token, amount: &str, number: u64) -> Value {
    let terms = Terms::new(PAYEE.parse().unwrap(), amount.parse().unwrap(), number);
    X402Payer::new().eip3009(token, &terms)["paymentPayload"]["payload"].take()
}

fn base_units(text: &str) -> String {
    Amount::from_units(text, 18).unwrap().to_string()
}

fn decoded(text: &str) -> Value {
    serde_json::from_slice(&STANDARD.decode(text).unwrap()).unwrap()
}

type Shown = Vec<(&'static str, String)>;

/// `X-Payment-Required` and its family.
fn by_headers(unpaid: &Answer, token: &Token, number: u64) -> Shown {
    let said = |name: &str| unpaid.headers[name].to_str().unwrap().to_owned();
    assert_eq!((said("x-payment-required"), said("x-payment-recipient")), ("true".into(), PAYEE.to_owned()));
    assert_eq!((said("x-payment-network"), said("x-payment-asset")), ("local".into(), "Wrapped SALT".into()));
    let domain: Value = serde_json::from_str(&said("x-payment-domain")).unwrap();
    assert_eq!(domain["verifyingContract"], token.address.to_string());
    let payload = signed(token, &base_units(&said("x-payment-amount")), number);
    vec![
        ("x-payment-signature", STANDARD.encode(payload.to_string())),
        ("x-payment-amount", said("x-payment-amount")),
        ("x-payment-asset", said("x-payment-asset")),
        ("x-payment-nonce", payload["authorization"]["nonce"].as_str().unwrap().to_owned()),
    ]
}

/// `X-Payment-Requirements`.
fn by_requirements(unpaid: &Answer, token: &Token, number: u64) -> Shown {
    let required = decoded(unpaid.headers["x-payment-requirements"].to_str().unwrap());
    let way = &required["accepts"][0];
    let amount = way["maxAmount"].as_str().unwrap();
    assert_eq!(base_units(required["price"].as_str().unwrap()), amount);
    let sent = json!({
        "x402Version": 2, "resource": required["resource"], "accepted": way, "payload": signed(token, amount, number),
    });
    vec![("x-payment", STANDARD.encode(sent.to_string()))]
}

/// The nested body.
fn by_body(unpaid: &Answer, token: &Token, number: u64) -> Shown {
    let body = unpaid.json();
    assert_eq!((&body["error"], &body["x402"]["version"]), (&json!("Payment Required"), &json!(1)));
    let way = &body["x402"]["accepts"][0];
    assert_eq!((&way["network"], &way["asset"]), (&json!("local"), &json!("Wrapped SALT")));
    let payload = signed(token, &base_units(way["maxAmountRequired"].as_str().unwrap()), number);
    let sent = json!({ "x402Version": 1, "scheme": "exact", "network": way["network"], "payload": payload });
    vec![("x-payment", STANDARD.encode(sent.to_string()))]
}

fn lines(shown: &Shown) -> Vec<(&str, &str)> {
    shown.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn t1_a_signature_pays_once_in_each_of_the_peers_dialects() {
    let stand = stand("").await;
    let stack = &stand.stack;
    let mut number = 100;
    for (name, pay) in [
        ("headers", by_headers as fn(&Answer, &Token, u64) -> Shown),
        ("requirements", by_requirements),
        ("body", by_body),
    ] {
        let (ask, another) = (inference(name), inference(&format!("another than {name}")));
        let unpaid = stack.infer(&ask, &[]).await;
        assert_eq!(unpaid.status, StatusCode::PAYMENT_REQUIRED);
        let bytes: usize =
            unpaid.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        assert!(bytes <= 8 * 1024, "{bytes} bytes of headers");
        number += 1;
        let shown = pay(&unpaid, &stand.wrapped, number);
        let (before, asked) = (stand.paid(&stand.wrapped).await, stack.upstream.asked());
        // Something else to pay with beside it.
        let hash = B256::repeat_byte(1).to_string();
        for other in
            [("x-payment-proof", hash.as_str()), ("payment-signature", "e30="), ("x402-proof", "evm:::")]
        {
            let refused = stack.infer(&ask, &[&lines(&shown)[..], &[other]].concat()).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{name} {other:?} {}", refused.body);
        }
        assert_eq!(stand.paid(&stand.wrapped).await, before);

        // Two at once.
        let lines = lines(&shown);
        let (one, two) = tokio::join!(stack.infer(&ask, &lines), stack.infer(&ask, &lines));
        let paid = if one.status == StatusCode::OK { &one } else { &two };
        assert_eq!(paid.status, StatusCode::OK, "{name}: {} {}", one.body, two.body);
        let receipt = decoded(paid.headers["x-payment-response"].to_str().unwrap());
        assert_eq!(
            (&receipt["success"], receipt["payer"].as_str().map(str::to_lowercase)),
            (&json!(true), Some(X402Payer::new().address.to_string().to_lowercase()))
        );
        assert!(
            stack.anvil.block_of(receipt["transaction"].as_str().unwrap().parse().unwrap()).await.is_some()
        );
        let price = payment_details(&unpaid).amount.to_string().parse::<u128>().unwrap();
        assert_eq!(stand.paid(&stand.wrapped).await - before, price, "{name}: the money moved once");
        assert_eq!(stack.infer(&ask, &lines).await.body, paid.body);
        is_final(&stack.infer(&another, &lines).await, "signature_used");
        assert_eq!(stand.paid(&stand.wrapped).await - before, price, "{name}: the money moved once");
        assert_eq!(stack.upstream.asked(), asked + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_for_another_amount_or_a_name_of_another_network_moves_no_money() {
    let stand = stand("").await;
    let ask = inference("too little");
    let unpaid = stand.stack.infer(&ask, &[]).await;
    let less = signed(&stand.wrapped, "1", 7);
    let nonce = less["authorization"]["nonce"].as_str().unwrap();
    let signature = STANDARD.encode(less.to_string());
    let amount = Amount::from_base_units("1").unwrap().to_units(18);
    let headers = |amount| {
        [
            ("x-payment-signature", signature.as_str()),
            ("x-payment-amount", amount),
            ("x-payment-asset", "Wrapped SALT"),
            ("x-payment-nonce", nonce),
        ]
    };
    let refused = stand.stack.infer(&ask, &headers(&amount)).await;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED, "{}", refused.body);
    let asked = unpaid.headers["x-payment-amount"].to_str().unwrap();
    let refused = stand.stack.infer(&ask, &headers(asked)).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::PAYMENT_REQUIRED, "signature_refused".into()));
    for network in ["base", "base-sepolia", "citrate", ""] {
        let payload = signed(&stand.wrapped, &base_units(asked), 8);
        let sent = json!({ "x402Version": 1, "scheme": "exact", "network": network, "payload": payload });
        let shown = STANDARD.encode(sent.to_string());
        let refused = stand.stack.infer(&ask, &[("x-payment", &shown)]).await;
        assert_eq!(refused.code(), "signature_refused", "{network} {}", refused.body);
    }
    assert_eq!(stand.paid(&stand.wrapped).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn maskens_proof_is_a_transaction_with_its_quote_and_time_alone_leads_nobody_to_pay_again() {
    let stand = stand("dialects = [\"masken\"]").await;
    let stack = &stand.stack;
    let ask = inference("masken");
    let unpaid = stack.infer(&ask, &[]).await;
    let told: Vec<_> = OFFERS.iter().filter(|name| unpaid.headers.contains_key(**name)).collect();
    assert_eq!(told, [&"x-payment-details"], "the operator chooses");
    let x402 = unpaid.json()["x402"].clone();
    let details = payment_details(&unpaid);
    assert_eq!(x402["nonce"], details.quote_id.as_str());
    assert_eq!(base_units(x402["amount"].as_str().unwrap()), details.amount.to_string());
    let proof = |hash: B256| format!("evm:{PAYEE}:{}:{hash}", details.quote_id.as_str());

    // Not seen yet: no offer, in any dialect.
    let early = stack.infer(&ask, &[("x402-proof", &proof(keccak256("none")))]).await;
    assert_eq!(early.status.as_u16(), 425, "{}", early.body);
    assert!(OFFERS.iter().all(|name| !early.headers.contains_key(*name)));
    assert!(early.json().get("x402").is_none() && early.json().get("error").is_none(), "{}", early.body);

    let hash = stack.payer().pay(&details).await;
    let paid = stack.infer(&ask, &[("x402-proof", &proof(hash))]).await;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.body);
    assert_eq!(stack.infer(&ask, &[("x402-proof", &proof(hash))]).await.body, paid.body);
    let with_quote = [("x402-proof", proof(hash)), ("x-payment-quote", details.quote_id.as_str().to_owned())];
    let with_quote: Vec<_> = with_quote.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(stack.infer(&ask, &with_quote).await.status, StatusCode::BAD_REQUEST);
    let other = proof(hash).replace(PAYEE, &X402Payer::new().address.to_string());
    assert_eq!(stack.infer(&ask, &[("x402-proof", &other)]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(stack.upstream.asked(), 1);
}
