//! Balances that a payment buys: by a transaction, by a signature, by a voucher; and what becomes of one whose payment leaves the chain.

use reqwest::StatusCode;
use salt402_protocol::{ApiKey, Asset};
use salt402_tests::x402::X402Payer;
use salt402_tests::{
    Answer, Facilitating, FacilitatorOptions, Stack, StackOptions, inference, payment_details,
};
use serde_json::{Value, json};

use crate::SALT402;
use crate::charging::{CHAT, chat};
use crate::keys::{USED, ask, bearer, figure, keys, look, offers_nothing, options};
use crate::signed::{SIGNATURES, is_final, required, sign};
use crate::vouchers::opened;

/// What buys a balance, by a transaction: the headers that show it.
pub(crate) async fn paid(stack: &Stack, body: &Value) -> [(&'static str, String); 2] {
    let details = payment_details(&buy(stack, body, &[]).await);
    let hash = stack.payer().pay(&details).await;
    [("x-payment-proof", hash.to_string()), ("x-payment-quote", details.quote_id.as_str().to_owned())]
}

pub(crate) async fn buy(stack: &Stack, body: &Value, headers: &[(&str, &str)]) -> Answer {
    stack.post(&format!("{}/v1/balance", stack.gateway), body, headers).await
}

pub(crate) fn pairs<'h>(headers: &'h [(&'static str, String); 2]) -> [(&'static str, &'h str); 2] {
    [(headers[0].0, &headers[0].1), (headers[1].0, &headers[1].1)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_buys_a_key_that_only_its_payer_is_told_and_another_tops_it_up() {
    let mut stack = Stack::start_with(SALT402, options()).await;
    let body = json!({ "amount": "5000", "plan": "pro" });
    let shown = paid(&stack, &body).await;
    let bought = buy(&stack, &body, &pairs(&shown)).await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.body);
    let told = bought.json();
    assert_eq!((&told["credited"], &told["balance"]), (&json!("5500"), &json!("5500")), "{told}");
    let key = told["key"].as_str().unwrap().to_owned();
    let account = told["account"].as_str().unwrap().to_owned();

    // Whoever reads the payment off the chain is told nothing, by the hash alone or by a quote of its own, and the payer is again.
    let (hash, quote) = (shown[0].1.as_str(), &shown[1].1);
    let bare = buy(&stack, &body, &[("x-payment-proof", hash)]).await;
    assert_eq!(bare.code(), "quote_required", "{}", bare.body);
    let own = payment_details(&buy(&stack, &body, &[]).await);
    assert_ne!(own.quote_id.as_str(), quote, "quotes of balances are nobody else's");
    let headers = [("x-payment-proof", hash), ("x-payment-quote", own.quote_id.as_str())];
    let stranger = buy(&stack, &body, &headers).await;
    assert!(!stranger.status.is_success() && !stranger.body.contains(&key), "{}", stranger.body);
    stack.kill();
    stack.up().await;
    let again = buy(&stack, &body, &pairs(&shown)).await;
    assert_eq!(again.json(), told, "the key is derived again");
    let database = std::fs::read(stack.database()).unwrap();
    let secret = key.trim_start_matches("sk-402-").as_bytes();
    assert!(!database.windows(secret.len()).any(|window| window == secret), "the key is at rest");

    let answer = ask(&stack, CHAT, &chat("one", false), &key).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    // A top-up names the account, and the body is judged before anything is asked.
    let top_up = json!({ "amount": "2000", "account": account });
    let shown = paid(&stack, &top_up).await;
    let headers = pairs(&shown);
    let (one, two) = tokio::join!(buy(&stack, &top_up, &headers), buy(&stack, &top_up, &headers));
    for answer in [one, two] {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert!(answer.json().get("key").is_none(), "{}", answer.body);
    }
    assert_eq!(figure(&stack, &key, "credited").await, 7500);
    assert_eq!(figure(&stack, &key, "balance").await, 7500 - USED);
    for (bad, code) in [
        (json!({ "amount": "999" }), "invalid_request"),
        (json!({ "amount": "100000000001" }), "invalid_request"),
        (json!({ "amount": 5000 }), "malformed_json"),
        (json!({ "amount": "5000", "plan": "none" }), "invalid_request"),
        (json!({ "amount": "5000", "more": 1 }), "malformed_json"),
        (json!({ "amount": "5000", "account": format!("0x{}", "00".repeat(16)) }), "account_closed"),
    ] {
        let refused = buy(&stack, &bad, &[]).await;
        assert_eq!(refused.code(), code, "{bad}: {}", refused.body);
        offers_nothing(&refused);
    }
    let with_key = buy(&stack, &top_up, &[("authorization", &bearer(&key))]).await;
    assert_eq!(with_key.status, StatusCode::BAD_REQUEST, "{}", with_key.body);

    // A payment for an account that was revoked meanwhile is not used up.
    let shown = paid(&stack, &top_up).await;
    keys(&stack, &["revoke", &account, "--note", "lost"]);
    let closed = buy(&stack, &top_up, &pairs(&shown)).await;
    assert_eq!((closed.status.as_u16(), closed.code().as_str()), (409, "account_closed"), "{}", closed.body);
    offers_nothing(&closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_buys_a_key_and_the_same_payer_is_told_it_again() {
    let stack = StackOptions { payment: SIGNATURES.into(), ..options() };
    let stand = Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    let payer = X402Payer::new();
    stand.fund(payer.address, 1_000_000_000_000_000_000).await;
    let body = json!({ "amount": "7000" });
    let asked = required(&buy(&stand.stack, &body, &[]).await);
    assert_eq!(asked["accepts"][0]["amount"], "7000");
    let signed = sign(&payer, &stand.wrapped, &asked, 1);
    let bought = buy(&stand.stack, &body, &[("payment-signature", &signed)]).await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.body);
    assert!(bought.headers.contains_key("payment-response"));
    let told = bought.json();
    let key = told["key"].as_str().unwrap().to_owned();
    assert_eq!(stand.paid(&stand.wrapped).await, 7000);
    // Whoever lost the answer and signs anew is told it, and pays nothing more.
    let anew = sign(&payer, &stand.wrapped, &required(&buy(&stand.stack, &body, &[]).await), 2);
    for signed in [&signed, &anew] {
        let again = buy(&stand.stack, &body, &[("payment-signature", signed)]).await;
        assert_eq!(again.status, StatusCode::OK, "{}", again.body);
        assert_eq!(again.json()["key"], key);
    }
    assert_eq!(stand.paid(&stand.wrapped).await, 7000);
    assert_eq!(ask(&stand.stack, CHAT, &chat("one", false), &key).await.status, StatusCode::OK);
    // A key and a signature in one request: nothing is settled.
    let other = sign(&payer, &stand.wrapped, &required(&stand.stack.infer(&inference("x"), &[]).await), 3);
    let headers = [("authorization", bearer(&key)), ("payment-signature", other)];
    let headers = [(headers[0].0, headers[0].1.as_str()), (headers[1].0, headers[1].1.as_str())];
    is_final(&stand.stack.infer(&inference("x"), &headers).await, "malformed_proof");
    assert_eq!(stand.paid(&stand.wrapped).await, 7000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_for_a_plan_that_is_sold_no_more_is_credited() {
    let mut stack = Stack::start_with(SALT402, options()).await;
    let body = json!({ "amount": "5000", "plan": "pro" });
    let shown = paid(&stack, &body).await;
    stack.kill();
    let keys = "keys = { least = \"6000\", most = \"7000\" }".to_owned();
    stack.configure(&StackOptions { gateway: keys, ..options() });
    stack.up().await;
    // It is sold to nobody, and whoever has paid is not led to pay again.
    assert_eq!(buy(&stack, &body, &[]).await.code(), "invalid_request");
    for _ in 0..2 {
        let bought = buy(&stack, &body, &pairs(&shown)).await;
        assert_eq!(bought.status, StatusCode::OK, "{}", bought.body);
        let told = bought.json();
        assert_eq!((&told["credited"], &told["balance"]), (&json!("5000"), &json!("5000")), "{told}");
        assert!(told["key"].is_string(), "{told}");
    }
    // Another body than the one that was paid for is credited nothing.
    let other = json!({ "amount": "4000", "plan": "pro" });
    let refused = buy(&stack, &other, &pairs(&shown)).await;
    assert!(!refused.status.is_success(), "{}", refused.body);
    offers_nothing(&refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_settled_for_an_account_that_takes_no_payments() {
    let stack = StackOptions { payment: SIGNATURES.into(), ..options() };
    let stand = Facilitating::start_with(SALT402, FacilitatorOptions { stack, ..Default::default() }).await;
    let payer = X402Payer::new();
    stand.fund(payer.address, 1_000_000_000_000_000_000).await;
    let own = "sk-402-3q2mB7vXcT9wZ1kLp8RtYuN5sD6fGhJ0";
    let hash = ApiKey::read(own).unwrap().hash();
    let first = json!({ "amount": "7000", "key_sha256": hash });
    let signed = sign(&payer, &stand.wrapped, &required(&buy(&stand.stack, &first, &[]).await), 1);
    let bought = buy(&stand.stack, &first, &[("payment-signature", &signed)]).await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.body);
    let account = bought.json()["account"].as_str().unwrap().to_owned();
    // Asked for while it was open, and shown after it was closed: by its id, and by its key.
    let bodies =
        [json!({ "amount": "8000", "account": account }), json!({ "amount": "8000", "key_sha256": hash })];
    let mut asked = Vec::new();
    for body in &bodies {
        asked.push(required(&buy(&stand.stack, body, &[]).await));
    }
    keys(&stand.stack, &["revoke", &account, "--note", "lost"]);
    for (nonce, (body, asked)) in (2..).zip(bodies.iter().zip(&asked)) {
        let unpaid = buy(&stand.stack, body, &[]).await;
        assert_eq!(unpaid.code(), "account_closed", "{body}: {}", unpaid.body);
        offers_nothing(&unpaid);
        let signed = sign(&payer, &stand.wrapped, asked, nonce);
        let refused = buy(&stand.stack, body, &[("payment-signature", &signed)]).await;
        is_final(&refused, "account_closed");
    }
    assert_eq!(stand.paid(&stand.wrapped).await, 7000, "nothing more was moved");
    // What was settled before is answered as it was.
    let again = buy(&stand.stack, &first, &[("payment-signature", &signed)]).await;
    assert_eq!(
        (again.status, again.json()["credited"].as_str()),
        (StatusCode::OK, Some("7000")),
        "{}",
        again.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_buys_a_balance_for_a_key_that_its_buyer_made() {
    let mut stack = Stack::start_with(SALT402, options()).await;
    let channel = opened(&mut stack, Asset::Native, 20_000, 1).await;
    let key = "sk-402-3q2mB7vXcT9wZ1kLp8RtYuN5sD6fGhJ0";
    let hash = ApiKey::read(key).unwrap().hash();
    let without = json!({ "amount": "5000" });
    let refused = buy(&stack, &without, &[("x-payment-proof", &channel.proof(5000))]).await;
    assert_eq!(
        (refused.code().as_str(), refused.status.as_u16()),
        ("invalid_request", 422),
        "{}",
        refused.body
    );
    let body = json!({ "amount": "5000", "key_sha256": hash });
    let bought = buy(&stack, &body, &[("x-payment-proof", &channel.proof(5000))]).await;
    assert_eq!(bought.status, StatusCode::OK, "{}", bought.body);
    assert!(bought.json().get("key").is_none());
    assert_eq!(ask(&stack, CHAT, &chat("one", false), key).await.status, StatusCode::OK);
    // Another for the same key tops it up.
    let more = json!({ "amount": "4000", "key_sha256": hash });
    let topped_up = buy(&stack, &more, &[("x-payment-proof", &channel.proof(9000))]).await;
    assert_eq!(topped_up.status, StatusCode::OK, "{}", topped_up.body);
    assert_eq!(figure(&stack, key, "balance").await, 9000 - USED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_whose_payment_leaves_the_chain_is_blocked_until_it_is_settled() {
    let mut stack = Stack::start_with(SALT402, options()).await;
    let body = json!({ "amount": "5000" });
    let shown = paid(&stack, &body).await;
    let told = buy(&stack, &body, &pairs(&shown)).await.json();
    let (key, account) =
        (told["key"].as_str().unwrap().to_owned(), told["account"].as_str().unwrap().to_owned());
    assert_eq!(ask(&stack, CHAT, &chat("one", false), &key).await.status, StatusCode::OK);
    stack.anvil.reorg(1).await;
    let status = format!("{}/v1/status", stack.verifier);
    stack.until(&status, |answer| answer.json()["open_incidents"] == 1).await;
    let blocked = ask(&stack, CHAT, &chat("two", false), &key).await;
    assert_eq!(
        (blocked.status.as_u16(), blocked.code().as_str()),
        (403, "balance_blocked"),
        "{}",
        blocked.body
    );
    offers_nothing(&blocked);
    assert_eq!(look(&stack, "/v1/balance", &key).await.json()["state"], "blocked");
    let (_, shown) = keys(&stack, &["show", &account, "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let entries = shown["entries"].as_array().unwrap();
    let payment = entries.iter().find(|entry| entry["kind"] == "payment").unwrap()["id"].as_str().unwrap();
    let (code, said) = keys(&stack, &["refund", &account, "--payment", payment, "--note", "it was lost"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(figure(&stack, &key, "balance").await, 0);
    assert_eq!(ask(&stack, CHAT, &chat("two", false), &key).await.code(), "balance_too_low");
}
