//! Vouchers by a verifier over a real store: signed by another program, accepted once, refused with what to sign next.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use crate::shop;

use std::time::Duration;

use alloy_primitives::address;
use salt402_protocol::api::{Verdict, VerifyRequest};
use salt402_protocol::{
    Address, Asset, B256, ChannelChange, ChannelEvent, ChannelEventId, Code, Descriptor, Proof,
};
use salt402_store::{Batch, Block, Cursor, Past, Placed, SourceKey, Stretch};
use shop::{CHAIN, Operator, PAYEE, Shop, granted, operator, proof, units};

const CHANNELS: Address = Address::repeat_byte(0x11);
const CHANNEL: B256 = B256::repeat_byte(0x22);
/// Anvil's first account, whose key signed what is below by `cast wallet sign --data`.
const SIGNER: Address = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");

const SIGNED_200: &str = "0x827110684b5711d2dba62d400cdffe20713840f5c0efc851a9e72af7099558d512c670294695d0f43c86bb4d833917ab72a546653ad52e282416f925030237351b";
const SIGNED_300: &str = "0x883def0e3c98396189941473b76209e0694816d3c4e216e168d3161fbb088697487dfe922e9e24e736adf4c2903b191b3cba38604f3799c17ab96188999454b91b";
const SIGNED_2000: &str = "0x209156ed0a99092a2d2c37349bd4ba9fefab1f4017b1c7a72f6b278496b2925d085285f080bc5cd503f68752ee7bca5cca375896e11e30ee30fc2b800bdf20041b";
/// A ceiling of 300 for a contract of the first edition.
const SIGNED_300_IN_FIRST: &str = "0x12d37fe1e5839f002e7c7451d20db6f4e292bc26c516159f57eb1e26787a1e4331f8bc6c5536b553a00eaa92b50789372bee97ac99ae5244a36a650f5845b0251b";
/// A ceiling of 300 by anvil's second account.
const SIGNED_BY_ANOTHER: &str = "0x845c8518bbea30c92a5b29b99d7ec987928c9fc62bce9d1bf9d474464c4889ea54ab558f5f6d4fb853a0ddae124741f6463794c5cba052daf7ef6fb6272342bf1c";

fn followed() -> Operator {
    let mut operator = operator();
    operator.chain.channels = Some(CHANNELS);
    operator
}

/// The channels' contract as a source.
fn channels() -> SourceKey {
    SourceKey { contract: CHANNELS, question: B256::ZERO }
}

/// A channel with 1,000 in it, in block 1.
async fn open(shop: &Shop, signer: Option<Address>) {
    open_with(shop, signer, None).await;
}

async fn open_with(shop: &Shop, signer: Option<Address>, operator: Option<Address>) {
    shop.store.follow_sources(CHAIN, vec![(channels(), 0)]).await.unwrap();
    let descriptor = Descriptor {
        payer: Address::repeat_byte(1),
        payee: PAYEE,
        asset: Asset::Native,
        signer,
        operator,
        exit_delay: 900,
        salt: B256::ZERO,
    };
    happen(shop, ChannelChange::Opened { descriptor, deposit: units(1000) }).await;
}

/// A block upon the chain in which something happens to the channel.
async fn happen(shop: &Shop, change: ChannelChange) {
    let expected = shop.store.chain_state(CHAIN).await.unwrap().unwrap().cursor;
    let (parent_number, parent_hash) = expected.map_or((0, B256::ZERO), |at| (at.number, at.hash));
    let (number, hash) = (parent_number + 1, B256::repeat_byte(0x80 + parent_number as u8));
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
        blocks: vec![Block { number, hash, parent_hash, timestamp: 1_700_000_000 }],
        payments: Vec::new(),
        cursor: Cursor { number, hash },
        head: Some(number),
        prune_below: None,
        extras: Default::default(),
        undecoded: Vec::new(),
    };
    batch.extras.channels.push(Placed {
        what: event,
        block_number: number,
        block_hash: hash,
        block_timestamp: 1_700_000_000,
    });
    shop.store.apply(batch).await.unwrap();
}

fn voucher(ceiling: u64, signature: &str, request: u8, price: u64) -> VerifyRequest {
    let proof_text = format!("voucher:{CHANNEL}:{ceiling}:{signature}");
    VerifyRequest { proof: proof_text.parse::<Proof>().unwrap(), ..proof(1, request, price) }
}

async fn show(shop: &Shop, request: &VerifyRequest) -> Result<bool, Code> {
    granted(shop.verifier.verify(request).await)
}

#[tokio::test]
async fn a_voucher_pays_for_one_request_and_the_next_is_told_what_to_sign() {
    let operator = followed();
    let mut shop = Shop::open(&operator).await;
    let first = voucher(200, SIGNED_200, 1, 150);
    assert_eq!(show(&shop, &first).await, Err(Code::ChannelNotSeen));
    open(&shop, Some(SIGNER)).await;
    let unclaimed = VerifyRequest { claim: false, ..first.clone() };
    let seen = shop.verifier.verify(&unclaimed).await.unwrap();
    assert!(matches!(seen, Verdict::Accepted { claim: None, .. }), "{seen:?}");
    let again_only = VerifyRequest { again_only: true, ..first.clone() };
    assert_eq!(show(&shop, &again_only).await, Err(Code::AddressLimited));

    assert_eq!(show(&shop, &first).await, Ok(true));
    shop.restart(&operator).await;
    assert_eq!(show(&shop, &first).await, Ok(false));
    assert_eq!(show(&shop, &again_only).await, Ok(false));
    assert_eq!(show(&shop, &voucher(200, SIGNED_200, 2, 150)).await, Err(Code::VoucherUsed));
    let refused = shop.verifier.verify(&voucher(300, SIGNED_300, 2, 151)).await.unwrap();
    let Verdict::Rejected { code: Code::VoucherTooLow, detail } = refused else { panic!("{refused:?}") };
    assert!(detail.ends_with("highest=200 spent=150 price=151 next=301"), "{detail}");
    assert_eq!(show(&shop, &voucher(300, SIGNED_300, 2, 150)).await, Ok(true));
    assert_eq!(show(&shop, &voucher(2000, SIGNED_2000, 3, 1)).await, Err(Code::VoucherAboveDeposit));

    let Verdict::Accepted { payment, .. } = shop.verifier.verify(&first).await.unwrap() else { panic!() };
    assert_eq!((payment.contract, payment.reference, payment.amount), (CHANNELS, CHANNEL, units(150)));
    assert_eq!((payment.payer, payment.payee, payment.block_number), (Address::repeat_byte(1), PAYEE, 1));
    happen(&shop, ChannelChange::ExitRequested { exit_at: 1_700_001_000, amount: None }).await;
    assert_eq!(show(&shop, &voucher(2000, SIGNED_2000, 3, 1)).await, Err(Code::ChannelExiting));
    assert_eq!(show(&shop, &first).await, Ok(false), "what was granted is answered");
}

/// Whoever serves must have charged it before its payer can have left.
#[tokio::test]
async fn a_claim_that_is_charged_afterwards_says_how_soon_its_payer_can_leave() {
    let shop = Shop::open(&followed()).await;
    open(&shop, Some(SIGNER)).await;
    let by_use = VerifyRequest { by_use: true, ..voucher(200, SIGNED_200, 1, 150) };
    for (request, exit_delay_s) in [(by_use, Some(900)), (voucher(300, SIGNED_300, 2, 50), None)] {
        let accepted = shop.verifier.verify(&request).await.unwrap();
        let Verdict::Accepted { claim: Some(claim), .. } = accepted else { panic!("{accepted:?}") };
        assert_eq!(
            (claim.exit_delay_s, claim.within(claim.claimed_at_ms)),
            (exit_delay_s, exit_delay_s.map(|_| Duration::from_secs(450)))
        );
    }
}

#[tokio::test]
async fn what_the_channel_s_key_did_not_sign_for_this_server_is_refused() {
    let shop = Shop::open(&followed()).await;
    open(&shop, Some(SIGNER)).await;
    let wrong = [
        voucher(300, SIGNED_BY_ANOTHER, 1, 10),
        voucher(301, SIGNED_300, 1, 10),
        voucher(300, &format!("{}01", &SIGNED_300[..130]), 1, 10),
    ];
    for request in &wrong {
        assert_eq!(show(&shop, request).await, Err(Code::VoucherInvalid), "{}", request.proof);
    }
    let mut other = voucher(300, SIGNED_300, 1, 10);
    other.requirement.payee = Address::repeat_byte(9);
    assert_eq!(show(&shop, &other).await, Err(Code::WrongPayee));
    let mut other = voucher(300, SIGNED_300, 1, 10);
    other.requirement.asset = Asset::Token(Address::repeat_byte(9));
    assert_eq!(show(&shop, &other).await, Err(Code::WrongAsset));
    let mut deep = voucher(300, SIGNED_300, 1, 10);
    deep.requirement.confirmations = Some(2);
    assert_eq!(show(&shop, &deep).await, Err(Code::AwaitingConfirmations));
    assert!(shop.store.vouchers(CHAIN, CHANNELS).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_channel_without_a_key_and_a_chain_without_channels_are_refused() {
    let shop = Shop::open(&followed()).await;
    open(&shop, None).await;
    assert_eq!(show(&shop, &voucher(300, SIGNED_300, 1, 10)).await, Err(Code::SignerRequired));
    let shop = Shop::open(&operator()).await;
    open(&shop, Some(SIGNER)).await;
    assert_eq!(show(&shop, &voucher(300, SIGNED_300, 1, 10)).await, Err(Code::VoucherNotAccepted));
}

/// Its exit delay is 900 s.
#[tokio::test]
async fn on_an_index_that_is_old_or_half_read_a_voucher_is_neither_granted_nor_refused() {
    let operator = followed();
    let mut shop = Shop::open(&operator).await;
    open(&shop, Some(SIGNER)).await;
    let first = voucher(200, SIGNED_200, 1, 150);
    assert_eq!(show(&shop, &first).await, Ok(true));
    shop.store.note_head_at(CHAIN, 1, (shop::now() - 300) * 1000).await.unwrap();
    shop.restart(&operator).await;
    let next = voucher(300, SIGNED_300, 2, 150);
    let above = voucher(2000, SIGNED_2000, 2, 150);
    let only_asked = VerifyRequest { claim: false, ..next.clone() };
    for asked in [&next, &above, &only_asked] {
        let detail = not_current(&shop, asked, 30_000).await;
        assert!(detail.contains("last heard of 30") && detail.contains("at most 225 s"), "{detail}");
    }
    assert_eq!(show(&shop, &first).await, Ok(false), "what was granted is answered");
    assert_eq!(show(&shop, &voucher(200, SIGNED_200, 2, 150)).await, Err(Code::VoucherUsed));

    shop.store.note_head(CHAIN, 50).await.unwrap();
    let detail = not_current(&shop, &next, 1_000).await;
    assert!(detail.contains("49 blocks behind"), "{detail}");
    shop.store.follow_sources(CHAIN, Vec::new()).await.unwrap();
    let detail = not_current(&shop, &next, 30_000).await;
    assert!(detail.contains("does not follow"), "{detail}");
    shop.store.note_head(CHAIN, 2).await.unwrap();
    happen(&shop, ChannelChange::ToppedUp { amount: units(1), deposit: units(1001) }).await;
    shop.store.follow_sources(CHAIN, vec![(channels(), 0)]).await.unwrap();
    let detail = not_current(&shop, &next, 30_000).await;
    assert!(detail.contains("of blocks 1 to 2 not all is"), "{detail}");
    assert!(shop.store.vouchers(CHAIN, CHANNELS).await.unwrap()[0].account.spent == units(150));

    let anchor = shop.store.chain_state(CHAIN).await.unwrap().unwrap().cursor.unwrap();
    let past = Past {
        chain: CHAIN,
        source: channels(),
        stretch: Stretch { from: 2, to: 2 },
        anchor,
        payments: Vec::new(),
        extras: Default::default(),
        undecoded: Vec::new(),
    };
    shop.store.apply_past(past).await.unwrap();
    assert_eq!(show(&shop, &next).await, Ok(true));
}

/// The channel's exit delay is 900 s.
#[tokio::test]
async fn an_operator_says_how_late_payers_may_leave_at_the_least_and_the_quote_tells_it() {
    let mut shop = Shop::open(&followed()).await;
    open(&shop, Some(SIGNER)).await;
    assert_eq!(shop.quote(1, 150, false).channels_exit_delay, None);
    let first = voucher(200, SIGNED_200, 1, 150);
    assert_eq!(show(&shop, &first).await, Ok(true));
    let mut strict = followed();
    strict.chain.least_exit_delay = Some(Duration::from_secs(172_800));
    shop.restart(&strict).await;
    assert_eq!(shop.quote(1, 150, false).channels_exit_delay, Some(172_800));
    match shop.verifier.verify(&voucher(300, SIGNED_300, 2, 150)).await.unwrap() {
        Verdict::Rejected { code: Code::VoucherNotAccepted, detail } => {
            assert!(detail.contains("is 900 s") && detail.contains("less than 172800 s"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(show(&shop, &first).await, Ok(false), "what was granted is answered");
    strict.chain.channels = None;
    shop.restart(&strict).await;
    assert_eq!(shop.quote(1, 150, false).channels_exit_delay, None, "no vouchers, no channels");
}

/// An operator can close a channel without a voucher.
#[tokio::test]
async fn a_channel_whose_operator_is_not_ours_pays_for_nothing_new() {
    let ours = Address::repeat_byte(0x77);
    let mut shop = Shop::open(&followed()).await;
    open_with(&shop, Some(SIGNER), Some(ours)).await;
    let first = voucher(200, SIGNED_200, 1, 150);
    let refused = shop.verifier.verify(&first).await.unwrap();
    let Verdict::Rejected { code: Code::OperatorNotAccepted, detail } = refused else {
        panic!("{refused:?}")
    };
    assert!(
        detail.contains(&ours.to_string()) && detail.ends_with("open one whose operator is zero"),
        "{detail}"
    );
    let mut naming = followed();
    naming.chain.operators = vec![Address::repeat_byte(0x78), ours];
    shop.restart(&naming).await;
    assert_eq!(show(&shop, &first).await, Ok(true));
    naming.chain.operators = vec![Address::repeat_byte(0x78)];
    shop.restart(&naming).await;
    let refused = shop.verifier.verify(&voucher(300, SIGNED_300, 2, 150)).await.unwrap();
    let Verdict::Rejected { code: Code::OperatorNotAccepted, detail } = refused else {
        panic!("{refused:?}")
    };
    assert!(detail.contains(&Address::repeat_byte(0x78).to_string()), "{detail}");
    assert_eq!(show(&shop, &first).await, Ok(false), "what was granted is answered");
}

/// The contract was followed and its vouchers taken; then another took its place.
#[tokio::test]
async fn of_a_contract_of_before_what_was_granted_is_answered_and_nothing_new_is_granted() {
    let mut shop = Shop::open(&followed()).await;
    open(&shop, Some(SIGNER)).await;
    let first = voucher(200, SIGNED_200, 1, 150);
    assert_eq!(show(&shop, &first).await, Ok(true));
    let mut moved = followed();
    moved.chain.channels = Some(Address::repeat_byte(0x12));
    shop.restart(&moved).await;
    assert_eq!(
        show(&shop, &first).await,
        Err(Code::ChannelNotSeen),
        "an address that is not named says nothing"
    );
    moved.chain.past_channels = vec![CHANNELS];
    shop.restart(&moved).await;
    let Verdict::Accepted { payment, claim } = shop.verifier.verify(&first).await.unwrap() else { panic!() };
    assert_eq!((payment.contract, claim.map(|claim| claim.first)), (CHANNELS, Some(false)));
    for signed in [SIGNED_300, SIGNED_300_IN_FIRST] {
        let refused = shop.verifier.verify(&voucher(300, signed, 2, 150)).await.unwrap();
        let Verdict::Rejected { code: Code::VoucherNotAccepted, detail } = refused else {
            panic!("{refused:?}")
        };
        assert!(
            detail.contains(&format!("the channel is of {CHANNELS}")) && detail.contains("requestExit"),
            "{detail}"
        );
    }
    assert_eq!(shop.store.vouchers(CHAIN, CHANNELS).await.unwrap().len(), 1, "it can still be claimed");
}

/// Its exit delay is 900 s; blocks come each second, and the chain's clock may differ by 30 s.
#[tokio::test]
async fn where_blocks_come_steadily_a_node_that_shows_one_old_head_for_ever_is_said_to_stand_still() {
    let mut steady = followed();
    steady.chain.steady_blocks = true;
    let mut shop = Shop::open(&steady).await;
    open(&shop, Some(SIGNER)).await;
    let first = voucher(200, SIGNED_200, 1, 150);
    shop.put(0, shop::now() - 230, &[]).await;
    assert_eq!(show(&shop, &first).await, Ok(true));
    shop.put(0, shop::now() - 300, &[]).await;
    let next = voucher(300, SIGNED_300, 2, 150);
    shop.store.note_head(CHAIN, 3).await.unwrap();
    let detail = not_current(&shop, &next, 30_000).await;
    assert!(detail.contains("shows is 3") && detail.contains("at most 260 s"), "{detail}");
    assert_eq!(show(&shop, &first).await, Ok(false), "what was granted is answered");
    // The same on a chain that mines when there is something to mine.
    shop.restart(&followed()).await;
    assert_eq!(show(&shop, &next).await, Ok(true));
}

/// What is said of a voucher that time may make good, and that it is said when to come back.
async fn not_current(shop: &Shop, asked: &VerifyRequest, wait: u64) -> String {
    match shop.verifier.verify(asked).await.unwrap() {
        Verdict::Pending { code: Code::ChannelNotCurrent, detail, retry_after_ms } => {
            assert_eq!(retry_after_ms, wait, "{detail}");
            assert!(detail.contains("do not pay again"), "{detail}");
            detail
        }
        other => panic!("{other:?}"),
    }
}

/// No block comes: that the node is heard of again is enough.
#[tokio::test]
async fn a_voucher_that_waits_for_an_old_index_is_granted_on_by_the_next_sign_of_life() {
    let mut patient = followed();
    patient.policy.max_wait = Duration::from_secs(3600);
    let shop = Shop::open(&patient).await;
    open(&shop, Some(SIGNER)).await;
    shop.store.note_head_at(CHAIN, 1, (shop::now() - 300) * 1000).await.unwrap();
    let asked = VerifyRequest { wait_ms: u64::MAX, ..voucher(200, SIGNED_200, 1, 150) };
    let verifier = shop.verifier.clone();
    let waiter = tokio::spawn(async move { verifier.verify(&asked).await });
    while shop.verifier.status().await.unwrap().waiting == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!waiter.is_finished() && shop.store.vouchers(CHAIN, CHANNELS).await.unwrap().is_empty());
    shop.store.note_head(CHAIN, 1).await.unwrap();
    let answered = tokio::time::timeout(Duration::from_secs(60), waiter).await.expect("it is woken");
    assert_eq!(granted(answered.unwrap()), Ok(true));
}

#[tokio::test]
async fn c11_of_a_channel_that_is_older_than_the_database_no_voucher_is_taken() {
    let shop = Shop::begin(&followed()).await;
    open(&shop, Some(SIGNER)).await;
    let shown = voucher(200, SIGNED_200, 1, 150);
    for shown in [&shown, &VerifyRequest { claim: false, ..shown.clone() }] {
        match shop.verifier.verify(shown).await.unwrap() {
            Verdict::Rejected { code: Code::BeforeDatabase, detail } => {
                assert!(detail.contains("do not pay again") && detail.contains("open another"), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shop.store.vouchers(CHAIN, CHANNELS).await.unwrap(), vec![]);
}
