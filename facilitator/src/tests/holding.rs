//! What verified permits of `upto` hold of their payers' balances.

use std::time::Duration;

use alloy_primitives::{Address, U256};

use crate::authorization::Authorization;
use crate::testing::{NOW, PRICE, Payer, request};
use crate::tests::{Stand, some_permit, with};
use crate::verify::held::{Held, NotHeld};

fn lasting() -> Held {
    Held::new(Duration::from_secs(600))
}

#[tokio::test]
async fn a_permit_that_has_expired_holds_nothing() {
    let stand = Stand::new();
    let mut first = request("upto", Payer::new(1).permit_upto(1));
    stand.accounts.set(|facts| facts.payer.balance = Some(U256::from(PRICE)));
    assert_eq!(stand.verdict(&first).await, "valid");
    let exact = request("exact", Payer::new(1).authorize(1));
    assert_eq!(stand.verdict(&exact).await, "invalid_exact_evm_insufficient_balance");
    salt402_http::clock::set(Duration::from_secs(NOW + 301));
    first = with(&first, "/paymentPayload/payload/permit2Authorization/nonce", "2");
    assert_eq!(stand.verdict(&first).await, "permit2_deadline_expired");
    let authorization = Authorization { amount: U256::ZERO, ..some_permit() };
    let held = lasting();
    held.hold(&some_permit(), None, U256::ZERO, NOW).unwrap();
    assert_eq!(
        held.of_others(&Authorization { nonce: U256::from(9), ..authorization.clone() }, NOW),
        U256::from(PRICE)
    );
    assert_eq!(held.of_others(&authorization, NOW), U256::ZERO, "its own is none of others");
    let other = Authorization { nonce: U256::from(9), ..authorization };
    assert_eq!(held.of_others(&other, NOW + 301), U256::ZERO);
}

/// Small permits use up the memory of what is open, and not the balance.
#[tokio::test]
async fn a_payer_with_too_many_open_permits_gets_no_more() {
    let held = lasting();
    let permit = |nonce| Authorization { nonce: U256::from(nonce), amount: U256::ONE, ..some_permit() };
    let mut open: u64 = 0;
    while held.hold(&permit(open), None, U256::from(open), NOW).is_ok() {
        open += 1;
        assert!(open < 100_000, "there is no end");
    }
    assert_eq!(held.of_others(&permit(open), NOW), U256::from(open), "all that were called good are known");
}

/// Anybody can name a payer, and what is held of others must not be forgotten for that.
#[tokio::test]
async fn forged_payers_push_out_nobody() {
    let held = lasting();
    held.hold(&some_permit(), None, U256::ZERO, NOW).unwrap();
    for number in 0..100_000_u64 {
        let payer = Address::left_padding_from(&number.to_be_bytes());
        let forged = Authorization { payer, ..some_permit() };
        assert_eq!(held.of_others(&forged, NOW), U256::ZERO);
        assert!(!held.is_of_another(&forged, Some("shop")));
        held.release(&forged);
    }
    assert!(held.is_of_another(&some_permit(), Some("shop")));
}

/// A server that failed at its work never settles. Its payer can go on after a while, and nobody else may settle it.
#[test]
fn a_permit_that_is_never_settled_holds_its_payers_balance_for_a_while_and_is_still_its_servers() {
    let held = Held::new(Duration::from_secs(60));
    let until = U256::from(NOW + 10_000);
    let permit = |nonce| Authorization { nonce: U256::from(nonce), valid_before: until, ..some_permit() };
    let price = U256::from(PRICE);
    held.hold(&permit(1), Some("shop"), U256::ZERO, NOW).unwrap();
    assert_eq!(held.of_others(&permit(2), NOW + 60), price);
    assert_eq!(held.hold(&permit(2), Some("shop"), U256::ZERO, NOW + 60), Err(NotHeld::Changed));
    assert_eq!(held.of_others(&permit(2), NOW + 61), U256::ZERO);
    held.hold(&permit(2), Some("shop"), U256::ZERO, NOW + 61).unwrap();
    assert!(held.is_of_another(&permit(1), Some("another")), "who would charge nothing");
    assert_eq!(held.hold(&permit(1), Some("another"), price, NOW + 61), Err(NotHeld::OfAnother));
    // The first one shown again counts again, where the balance is for both.
    assert_eq!(held.hold(&permit(1), Some("shop"), U256::ZERO, NOW + 61), Err(NotHeld::Changed));
    held.hold(&permit(1), Some("shop"), price, NOW + 61).unwrap();
    assert_eq!(held.of_others(&permit(3), NOW + 61), price + price);
    held.release(&permit(1));
    assert_eq!(held.of_others(&permit(3), NOW + 61), price);
}
