//! A hash of a transaction with many payments, shown without a word on which of them is meant.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use salt402_paywall::{Decision, Granted, Order, Paywall, Presented, Sold};
use salt402_protocol::{B256, Code, Payment, PaymentId, Proof, RequestDigest};
use shop::{CHAIN, PAYEE, Shop, operator, paid, units};

const SHOWN: u8 = 9;

fn order() -> Order {
    Order {
        method: "POST".into(),
        path: "/ask".into(),
        sold: Sold::one(RequestDigest(B256::repeat_byte(1))),
        before: None,
        amount: units(5),
        by_use: false,
        description: "an answer".into(),
        credit: None,
    }
}

/// Whoever paid among many is told how to show it, and not how to pay.
#[tokio::test]
async fn d25_a_payment_among_many_is_asked_for_by_its_place_and_never_asked_to_be_paid_again() {
    let shop = Shop::open(&operator()).await;
    let mine = paid(SHOWN, 1, 5, &shop.quote(1, 5, false));
    let stranger = |place: u8| Payment {
        id: PaymentId(B256::repeat_byte(100 + place)),
        reference: B256::repeat_byte(place),
        ..mine.clone()
    };
    shop.mine(&[]).await;
    let mut payments: Vec<_> = (0..20).map(|place| (u32::from(place), stranger(place))).collect();
    payments[13].1 = mine.clone();
    shop.replace_at(&payments).await;
    let paywall = Paywall::new(shop.verifier.clone(), CHAIN, PAYEE, "shop");
    let paywall = Paywall { keeps_answers: true, needs_quote: false, ..paywall };
    let show = |ordinal| Presented {
        signed: None,
        receipt: None,
        base: None,
        as_it_goes: false,
        at_least: None,
        proof: Some(Proof::Transaction { hash: B256::repeat_byte(SHOWN), ordinal }),
        quote: None,
        secret: false,
        too_soon: None,
        client: None,
    };
    for _ in 0..2 {
        let refused = paywall.decide(&order(), &show(None)).await.expect_err("no 402 with details");
        assert_eq!((refused.code, refused.status), (Code::OrdinalRequired, 422));
        assert!(refused.detail.contains("do not pay again"), "{}", refused.detail);
    }
    let Decision::Granted(Granted { payment, claim, .. }) =
        paywall.decide(&order(), &show(Some(13))).await.unwrap()
    else {
        panic!("it was paid");
    };
    assert_eq!((payment.payment_id, claim.first), (mine.id, true));
}
