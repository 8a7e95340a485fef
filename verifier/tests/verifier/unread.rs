//! What is not found while a part of the past was not read: by a verifier over a real store.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use salt402_protocol::api::{UnreadBlocks, Verdict, VerifyRequest};
use salt402_protocol::{Address, B256, Code};
use salt402_store::{Past, SourceKey, Stretch};
use shop::{CHAIN, CONTRACT, Shop, granted, operator, proof};

fn source(contract: Address) -> SourceKey {
    SourceKey { contract, question: B256::repeat_byte(1) }
}

/// Says that so much of the past of a contract was read, and that nothing was there.
async fn read(shop: &Shop, contract: Address, from: u64, to: u64) {
    let anchor = shop.store.chain_state(CHAIN).await.unwrap().unwrap().cursor.unwrap();
    let past = Past {
        chain: CHAIN,
        source: source(contract),
        stretch: Stretch { from, to },
        anchor,
        payments: Vec::new(),
        extras: Default::default(),
        undecoded: Vec::new(),
    };
    shop.store.apply_past(past).await.unwrap();
}

async fn told(shop: &Shop, asked: &VerifyRequest) -> (Code, String) {
    match shop.verifier.verify(asked).await.unwrap() {
        Verdict::Pending { code, detail, .. } | Verdict::Rejected { code, detail } => (code, detail),
        accepted => panic!("{accepted:?}"),
    }
}

#[tokio::test]
async fn a_payment_that_is_not_found_may_lie_in_the_past_that_is_still_being_read() {
    let shop = Shop::open(&operator()).await;
    let quote = shop.quote(1, 5, true);
    shop.store.follow_sources(CHAIN, vec![(source(CONTRACT), 0)]).await.unwrap();
    for _ in 0..6 {
        shop.mine(&[]).await;
    }
    let plain = proof(1, 1, 5);
    let (code, detail) = told(&shop, &plain).await;
    assert!(code == Code::PaymentNotSeen && !detail.contains("past"), "{detail}");
    assert!(shop.verifier.status().await.unwrap().chains[0].unread.is_empty());

    // Two contracts are added: of one everything is unread, of the other from its first block.
    let (one, other) = (Address::repeat_byte(0xd1), Address::repeat_byte(0xd2));
    let followed = vec![(source(CONTRACT), 0), (source(one), 0), (source(other), 4)];
    shop.store.follow_sources(CHAIN, followed).await.unwrap();
    shop.mine(&[]).await;
    let (code, detail) = told(&shop, &plain).await;
    assert_eq!(code, Code::PaymentNotSeen);
    assert!(detail.contains("blocks 0 to 6") && detail.contains("do not pay again"), "{detail}");
    let unread = |contract, from_block, to_block| UnreadBlocks { contract, from_block, to_block };
    let status = shop.verifier.status().await.unwrap();
    assert_eq!(status.chains[0].unread, [unread(one, 0, 6), unread(other, 4, 6)]);

    // It is the last word of an answer, whoever waits; and of the quote's end too, which else is a refusal.
    let late = late(&quote.quote_id);
    read(&shop, one, 0, 2).await;
    let (code, detail) = told(&shop, &VerifyRequest { wait_ms: 50, ..plain.clone() }).await;
    assert!(code == Code::PaymentNotSeen && detail.contains("blocks 3 to 6"), "{detail}");
    assert_eq!(told(&shop, &late).await.0, Code::PaymentNotSeen);

    read(&shop, one, 3, 6).await;
    read(&shop, other, 4, 6).await;
    assert!(shop.verifier.status().await.unwrap().chains[0].unread.is_empty());
    let (code, detail) = told(&shop, &plain).await;
    assert!(code == Code::PaymentNotSeen && !detail.contains("past"), "{detail}");
    assert_eq!(granted(shop.verifier.verify(&late).await), Err(Code::QuoteExpired));
}

/// A quote that ended long ago.
fn late(id: &salt402_protocol::QuoteId) -> VerifyRequest {
    let keys = shop::key(1);
    let mut quote = keys.open(id).unwrap();
    (quote.issued_at, quote.expires_at) = (1_000, 1_300);
    VerifyRequest { quote_id: Some(keys.seal(&quote)), ..proof(2, 1, 5) }
}
