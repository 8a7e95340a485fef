//! A payment that is shown with a hash that is not its transaction's, as wallets, bundlers and Safes tell them.

use alloy_primitives::{B256, hex};
use alloy_sol_types::SolCall as _;
use reqwest::StatusCode;
use salt402_protocol::contracts::ISaltPay;
use salt402_protocol::details::PaymentDetails;
use salt402_tests::{Stack, inference, payment_details};
use serde_json::{Value, json};

use crate::SALT402;

/// A price whose quote nobody else is given, as our clients ask for it.
async fn secret_quote(stack: &Stack, body: &Value) -> PaymentDetails {
    payment_details(&stack.infer(body, &[("x-payment-binding", "quote")]).await)
}

/// Sends a payment from an account whose key anvil holds, at a place among its transactions and a price for gas.
async fn send(stack: &Stack, details: &PaymentDetails, nonce: u64, gwei: u64) -> B256 {
    let call =
        ISaltPay::payCall { paymentReference: details.reference, payee: details.recipient }.abi_encode();
    let fee = format!("{:#x}", gwei * 1_000_000_000);
    let accounts = stack.anvil.ask("eth_accounts", json!([])).await;
    let sent = json!([{
        "from": accounts[5], "to": details.payment_contract, "value": format!("{:#x}", details.amount.0),
        "data": hex::encode_prefixed(call), "nonce": format!("{nonce:#x}"), "gas": "0x30d40",
        "maxFeePerGas": fee, "maxPriorityFeePerGas": fee,
    }]);
    let hash = stack.anvil.ask("eth_sendTransaction", sent).await;
    hash.as_str().expect("a hash").parse().expect("a hash")
}

#[tokio::test(flavor = "multi_thread")]
async fn c20_a_transaction_that_was_replaced_pays_by_the_hash_that_its_payer_knows() {
    let stack = Stack::start(SALT402).await;
    let body = inference("replaced");
    let details = secret_quote(&stack, &body).await;
    stack.anvil.automine(false).await;
    let replaced = send(&stack, &details, 0, 10).await;
    let shown =
        [("x-payment-proof", replaced.to_string()), ("x-payment-quote", details.quote_id.as_str().into())];
    let shown: Vec<_> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
    // It waits for the payment, which comes as another transaction.
    let waiting = stack.infer(&body, &shown);
    let mined = async {
        let hash = send(&stack, &details, 0, 100).await;
        stack.anvil.mine(1).await;
        hash
    };
    let (answer, hash) = tokio::join!(waiting, mined);
    assert_ne!(hash, replaced);
    assert_eq!(stack.anvil.block_of(replaced).await, None, "it is in no block");
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let receipt: Value = serde_json::from_str(answer.headers["x-payment-receipt"].to_str().unwrap()).unwrap();
    assert_eq!(receipt["transaction"], hash.to_string(), "it is told which transaction it was");
    // By either hash it is the same answer, and one run.
    assert_eq!(stack.infer(&body, &shown).await.body, answer.body);
    let right =
        [("x-payment-proof", hash.to_string()), ("x-payment-quote", details.quote_id.as_str().into())];
    let right: Vec<_> = right.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(stack.infer(&body, &right).await.body, answer.body);
    assert_eq!(stack.upstream.asked(), 1);
}

/// The hash of a user operation is 32 bytes that no node has a transaction for.
#[tokio::test(flavor = "multi_thread")]
async fn c20_a_hash_of_a_user_operation_pays_where_the_quote_is_secret_and_nobody_is_led_to_pay_again() {
    let mut stack = Stack::start(SALT402).await;
    let operation = B256::repeat_byte(0xab).to_string();
    let (secret, shared) = (inference("secret"), inference("shared"));
    let details = secret_quote(&stack, &secret).await;
    let derived = stack.quote(&shared).await;
    stack.payer().pay(&details).await;
    let payment = stack.payer().pay(&derived).await.to_string();
    stack.indexed(stack.anvil.height().await).await;
    let shown = [("x-payment-proof", operation.as_str()), ("x-payment-quote", details.quote_id.as_str())];
    let answer = stack.infer(&secret, &shown).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    stack.kill();
    stack.up().await;
    assert_eq!(stack.infer(&secret, &shown).await.body, answer.body, "another process finds it, too");
    // Whoever asks for the same prompt has this quote id, and no hash.
    let stranger = [("x-payment-proof", operation.as_str()), ("x-payment-quote", derived.quote_id.as_str())];
    let refused = stack.infer(&shared, &stranger).await;
    assert_eq!(refused.code(), "payment_not_seen");
    assert!(!refused.headers.contains_key("x-payment-details"), "{}", refused.body);
    assert_eq!(stack.upstream.asked(), 1);
    let own = [("x-payment-proof", payment.as_str()), ("x-payment-quote", derived.quote_id.as_str())];
    assert_eq!(stack.infer(&shared, &own).await.status, StatusCode::OK);
    // A hash of another payment and this quote id are two readings.
    let unused = secret_quote(&stack, &inference("third")).await;
    stack.payer().pay(&unused).await;
    stack.indexed(stack.anvil.height().await).await;
    let mixed = [("x-payment-proof", payment.as_str()), ("x-payment-quote", unused.quote_id.as_str())];
    let refused = stack.infer(&inference("third"), &mixed).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::CONFLICT, "ambiguous_payment"));
    assert!(!refused.headers.contains_key("x-payment-details"));
}
