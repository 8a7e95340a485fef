//! What is given to the settler, and what it says again.

use std::sync::atomic::Ordering;

use alloy_primitives::{Address, B256, U256};
use salt402_protocol::X402Reason;

use crate::settler::{SettleFault, Settled};
use crate::testing::{NOW, PRICE, Payer, request};
use crate::tests::{Stand, with};
use crate::verify::facts::Nonce;

#[tokio::test]
async fn a_payment_is_settled_once_and_a_retry_gets_its_result() {
    let stand = Stand::new();
    let payment = request("exact", Payer::new(1).authorize(1));
    let first = stand.settle(&payment).await;
    assert!(first.success);
    assert_eq!((first.transaction, first.network.as_str()), (Some(B256::repeat_byte(0xaa)), "eip155:40204"));
    let json = serde_json::to_value(&first).unwrap();
    assert_eq!(json["transaction"], B256::repeat_byte(0xaa).to_string());
    assert_eq!(json["amount"], "1000");
    // A retry is told the same, after it has ended too.
    salt402_http::clock::set(std::time::Duration::from_secs(NOW + 10_000));
    assert_eq!(stand.settle(&payment).await, first);
    // Whoever is told of a success serves for it. So a copy is told where the money went, and that it buys nothing.
    for key in [None, Some("another key")] {
        let copy = stand.settle_with(&payment, key).await;
        assert_eq!((copy.success, copy.error_reason), (false, Some(X402Reason::NonceAlreadyUsed)), "{key:?}");
        assert_eq!(copy.transaction, first.transaction);
    }
    assert_eq!(stand.settler.settled.load(Ordering::Relaxed), 1);
    assert_eq!(stand.verdict(&payment).await, "invalid_exact_evm_nonce_already_used");
    let approved = stand.settler.approved.lock().unwrap().remove(0);
    assert_eq!(approved.payload.as_ref(), payment.to_string().as_bytes());
    let shown = format!("{approved:?}");
    let signature = payment["paymentPayload"]["payload"]["signature"].as_str().unwrap();
    assert!(!shown.contains(&signature[2..20]), "{shown}");
}

/// The nonce of a payment is on the chain for all to read. Whoever shows it with other terms, and for another shop, is
/// told of no success.
#[tokio::test]
async fn nobody_is_told_another_payments_result() {
    let stand = Stand::new();
    let payment = request("exact", Payer::new(1).authorize(1));
    assert!(stand.settle(&payment).await.success);
    let thief = Address::repeat_byte(9).to_string();
    let mut stolen = with(&payment, "/paymentPayload/payload/authorization/to", thief.clone());
    for requirements in ["/paymentRequirements/payTo", "/paymentPayload/accepted/payTo"] {
        stolen = with(&stolen, requirements, thief.clone());
    }
    let answer = stand.settle(&stolen).await;
    assert_eq!((answer.success, answer.error_reason), (false, Some(X402Reason::NonceAlreadyUsed)));
    let mut cheaper = with(&payment, "/paymentPayload/payload/authorization/value", "1");
    for requirements in ["/paymentRequirements/amount", "/paymentPayload/accepted/amount"] {
        cheaper = with(&cheaper, requirements, "1");
    }
    assert!(!stand.settle(&cheaper).await.success);
    // Nor is who has another signature: it was not what was checked.
    let forged = with(&payment, "/paymentPayload/payload/signature", format!("0x{}", "11".repeat(65)));
    assert!(!stand.settle(&forged).await.success);
    assert_eq!(stand.settler.settled.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn upto_charges_what_is_asked_and_never_more_than_was_signed() {
    for (charge, expected) in [("0", Some(0)), ("1", Some(1)), ("1000", Some(1000)), ("1001", None)] {
        let stand = Stand::new();
        let payment = request("upto", Payer::new(1).permit_upto(1));
        let charged = with(&payment, "/paymentRequirements/amount", charge);
        let answer = stand.settle(&charged).await;
        match expected {
            Some(amount) => {
                assert!(answer.success, "{answer:?}");
                assert_eq!(answer.amount.map(|amount| amount.0), Some(U256::from(amount)));
                assert_eq!(answer.transaction.is_none(), amount == 0);
                let approved = stand.settler.approved.lock().unwrap().remove(0);
                assert_eq!(
                    (approved.charge, approved.authorization.amount),
                    (U256::from(amount), U256::from(PRICE))
                );
                // Another charge of the same permit is another reading.
                let again = stand.settle(&with(&payment, "/paymentRequirements/amount", "7")).await;
                assert_eq!(again.error_reason, Some(X402Reason::Permit2InvalidNonce));
            }
            None => assert_eq!(answer.error_reason, Some(X402Reason::UptoSettlementExceedsAmount)),
        }
    }
}

#[tokio::test]
async fn what_is_invalid_never_reaches_the_settler() {
    let stand = Stand::new();
    let payment = with(&request("exact", Payer::new(1).authorize(1)), "/paymentRequirements/amount", "2");
    let answer = stand.settle(&payment).await;
    assert_eq!(answer.error_reason, Some(X402Reason::ValueMismatch));
    let json = serde_json::to_value(&answer).unwrap();
    assert_eq!((json["transaction"].as_str(), json["network"].as_str()), (Some(""), Some("eip155:40204")));
    assert_eq!(stand.settler.settled.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_pending_settlement_says_so_and_names_its_transaction() {
    let stand = Stand::new();
    let payment = request("exact", Payer::new(1).authorize(1));
    stand.settle(&payment).await;
    for known in stand.settler.claimed.lock().unwrap().values_mut() {
        known.settled = Settled::Pending { transaction: Some(B256::repeat_byte(3)) };
    }
    let answer = stand.settle(&payment).await;
    assert_eq!((answer.success, answer.error_reason), (false, Some(X402Reason::SettlementPending)));
    assert_eq!(answer.transaction, Some(B256::repeat_byte(3)));
    assert_eq!(stand.verdict(&payment).await, "settlement_pending");
}

#[tokio::test]
async fn a_settler_without_room_is_no_verdict_and_a_refusal_is_one() {
    let stand = Stand::new();
    let payment = request("exact", Payer::new(1).authorize(1));
    let body = payment.to_string().into_bytes().into();
    let set = |fault| *stand.settler.fault.lock().unwrap() = Some(fault);
    set(SettleFault::Busy { retry_after_ms: 5, what: "the queue is full".into() });
    let error = stand.facilitator.settle(&body, None, None).await.unwrap_err();
    assert!(matches!(error, crate::FacilitatorError::Busy { retry_after_ms: 5, .. }), "{error:?}");
    set(SettleFault::Refused { reason: X402Reason::InvalidTransactionState, detail: "no".into() });
    assert_eq!(stand.settle(&payment).await.error_reason, Some(X402Reason::InvalidTransactionState));
}

/// Work is done on a permit of `upto` before it is settled. One balance is not promised to all of them.
#[tokio::test]
async fn many_open_permits_cannot_promise_one_balance_many_times() {
    let stand = Stand::new();
    let open = |nonce| request("upto", Payer::new(1).permit_upto(nonce));
    for nonce in 0..10 {
        assert_eq!(stand.verdict(&open(nonce)).await, "valid", "{nonce}");
        assert_eq!(stand.verdict(&open(nonce)).await, "valid", "{nonce} again is no other");
    }
    assert_eq!(stand.verdict(&open(10)).await, "permit2_insufficient_balance");
    let exact = request("exact", Payer::new(1).authorize(1));
    assert_eq!(stand.verdict(&exact).await, "invalid_exact_evm_insufficient_balance");
    assert_eq!(
        stand.verdict(&request("upto", Payer::new(2).permit_upto(1))).await,
        "valid",
        "of another payer"
    );
    // What is settled is the settler's to count, whatever was charged.
    for nonce in [3, 4] {
        let answer = stand.settle(&with(&open(nonce), "/paymentRequirements/amount", "1")).await;
        assert!(answer.success, "{answer:?}");
    }
    assert_eq!(stand.verdict(&open(11)).await, "valid");
    assert_eq!(stand.verdict(&exact).await, "valid", "a payment of exactly the amount holds nothing");
    assert_eq!(stand.verdict(&request("exact", Payer::new(1).authorize(2))).await, "valid");
    assert_eq!(stand.verdict(&open(12)).await, "valid");
    assert_eq!(stand.verdict(&open(13)).await, "permit2_insufficient_balance");
}

/// What was worked for is taken as long as it is there, though less is there than was signed, and others are open.
#[tokio::test]
async fn what_is_charged_is_taken_if_it_is_there() {
    let stand = Stand::new();
    let open = |nonce| request("upto", Payer::new(1).permit_upto(nonce));
    for nonce in 0..10 {
        assert_eq!(stand.verdict(&open(nonce)).await, "valid");
    }
    stand.accounts.set(|facts| facts.payer.balance = Some(U256::from(300)));
    let charge = |nonce, charge: &str| with(&open(nonce), "/paymentRequirements/amount", charge);
    assert_eq!(
        stand.settle(&charge(0, "301")).await.error_reason,
        Some(X402Reason::Permit2InsufficientBalance)
    );
    assert!(stand.settle(&charge(1, "300")).await.success);
    stand.accounts.set(|facts| facts.payer.allowance = Some(U256::from(299)));
    assert_eq!(
        stand.settle(&charge(2, "300")).await.error_reason,
        Some(X402Reason::Permit2AllowanceRequired)
    );
    assert!(stand.settle(&charge(3, "299")).await.success);
    assert!(stand.settle(&charge(4, "0")).await.success, "nothing needs nothing");
}

/// A server asks for each copy that it verified before the first was settled, and serves for each success.
#[tokio::test]
async fn of_many_copies_at_once_one_is_told_of_a_success() {
    for payment in [
        request("exact", Payer::new(1).authorize(1)),
        request("exact", Payer::new(1).permit(1)),
        request("upto", Payer::new(1).permit_upto(1)),
    ] {
        let stand = Stand::new();
        for _ in 0..8 {
            assert_eq!(stand.verdict(&payment).await, "valid");
        }
        let copies = (0..8).map(|_| stand.settle_with(&payment, None));
        let answers = futures::future::join_all(copies).await;
        assert_eq!(answers.iter().filter(|answer| answer.success).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| answer.transaction == Some(B256::repeat_byte(0xaa))));
        // It is on disk: the next process does not tell it once more.
        assert!(!Stand::new().over(&stand).settle_with(&payment, None).await.success);
    }
}

/// All but the signature can be read off the chain.
#[tokio::test]
async fn whoever_has_not_the_signature_is_told_of_no_success() {
    let stand = Stand::new();
    let payment = request("exact", Payer::new(1).authorize(1));
    assert!(stand.settle(&payment).await.success);
    let stand = Stand::new().over(&stand);
    let signature = Payer::new(2).authorize(1)["signature"].clone();
    let stolen = with(&payment, "/paymentPayload/payload/signature", signature);
    let answer = stand.settle(&stolen).await;
    assert_eq!((answer.success, answer.error_reason), (false, Some(X402Reason::NonceAlreadyUsed)));
    assert!(stand.settle(&payment).await.success);
}

#[tokio::test]
async fn permits_that_are_judged_at_once_cannot_promise_one_balance_many_times() {
    let stand = Stand::new();
    let payments: Vec<_> = (0..15).map(|nonce| request("upto", Payer::new(1).permit_upto(nonce))).collect();
    let verdicts = futures::future::join_all(payments.iter().map(|payment| stand.verdict(payment))).await;
    let valid = verdicts.iter().filter(|verdict| **verdict == "valid").count();
    assert_eq!(valid, 10, "the balance is ten prices: {verdicts:?}");
}

/// Whoever did the work says what is charged. A payer that is a caller too would say 0.
#[tokio::test]
async fn what_one_caller_verified_no_other_settles() {
    use crate::policy::CallerRules;
    let stand = Stand::new();
    let caller = |name: &str| crate::Caller { name: name.into(), rules: CallerRules::default() };
    let (shop, thief) = (caller("shop"), caller("thief"));
    let payment = request("upto", Payer::new(1).permit_upto(1));
    let verify = async |caller: &crate::Caller| {
        stand.facilitator.verify(payment.to_string().as_bytes(), Some(caller)).await.unwrap().is_valid
    };
    let settle = async |caller: &crate::Caller, charge: &str| {
        let charged = with(&payment, "/paymentRequirements/amount", charge).to_string().into_bytes();
        stand.facilitator.settle(&charged.into(), Some(caller), None).await
    };
    assert!(verify(&shop).await);
    assert!(!verify(&thief).await);
    let refused = settle(&thief, "0").await.unwrap();
    assert_eq!(
        (refused.success, refused.error_reason),
        (false, Some(X402Reason::InvalidPaymentRequirements))
    );
    // Not even where there was no room for the shop's own.
    let busy = SettleFault::Busy { retry_after_ms: 5, what: "the queue is full".into() };
    *stand.settler.fault.lock().unwrap() = Some(busy);
    settle(&shop, "900").await.unwrap_err();
    *stand.settler.fault.lock().unwrap() = None;
    assert!(!settle(&thief, "0").await.unwrap().success);
    let settled = settle(&shop, "900").await.unwrap();
    assert_eq!(settled.amount.map(|amount| amount.0), Some(U256::from(900)));
}

/// Its signature can be read in the mempool. And what was valid when it was kept may have been settled by somebody else since, which no
/// process has to remember.
#[tokio::test]
async fn what_a_gateway_keeps_is_settled_with_its_key_alone_also_by_the_next_process() {
    for payment in [
        request("exact", Payer::new(1).authorize(1)),
        request("exact", Payer::new(1).permit(1)),
        with(&request("upto", Payer::new(1).permit_upto(1)), "/paymentRequirements/amount", "0"),
    ] {
        let stand = Stand::new();
        *stand.settler.kept.lock().unwrap() = Some("own".to_owned());
        let is_refused = async || {
            for key in [None, Some("another")] {
                let answer = stand.settle_with(&payment, key).await;
                let used = [X402Reason::NonceAlreadyUsed, X402Reason::Permit2InvalidNonce];
                assert!(
                    !answer.success && answer.error_reason.is_some_and(|why| used.contains(&why)),
                    "{answer:?}"
                );
                assert_eq!(answer.transaction, None);
            }
        };
        is_refused().await;
        assert_eq!(stand.settler.settled.load(Ordering::Relaxed), 0);
        stand.accounts.0.lock().unwrap().nonce = Nonce::Used;
        assert!(stand.settle_with(&payment, Some("own")).await.success);
        assert!(stand.settle_with(&payment, Some("own")).await.success);
        is_refused().await;
        assert_eq!(stand.settler.settled.load(Ordering::Relaxed), 1);
    }
}

/// Between the look at the row and the telling, its block may leave the chain. To say "told before" would make whoever paid pay
/// again.
#[tokio::test]
async fn a_success_whose_block_left_before_it_was_told_is_pending_and_told_later() {
    let stand = Stand::new();
    let payment = request("exact", Payer::new(1).authorize(1));
    stand.settler.unsettled.store(true, Ordering::Relaxed);
    for key in [None, Some("a key")] {
        let answer = stand.settle_with(&payment, key).await;
        assert_eq!((answer.success, answer.error_reason), (false, Some(X402Reason::SettlementPending)));
    }
    stand.settler.unsettled.store(false, Ordering::Relaxed);
    assert!(stand.settle_with(&payment, None).await.success);
    assert_eq!(stand.settle_with(&payment, None).await.error_reason, Some(X402Reason::NonceAlreadyUsed));
}

#[tokio::test]
async fn nothing_is_called_valid_or_claimed_where_nothing_is_settled() {
    let stand = Stand::new();
    let (payment, other) =
        (request("exact", Payer::new(1).authorize(1)), request("exact", Payer::new(1).authorize(2)));
    assert!(stand.settle(&payment).await.success);
    *stand.settler.complaint.lock().unwrap() = Some("it broke".into());
    assert!(stand.facilitator.verify(other.to_string().as_bytes(), None).await.is_err());
    let body: bytes::Bytes = other.to_string().into_bytes().into();
    assert!(stand.facilitator.settle(&body, None, None).await.is_err());
    assert_eq!(stand.settler.settled.load(Ordering::Relaxed), 1);
    let health = stand.facilitator.health().await;
    assert!(!health.is_empty() && health.iter().all(|(_, why)| why == "it broke"), "{health:?}");
    // What was settled is told all the same.
    assert!(stand.settle(&payment).await.success);
    *stand.settler.complaint.lock().unwrap() = None;
    assert!(stand.settle(&other).await.success);
    assert!(stand.facilitator.health().await.is_empty());
}

/// One of two copies is settled between the look of the other for a claim and its look at the chain. What it sees there is the
/// first one's doing, and no reason to have whoever paid pay again.
#[tokio::test]
async fn a_copy_that_sees_its_nonce_used_finds_who_used_it() {
    let first = Stand::new();
    let payment = request("exact", Payer::new(1).authorize(1));
    let answer = first.settle_with(&payment, Some("a key")).await;
    assert!(answer.success);
    let settled_meanwhile = |stand: &Stand| {
        let (claimed, told, settler) = (
            first.settler.claimed.lock().unwrap().clone(),
            first.settler.told.lock().unwrap().clone(),
            stand.settler.clone(),
        );
        *stand.accounts.3.lock().unwrap() = Some(Box::new(move |facts| {
            *settler.claimed.lock().unwrap() = claimed;
            *settler.told.lock().unwrap() = told;
            facts.nonce = Nonce::Used;
        }));
    };
    let stand = Stand::new();
    settled_meanwhile(&stand);
    assert_eq!(stand.settle_with(&payment, Some("a key")).await, answer, "the same request");
    let stand = Stand::new();
    settled_meanwhile(&stand);
    let copy = stand.settle_with(&payment, None).await;
    assert_eq!((copy.success, copy.transaction), (false, answer.transaction));
    // Who asks to verify is told how it stands.
    let stand = Stand::new();
    for known in first.settler.claimed.lock().unwrap().values_mut() {
        known.settled = Settled::Pending { transaction: None };
    }
    settled_meanwhile(&stand);
    assert_eq!(stand.verdict(&payment).await, "settlement_pending");
    assert_eq!(stand.settler.settled.load(Ordering::Relaxed), 0);
}

/// A server was told that a payment is good, and somebody else submitted it. That is known on disk alone after a restart.
#[tokio::test]
async fn what_was_called_valid_before_it_was_used_is_settled_by_the_next_process_too() {
    for (scheme, payload, other) in [
        ("exact", Payer::new(1).authorize(1), Payer::new(1).authorize(2)),
        ("exact", Payer::new(1).permit(1), Payer::new(1).permit(2)),
    ] {
        let (payment, other) = (request(scheme, payload), request(scheme, other));
        let before = Stand::new();
        assert_eq!(before.verdict(&payment).await, "valid");
        let stand = Stand::new().over(&before);
        stand.accounts.set(|facts| facts.nonce = Nonce::Used);
        // What nobody was shown before can be read off the chain by anybody.
        assert!(!stand.settle(&other).await.success);
        assert_eq!(stand.settler.settled.load(Ordering::Relaxed), 0);
        assert!(stand.settle(&payment).await.success);
        // Its time is over too. Nothing is claimed for it where it was not used.
        let stand = Stand::new().over(&before);
        stand.settler.claimed.lock().unwrap().clear();
        stand.settler.told.lock().unwrap().clear();
        salt402_http::clock::set(std::time::Duration::from_secs(NOW + 10_000));
        let late = stand.settle(&payment).await;
        let over = [X402Reason::ValidBefore, X402Reason::Permit2DeadlineExpired];
        assert!(late.error_reason.is_some_and(|reason| over.contains(&reason)), "{late:?}");
        stand.accounts.set(|facts| facts.nonce = Nonce::Used);
        assert!(stand.settle(&payment).await.success);
    }
}

/// Two payments can be signed with one nonce. The one that was called valid is not the other one.
#[tokio::test]
async fn what_was_signed_is_what_was_called_valid() {
    let before = Stand::new();
    let payment = request("exact", Payer::new(1).authorize(1));
    assert_eq!(before.verdict(&payment).await, "valid");
    let signature = "/paymentPayload/payload/signature";
    let forged = with(&payment, signature, Payer::new(1).authorize(2)["signature"].clone());
    let stand = Stand::new().over(&before);
    stand.accounts.set(|facts| facts.nonce = Nonce::Used);
    assert!(!stand.settle(&forged).await.success);
    assert_eq!(stand.settler.settled.load(Ordering::Relaxed), 0);
}

/// Under `upto` whoever was told that a permit is good says what is charged, also after a restart.
#[tokio::test]
async fn a_permit_is_of_the_caller_that_had_it_verified_in_the_next_process_too() {
    let caller = |name: &str| crate::callers::Caller { name: name.to_owned(), rules: Default::default() };
    let (shop, thief) = (caller("shop"), caller("thief"));
    let before = Stand::new();
    let permit = request("upto", Payer::new(1).permit_upto(1));
    let body: bytes::Bytes = permit.to_string().into_bytes().into();
    assert!(before.facilitator.verify(&body, Some(&shop)).await.unwrap().is_valid);
    let stand = Stand::new().over(&before);
    let nothing: bytes::Bytes =
        with(&permit, "/paymentRequirements/amount", "0").to_string().into_bytes().into();
    let refused = stand.facilitator.settle(&nothing, Some(&thief), None).await.unwrap();
    assert_eq!(refused.error_reason, Some(X402Reason::InvalidPaymentRequirements));
    let verdict = stand.facilitator.verify(&body, Some(&thief)).await.unwrap();
    assert_eq!(verdict.invalid_reason, Some(X402Reason::InvalidPaymentRequirements));
    assert!(stand.facilitator.settle(&body, Some(&shop), None).await.unwrap().success);
}

/// Nothing is held of a permit whose settlement was tried and failed, and may be tried again.
#[tokio::test]
async fn a_permit_whose_settlement_failed_stays_of_the_caller_that_had_it_verified() {
    let caller = |name: &str| crate::callers::Caller { name: name.to_owned(), rules: Default::default() };
    let (shop, thief) = (caller("shop"), caller("thief"));
    let stand = Stand::new();
    let body: bytes::Bytes = request("upto", Payer::new(1).permit_upto(1)).to_string().into_bytes().into();
    assert!(stand.facilitator.verify(&body, Some(&shop)).await.unwrap().is_valid);
    assert!(stand.facilitator.settle(&body, Some(&shop), Some("a key")).await.unwrap().success);
    // As of a transaction that failed.
    stand.settler.claimed.lock().unwrap().clear();
    let verdict = stand.facilitator.verify(&body, Some(&thief)).await.unwrap();
    assert_eq!(verdict.invalid_reason, Some(X402Reason::InvalidPaymentRequirements));
    assert!(stand.facilitator.verify(&body, Some(&shop)).await.unwrap().is_valid);
}
