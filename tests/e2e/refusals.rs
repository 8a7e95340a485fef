//! A proof serves the request it was paid for, and no other.

use reqwest::StatusCode;
use salt402_protocol::{Amount, U256};
use salt402_tests::{Answer, Stack, StackOptions, inference};
use serde_json::json;

use crate::SALT402;

fn refused(answer: &Answer, code: &str) {
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::PAYMENT_REQUIRED, code),
        "{}",
        answer.body
    );
    assert!(answer.headers.contains_key("x-payment-details"), "a refusal says how to pay");
    assert_eq!(answer.headers["cache-control"], "no-store, private");
}

/// What was paid may be its payee's, so that nobody is led to pay the whole price besides, in any dialect.
fn offers_nothing(answer: &Answer, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (402, code), "{}", answer.body);
    let offers = [
        "x-payment-details",
        "payment-required",
        "www-authenticate",
        "x-payment-required",
        "x-payment-requirements",
    ];
    for name in offers {
        assert!(!answer.headers.contains_key(name), "{name}: {:?}", answer.headers);
    }
    assert!(
        answer.json().get("accepts").is_none() && answer.body.contains("give it back"),
        "{}",
        answer.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_of_another_request_amount_payee_or_path_is_refused() {
    let stack = Stack::start(SALT402).await;
    let payer = stack.payer();
    let body = inference("cheap");
    let details = stack.quote(&body).await;
    let proof = payer.pay(&details).await;
    stack.anvil.mine(1).await;

    // Another prompt at the same price.
    refused(&stack.infer_with(&inference("other"), proof).await, "reference_mismatch");
    // A dearer request with a cheap payment.
    let dear = json!({ "model": "counted", "prompt": "cheap", "max_tokens": 4096 });
    offers_nothing(&stack.infer_with(&dear, proof).await, "insufficient_payment");
    // The same body under another path.
    let elsewhere = format!("{}/v1/inference?as=another", stack.gateway);
    let answer = stack.post(&elsewhere, &body, &[("x-payment-proof", &proof.to_string())]).await;
    refused(&answer, "reference_mismatch");

    let short = Amount(details.amount.0 - U256::from(1));
    let underpaid = payer.pay_as(&details, short, details.recipient).await;
    let stranger = "0x90F79bf6EB2c4f870365E785982E1f101E93b906".parse().unwrap();
    let misdirected = payer.pay_as(&details, details.amount, stranger).await;
    stack.anvil.mine(1).await;
    offers_nothing(&stack.infer_with(&body, underpaid).await, "insufficient_payment");
    refused(&stack.infer_with(&body, misdirected).await, "wrong_payee");
    assert_eq!(stack.upstream.asked(), 0);
    assert_eq!(stack.status().await["claims"], 0);

    // None of it used the payment up.
    assert_eq!(stack.infer_with(&body, proof).await.status, StatusCode::OK);
    assert_eq!(stack.upstream.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_is_good_for_its_own_request_and_payment_only() {
    let stack = Stack::start(SALT402).await;
    let body = inference("one");
    let (one, two) = (stack.quote(&body).await, stack.quote(&inference("two")).await);
    let paid_one = stack.payer().pay(&one).await.to_string();
    let with = |quote: &str| [("x-payment-proof", paid_one.clone()), ("x-payment-quote", quote.to_owned())];
    let ask = async |body: &serde_json::Value, quote: &str| {
        let headers = with(quote);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        stack.infer(body, &headers).await
    };
    refused(&ask(&body, two.quote_id.as_str()).await, "quote_mismatch");
    refused(&ask(&inference("two"), two.quote_id.as_str()).await, "reference_mismatch");
    let mut forged = one.quote_id.as_str().to_owned();
    forged.replace_range(100..101, if &forged[100..101] == "A" { "B" } else { "A" });
    refused(&ask(&body, &forged).await, "quote_forged");
    assert_eq!(ask(&body, one.quote_id.as_str()).await.status, StatusCode::OK);
}

/// No log tells of them, and the money did move.
#[tokio::test(flavor = "multi_thread")]
async fn coins_that_were_sent_plainly_to_the_payee_are_not_asked_for_again() {
    let mut stack = Stack::start(SALT402).await;
    let body = inference("paid plainly");
    let details = stack.quote(&body).await;
    let payer = stack.payer();
    let plainly = payer.call(details.recipient, Default::default(), details.amount).await;
    let nothing = payer.call(details.recipient, Default::default(), Amount(U256::ZERO)).await;
    stack.indexed(stack.anvil.height().await).await;
    let told = stack.infer_with(&body, plainly).await;
    assert_eq!(
        (told.status, told.code().as_str()),
        (StatusCode::CONFLICT, "ambiguous_payment"),
        "{}",
        told.body
    );
    assert!(
        !told.headers.contains_key("x-payment-details") && told.body.contains("plainly"),
        "{}",
        told.body
    );
    refused(&stack.infer_with(&body, nothing).await, "no_payment");
    assert_eq!(stack.upstream.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_after_the_quotes_end_is_refused() {
    let options =
        StackOptions { verifier: "quote_lifetime_s = 1\nclock_skew_s = 0".into(), ..Default::default() };
    let stack = Stack::start_with(SALT402, options).await;
    let body = inference("late");
    let late = async |headers: &[(&str, &str)]| {
        let mut all = vec![("x-payment-binding", "quote")];
        all.extend_from_slice(headers);
        stack.infer(&body, &all).await
    };
    let details = salt402_tests::payment_details(&late(&[]).await);
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    let quote = details.quote_id.as_str();
    let never = format!("0x{}", "12".repeat(32));
    refused(&late(&[("x-payment-proof", &never), ("x-payment-quote", quote)]).await, "quote_expired");
    let proof = stack.payer().pay(&details).await.to_string();
    // The payee has the money: nobody is told to pay once more.
    let paid_late = late(&[("x-payment-proof", &proof), ("x-payment-quote", quote)]).await;
    assert_eq!(
        (paid_late.status, paid_late.code().as_str()),
        (StatusCode::GONE, "payment_expired"),
        "{}",
        paid_late.body
    );
    assert!(!paid_late.headers.contains_key("x-payment-details"), "{}", paid_late.body);
    assert_eq!(stack.upstream.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_bare_hashes_are_not_taken_the_quote_id_is() {
    let options = StackOptions { verifier: "bare_hashes = false".into(), ..Default::default() };
    let stack = Stack::start_with(SALT402, options).await;
    let body = inference("secret");
    let details = stack.quote(&body).await;
    assert_ne!(details.reference, stack.quote(&body).await.reference);
    let proof = stack.payer().pay(&details).await.to_string();
    let bare = stack.infer(&body, &[("x-payment-proof", &proof)]).await;
    assert_eq!((bare.status, bare.code().as_str()), (StatusCode::PAYMENT_REQUIRED, "quote_required"));
    assert!(!bare.headers.contains_key("x-payment-details"), "whoever has paid is not led to pay again");
    let quote = details.quote_id.as_str();
    let answer = stack.infer(&body, &[("x-payment-proof", &proof), ("x-payment-quote", quote)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

/// A bare hash is on the chain for everybody to read. Whoever shows it gets what was paid for and nothing else, and the
/// payer gets it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_bare_hash_that_a_stranger_shows_first_serves_the_same_request_once_and_its_payer_too() {
    let mut stack = Stack::start(SALT402).await;
    let (body, other) = (inference("paid by somebody"), inference("wanted by a stranger"));
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    // The stranger's own request, and its own quote for it with this hash.
    refused(&stack.infer_with(&other, proof).await, "reference_mismatch");
    let own = stack.quote(&other).await;
    let with_quote =
        [("x-payment-proof", proof.to_string()), ("x-payment-quote", own.quote_id.as_str().to_owned())];
    let with_quote = with_quote.each_ref().map(|(name, value)| (*name, value.as_str()));
    refused(&stack.infer(&other, &with_quote).await, "reference_mismatch");
    assert_eq!(stack.upstream.asked(), 0);

    let stranger = stack.infer_with(&body, proof).await;
    let payer = stack.infer_with(&body, proof).await;
    assert_eq!((payer.status, &payer.body), (StatusCode::OK, &stranger.body));
    assert_eq!((stack.upstream.asked(), stack.status().await["claims"].as_u64()), (1, Some(1)));
    refused(&stack.infer_with(&other, proof).await, "reference_mismatch");
}
