//! A client of x402 pays by a signature for a file behind a proxy: it is settled before the request is passed on, and the proxy puts
//! the receipt on the answer.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use reqwest::StatusCode;
use salt402_tests::x402::X402Payer;
use salt402_tests::{Answer, Facilitating, FacilitatorOptions, StackOptions};
use serde_json::{Value, json};

use crate::SALT402;
use crate::proxies::{Files, Proxy, caddy, haproxy, nginx, priced};
use crate::signed::{SIGNATURES, is_final, required, sign};

const PRICE: u128 = 777;

/// A stack whose forward-auth takes signatures, with lines of its own.
async fn stand(lines: &str) -> Facilitating {
    let sections = priced().sections.replace("wait_ms = 5000", &format!("wait_ms = 5000\n{lines}"));
    let stack = StackOptions { payment: SIGNATURES.into(), sections, ..StackOptions::default() };
    let stand = Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    stand.fund(X402Payer::new().address, 1_000_000_000_000_000_000).await;
    stand
}

async fn ask(stand: &Facilitating, url: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = stand.stack.client.get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, body: response.text().await.unwrap() }
}

fn receipt(answer: &Answer, name: &str) -> Value {
    let values: Vec<_> = answer.headers.get_all(name).iter().collect();
    assert_eq!(values.len(), 1, "{name}: {:?}", answer.headers);
    serde_json::from_slice(&STANDARD.decode(values[0]).unwrap()).unwrap()
}

async fn a_signature_pays(proxy: fn(&Path, &str, u16) -> Proxy) {
    let mut stand = stand("").await;
    let files = Files::start(stand.stack.folder());
    let proxy = proxy(stand.stack.folder(), &stand.stack.verifier, files.port);
    let (free, paid) = (format!("{}/free/file.txt", proxy.base), format!("{}/paid/file.txt", proxy.base));
    stand.stack.until(&free, |answer| answer.status == StatusCode::OK).await;
    let payer = X402Payer::new();

    let asked = ask(&stand, &paid, &[]).await;
    let offer = required(&asked);
    assert_eq!(offer["accepts"][0]["amount"], PRICE.to_string());
    assert!(offer["resource"]["url"].as_str().unwrap().starts_with(&proxy.base), "{offer}");
    let challenges = asked.headers.get_all("www-authenticate").iter();
    assert!(challenges.filter(|value| value.to_str().unwrap().starts_with("Payment ")).count() >= 1);

    // Many at once with one signature: one is served, and nobody is led to sign again.
    let signed = sign(&payer, &stand.wrapped, &offer, 1);
    let showing = [("payment-signature", signed.as_str())];
    let answers = join_all((0..6).map(|_| ask(&stand, &paid, &showing))).await;
    let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status.is_success());
    assert_eq!(served.len(), 1, "{answers:?}");
    assert_eq!(served[0].body, "a paid file\n");
    let told = receipt(served[0], "payment-response");
    assert_eq!((&told["success"], &told["network"]), (&json!(true), &json!("eip155:40204")), "{told}");
    assert!(served[0].headers["cache-control"].to_str().unwrap().contains("no-store"));
    for answer in refused {
        let status = answer.status.as_u16();
        assert!([403, 425].contains(&status), "{status} {}", answer.body);
        assert!(!answer.headers.contains_key("payment-required"), "{:?}", answer.headers);
    }
    assert_eq!((files.served(), stand.paid(&stand.wrapped).await), (1, PRICE));
    is_used(&ask(&stand, &paid, &showing).await);
    // Nor does it pay for another file.
    let elsewhere = ask(&stand, &format!("{}/paid/other.txt", proxy.base), &showing).await;
    assert!(
        !elsewhere.status.is_success() && elsewhere.status != StatusCode::NOT_FOUND,
        "{}",
        elsewhere.body
    );

    // What moves no money is told how to pay.
    let poor = sign(&X402Payer::numbered(7), &stand.wrapped, &offer, 2);
    let answer = ask(&stand, &paid, &[("payment-signature", &poor)]).await;
    required(&answer);
    // And what a version without a quote would sign is not offered, and moves none.
    assert!(
        serde_json::from_str::<Value>(&asked.body).unwrap().get("x402Version").is_none(),
        "{}",
        asked.body
    );

    // Nobody but salt402 says what was paid.
    let lie = STANDARD.encode(r#"{"success":true}"#);
    let names = ["payment-response", "x-payment-response", "payment-receipt"];
    let answer = ask(&stand, &free, &names.map(|name| (name, lie.as_str()))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(names.iter().all(|name| !answer.headers.contains_key(*name)), "{:?}", answer.headers);
    assert_eq!((files.served(), stand.paid(&stand.wrapped).await), (1, PRICE));

    // Whoever leaves the quote's id out is told where it goes, and pays with what it signed.
    let offer = required(&ask(&stand, &paid, &[]).await);
    let mut nameless = offer.clone();
    let id = nameless["accepts"][0]["extra"].as_object_mut().unwrap().remove("quoteId").unwrap();
    let unnamed = sign(&payer, &stand.wrapped, &nameless, 3);
    let beside = [("payment-signature", unnamed.as_str()), ("x-payment-quote", id.as_str().unwrap())];
    let told = ask(&stand, &paid, &beside).await;
    required(&told);
    // Behind nginx all refusals have one text.
    let detail = serde_json::from_str::<Value>(&told.body).unwrap()["detail"].as_str().unwrap().to_owned();
    let of_nginx = detail.starts_with("the header X-Payment-Details says how to pay");
    assert!(of_nginx || detail.contains("accepted.extra of PAYMENT-SIGNATURE"), "{detail}");
    let named = sign(&payer, &stand.wrapped, &offer, 3);
    let answer = ask(&stand, &paid, &[("payment-signature", &named)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!((files.served(), stand.paid(&stand.wrapped).await), (2, 2 * PRICE));
}

fn is_used(answer: &Answer) {
    // A proxy may hand the status and the code on alone.
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    assert_eq!(answer.headers["x-payment-code"], "signature_used");
    assert!(!answer.headers.contains_key("payment-required"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_pays_through_caddy() {
    a_signature_pays(caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_pays_through_nginx() {
    a_signature_pays(nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_pays_through_haproxy() {
    a_signature_pays(haproxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_signed_passes_again_for_a_while_and_nobody_who_reads_the_chain_does() {
    let stand = stand("again_within_s = 600").await;
    let auth = format!("{}/v1/forward-auth", stand.stack.verifier);
    let asked = [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/paid/x")];
    let offer = required(&ask(&stand, &auth, &asked).await);
    let signed = sign(&X402Payer::new(), &stand.wrapped, &offer, 1);
    let show =
        async |signed: &str| ask(&stand, &auth, &[asked[0], asked[1], ("payment-signature", signed)]).await;
    for _ in 0..2 {
        let passed = show(&signed).await;
        assert_eq!(passed.status, StatusCode::OK, "{}", passed.body);
        assert_eq!(passed.headers["x-payment-amount"], PRICE.to_string());
        assert_eq!(receipt(&passed, "payment-response")["success"], true);
    }
    assert_eq!(stand.paid(&stand.wrapped).await, PRICE);
    // The chain has the signature and its nonce, and not the quote id that came with them.
    let forged = |quote: Value| {
        let mut shown: Value = serde_json::from_slice(&STANDARD.decode(&signed).unwrap()).unwrap();
        shown["accepted"]["extra"]["quoteId"] = quote;
        STANDARD.encode(shown.to_string())
    };
    let own = required(&ask(&stand, &auth, &asked).await)["accepts"][0]["extra"]["quoteId"].clone();
    is_final(&show(&forged(own)).await, "signature_used");
    let without = show(&forged(Value::Null)).await;
    assert!(!without.status.is_success(), "{}", without.body);
    let nonce = salt402_tests::x402::Terms::new(stand.wrapped.address, 0, 1).nonce;
    let proof = format!("eip3009:{}:{}:{nonce}", stand.wrapped.address, X402Payer::new().address);
    let by_nonce = ask(&stand, &auth, &[asked[0], asked[1], ("x-payment-proof", &proof)]).await;
    assert_eq!(by_nonce.code(), "quote_required", "{}", by_nonce.body);
    assert_eq!(stand.paid(&stand.wrapped).await, PRICE);
}
