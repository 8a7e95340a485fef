//! Vouchers on a chain that merges blocks, where a channel's events can be in no logs: its contract is asked first.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use std::sync::atomic::Ordering;
use std::time::Duration;

use alloy_primitives::{Bytes, address};
use salt402_chain::Header;
use salt402_protocol::api::{Verdict, VerifyRequest};
use salt402_protocol::{
    Address, Asset, B256, ChannelChange, ChannelEvent, ChannelEventId, Code, Descriptor, Proof, U256,
};
use salt402_store::{Batch, Block, Cursor, Placed, SourceKey};
use shop::{CHAIN, Operator, PAYEE, Shop, granted, operator, proof, units};

const CHANNELS: Address = Address::repeat_byte(0x11);
const CHANNEL: B256 = B256::repeat_byte(0x22);
/// Anvil's first account, whose key signed what is below by `cast wallet sign --data`.
const SIGNER: Address = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
const SIGNED_200: &str = "0x827110684b5711d2dba62d400cdffe20713840f5c0efc851a9e72af7099558d512c670294695d0f43c86bb4d833917ab72a546653ad52e282416f925030237351b";
const SIGNED_300: &str = "0x883def0e3c98396189941473b76209e0694816d3c4e216e168d3161fbb088697487dfe922e9e24e736adf4c2903b191b3cba38604f3799c17ab96188999454b91b";
const SIGNED_2000: &str = "0x209156ed0a99092a2d2c37349bd4ba9fefab1f4017b1c7a72f6b278496b2925d085285f080bc5cd503f68752ee7bca5cca375896e11e30ee30fc2b800bdf20041b";

fn followed() -> Operator {
    let mut operator = operator();
    operator.chain.channels = Some(CHANNELS);
    operator
}

/// A shop on a chain that merges blocks, or on one that does not.
async fn shop(merges_blocks: bool) -> Shop {
    let mut shop = Shop::open(&followed()).await;
    shop.told.merges_blocks.store(merges_blocks, Ordering::SeqCst);
    shop.restart(&followed()).await;
    shop
}

/// The same with a channel of 1,000 that the index and the contract have.
async fn with_channel(merges_blocks: bool, exit_delay: u64) -> Shop {
    let shop = shop(merges_blocks).await;
    open(&shop, exit_delay).await;
    stands(&shop, 1000, 0, false);
    shop
}

async fn open(shop: &Shop, exit_delay: u64) {
    let source = SourceKey { contract: CHANNELS, question: B256::ZERO };
    shop.store.follow_sources(CHAIN, vec![(source, 0)]).await.unwrap();
    let descriptor = Descriptor {
        payer: Address::repeat_byte(1),
        payee: PAYEE,
        asset: Asset::Native,
        signer: Some(SIGNER),
        operator: None,
        exit_delay,
        salt: B256::ZERO,
    };
    happen(shop, ChannelChange::Opened { descriptor, deposit: units(1000) }).await;
}

/// A block upon the chain, of the index and of the node, in which something happens to the channel.
async fn happen(shop: &Shop, change: ChannelChange) {
    let expected = shop.store.chain_state(CHAIN).await.unwrap().unwrap().cursor;
    let (parent, parent_hash) = expected.map_or((0, B256::ZERO), |at| (at.number, at.hash));
    let (number, hash) = (parent + 1, B256::repeat_byte(0x80 + parent as u8));
    let timestamp = 1_700_000_000;
    let event = ChannelEvent {
        id: ChannelEventId(hash),
        chain: CHAIN,
        contract: CHANNELS,
        transaction: hash,
        channel: CHANNEL,
        change,
    };
    let mut batch = Batch {
        chain: CHAIN,
        expected,
        keep_through: None,
        blocks: vec![Block { number, hash, parent_hash, timestamp }],
        payments: Vec::new(),
        cursor: Cursor { number, hash },
        head: Some(number),
        prune_below: None,
        extras: Default::default(),
        undecoded: Vec::new(),
    };
    let placed = Placed { what: event, block_number: number, block_hash: hash, block_timestamp: timestamp };
    batch.extras.channels.push(placed);
    shop.store.apply(batch).await.unwrap();
    shop.told.headers.lock().unwrap().push(Header { number, hash, parent_hash, timestamp });
}

/// What the contract says of the channel from now on.
fn stands(shop: &Shop, deposit: u64, exit_at: u64, closed: bool) {
    let words = [deposit, 0, exit_at, u64::from(closed)].map(|word| U256::from(word).to_be_bytes::<32>());
    *shop.told.state.lock().unwrap() = Some(Bytes::from(words.concat()));
}

fn asked(shop: &Shop) -> u64 {
    shop.told.viewed.load(Ordering::SeqCst)
}

fn voucher(ceiling: u64, signature: &str, request: u8) -> VerifyRequest {
    let shown = format!("voucher:{CHANNEL}:{ceiling}:{signature}").parse::<Proof>().unwrap();
    VerifyRequest { proof: shown, ..proof(1, request, 100) }
}

async fn show(shop: &Shop, request: &VerifyRequest) -> Result<bool, Code> {
    granted(shop.verifier.verify(request).await)
}

/// What is said of a voucher that time may make good.
async fn pending(shop: &Shop, asked: &VerifyRequest, wanted: Code) -> String {
    match shop.verifier.verify(asked).await.unwrap() {
        Verdict::Pending { code, detail, .. } if code == wanted => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn f01_an_exit_that_is_in_no_logs_ends_new_grants_and_what_was_granted_is_answered() {
    let mut shop = with_channel(true, 900).await;
    let (first, second) = (voucher(200, SIGNED_200, 1), voucher(300, SIGNED_300, 2));
    assert_eq!(show(&shop, &first).await, Ok(true));
    stands(&shop, 1000, 1_700_001_000, false);
    shop.restart(&followed()).await;
    let refused = shop.verifier.verify(&second).await.unwrap();
    let Verdict::Rejected { code: Code::ChannelExiting, detail } = refused else { panic!("{refused:?}") };
    assert!(detail.contains("leaves at 1700001000"), "{detail}");
    // Nor is one said to be good that is only asked about.
    let only_asked = VerifyRequest { claim: false, ..second.clone() };
    assert_eq!(show(&shop, &only_asked).await, Err(Code::ChannelExiting));
    let before = asked(&shop);
    *shop.told.state.lock().unwrap() = None;
    shop.restart(&followed()).await;
    assert_eq!(show(&shop, &first).await, Ok(false));
    assert_eq!(asked(&shop), before, "what was granted is answered without the node");
    assert_eq!(shop.store.vouchers(CHAIN, CHANNELS).await.unwrap()[0].account.spent, units(100));
}

#[tokio::test]
async fn while_the_contract_says_less_than_the_index_or_nothing_at_all_nothing_is_granted() {
    let mut shop = with_channel(true, 900).await;
    let first = voucher(200, SIGNED_200, 1);
    stands(&shop, 1000, 0, true);
    assert_eq!(show(&shop, &first).await, Err(Code::ChannelClosed));
    for (deposit, words) in [(999, "999 deposited"), (0, "0 deposited")] {
        stands(&shop, deposit, 0, false);
        shop.restart(&followed()).await;
        let detail = pending(&shop, &first, Code::ChannelNotCurrent).await;
        assert!(detail.contains(words) && detail.contains("do not pay again"), "{detail}");
    }
    let garbage =
        [Some(Bytes::new()), Some(Bytes::from_static(&[1; 32])), Some(Bytes::from(vec![0xff; 128]))];
    for state in garbage {
        *shop.told.state.lock().unwrap() = state;
        shop.restart(&followed()).await;
        let detail = pending(&shop, &first, Code::ChannelNotCurrent).await;
        assert!(detail.contains("as no SaltChannels does"), "{detail}");
    }
    *shop.told.state.lock().unwrap() = None;
    shop.restart(&followed()).await;
    let detail = pending(&shop, &first, Code::ChannelNotCurrent).await;
    assert!(detail.contains("could not be asked") && detail.contains("do not pay again"), "{detail}");
    // A node that is behind the index, or on another fork, would say less than the index knows.
    stands(&shop, 1000, 0, false);
    let headers = std::mem::take(&mut *shop.told.headers.lock().unwrap());
    let fork: Vec<_> =
        headers.iter().map(|header| Header { hash: B256::repeat_byte(7), ..*header }).collect();
    for shown in [Vec::new(), fork] {
        *shop.told.headers.lock().unwrap() = shown;
        shop.restart(&followed()).await;
        let detail = pending(&shop, &first, Code::ChannelNotCurrent).await;
        assert!(detail.contains("does not show the block"), "{detail}");
    }
    assert!(shop.store.vouchers(CHAIN, CHANNELS).await.unwrap().is_empty());
    *shop.told.headers.lock().unwrap() = headers;
    shop.restart(&followed()).await;
    assert_eq!(show(&shop, &first).await, Ok(true));
}

#[tokio::test]
async fn when_a_part_of_the_exit_delay_is_over_the_contract_is_asked_again() {
    // An eighth of it is two seconds.
    let shop = with_channel(true, 16).await;
    assert_eq!(show(&shop, &voucher(200, SIGNED_200, 1)).await, Ok(true));
    stands(&shop, 1000, 1_700_001_000, false);
    let only_asked = VerifyRequest { claim: false, ..voucher(300, SIGNED_300, 2) };
    for _ in 0..400 {
        shop.store.note_head(CHAIN, 1).await.unwrap();
        match shop.verifier.verify(&only_asked).await.unwrap() {
            Verdict::Rejected { code: Code::ChannelExiting, .. } => {
                assert_eq!(asked(&shop), 2);
                return;
            }
            Verdict::Accepted { .. } => tokio::time::sleep(Duration::from_millis(50)).await,
            other => panic!("{other:?}"),
        }
    }
    panic!("the exit was never seen, after {} questions", asked(&shop));
}

#[tokio::test]
async fn many_who_ask_at_once_and_those_who_come_later_share_one_answer() {
    let shop = with_channel(true, 900).await;
    let only_asked = VerifyRequest { claim: false, ..voucher(200, SIGNED_200, 1) };
    let at_once = (0..20).map(|_| shop.verifier.verify(&only_asked));
    for verdict in futures::future::join_all(at_once).await {
        assert!(matches!(verdict, Ok(Verdict::Accepted { claim: None, .. })), "{verdict:?}");
    }
    assert_eq!(show(&shop, &voucher(200, SIGNED_200, 1)).await, Ok(true));
    assert_eq!(show(&shop, &voucher(300, SIGNED_300, 2)).await, Ok(true));
    assert_eq!(asked(&shop), 1);
}

/// What is dropped in the middle of a question leaves the next one its turn.
#[tokio::test]
async fn one_who_goes_away_while_the_contract_is_asked_takes_nothing_from_the_others() {
    let shop = with_channel(true, 900).await;
    let first = voucher(200, SIGNED_200, 1);
    {
        let leaves = shop.verifier.verify(&first);
        futures::pin_mut!(leaves);
        while asked(&shop) == 0 {
            let soon = tokio::time::timeout(Duration::from_millis(1), &mut leaves).await;
            assert!(soon.is_err(), "the contract answers after a moment");
        }
    }
    assert_eq!(show(&shop, &first).await, Ok(true));
}

#[tokio::test]
async fn where_no_blocks_are_merged_the_contract_is_not_asked() {
    let shop = with_channel(false, 900).await;
    stands(&shop, 0, 0, true);
    assert_eq!(show(&shop, &voucher(200, SIGNED_200, 1)).await, Ok(true));
    assert_eq!(show(&shop, &voucher(2000, SIGNED_2000, 3)).await, Err(Code::VoucherAboveDeposit));
    assert_eq!(asked(&shop), 0);
}

#[tokio::test]
async fn f01_an_opening_and_a_top_up_that_are_in_no_logs_are_said_to_be() {
    let shop = shop(true).await;
    let first = voucher(200, SIGNED_200, 1);
    shop.mine(&[]).await;
    stands(&shop, 0, 0, false);
    let detail = pending(&shop, &first, Code::ChannelNotSeen).await;
    assert!(!detail.contains("merged"), "{detail}");
    let again_only = VerifyRequest { again_only: true, ..first.clone() };
    let before = asked(&shop);
    pending(&shop, &again_only, Code::ChannelNotSeen).await;
    assert_eq!(asked(&shop), before, "what only wants an old answer asks nobody");

    let shop = self::shop(true).await;
    shop.mine(&[]).await;
    stands(&shop, 1000, 0, false);
    let detail = pending(&shop, &first, Code::ChannelNotSeen).await;
    assert!(detail.contains("1000 deposited") && detail.contains("show its hash once"), "{detail}");

    let shop = with_channel(true, 900).await;
    let above = voucher(2000, SIGNED_2000, 3);
    assert_eq!(show(&shop, &above).await, Err(Code::VoucherAboveDeposit));
    let shop = with_channel(true, 900).await;
    stands(&shop, 2500, 0, false);
    let detail = pending(&shop, &above, Code::ChannelNotCurrent).await;
    assert!(detail.contains("2500 deposited") && detail.contains("show its hash once"), "{detail}");
    assert_eq!(show(&shop, &first).await, Ok(true), "what the index has is enough for others");
    happen(&shop, ChannelChange::ToppedUp { amount: units(1500), deposit: units(2500) }).await;
    assert_eq!(show(&shop, &above).await, Ok(true));
}
