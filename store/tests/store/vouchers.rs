//! Vouchers: never more spent than signed, each ceiling above the last, and nothing lost that was acknowledged.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use proptest::prelude::*;
use salt402_protocol::{
    Address, Amount, Asset, B128, B256, ChannelChange, Descriptor, RequestDigest, U256, Voucher,
};
use salt402_store::{
    Captured, HaltKind, Holder, Lease, NewCapture, NewVoucher, NotCurrent, Options, Past, SourceKey, Store,
    Stretch, VoucherAccount, VoucherResult, backup, restore,
};
use support::{
    CHAIN, CHANNELS as CONTRACT, Fixture, channel_block, channel_events, channels, child, genesis,
};

const CHANNEL: B256 = B256::repeat_byte(0xc1);
const SIGNER: Address = Address::repeat_byte(3);
const PAYEE: Address = Address::repeat_byte(2);

fn amount(value: u64) -> Amount {
    Amount(U256::from(value))
}

fn opened(signer: Option<Address>, deposit: u64) -> ChannelChange {
    let descriptor = Descriptor {
        payer: Address::repeat_byte(1),
        payee: PAYEE,
        asset: Asset::Native,
        signer,
        operator: None,
        exit_delay: 900,
        salt: B256::ZERO,
    };
    ChannelChange::Opened { descriptor, deposit: amount(deposit) }
}

/// Puts a block with events of the channel upon the chain, or in place of what is above `keep_through`.
async fn block(fixture: &Fixture, keep_through: Option<u64>, branch: u8, changes: &[ChannelChange]) {
    let changes: Vec<_> = changes.iter().map(|change| (CHANNEL, *change)).collect();
    channel_block(fixture, keep_through, branch, &changes).await;
}

async fn open(deposit: u64) -> Fixture {
    let fixture = Fixture::new().await;
    fixture.follow_channels().await;
    block(&fixture, None, 1, &[opened(Some(SIGNER), deposit)]).await;
    fixture
}

fn voucher(ceiling: u64, price: u64, request: u8) -> NewVoucher {
    NewVoucher {
        chain: CHAIN,
        contract: CONTRACT,
        voucher: Voucher { channel: CHANNEL, ceiling: amount(ceiling), signature: [request; 65] },
        signer: SIGNER,
        payee: PAYEE,
        asset: Asset::Native,
        price: amount(price),
        by_use: false,
        at_least: None,
        raises: None,
        request: RequestDigest(B256::repeat_byte(request)),
        claimant: "shop".into(),
        holder: Default::default(),
        confirmations: 1,
        after_loss: 0,
        opened_from: 0,
        past: Vec::new(),
        operators: Vec::new(),
        least_exit_delay: 0,
        late_ms: None,
        now_ms: 5,
        credit: None,
    }
}

/// Whether it was granted for the first time, or what else was said.
async fn show(fixture: &Fixture, voucher: NewVoucher) -> Result<bool, VoucherResult> {
    match fixture.store.accept_voucher(voucher).await.unwrap() {
        VoucherResult::Granted(grant) => Ok(grant.first),
        other => Err(other),
    }
}

fn account(ceiling: u64, spent: u64) -> VoucherAccount {
    VoucherAccount { ceiling: amount(ceiling), spent: amount(spent), reserved: amount(0) }
}

#[tokio::test]
async fn a_voucher_pays_once_and_what_is_signed_beyond_the_price_stays_to_credit() {
    let mut fixture = open(100).await;
    assert_eq!(show(&fixture, voucher(30, 10, 1)).await, Ok(true));
    assert_eq!(show(&fixture, voucher(30, 10, 1)).await, Ok(false), "the same request is answered again");
    assert_eq!(show(&fixture, voucher(30, 10, 2)).await, Err(VoucherResult::Used(account(30, 10))));
    let other = NewVoucher { claimant: "another".into(), ..voucher(30, 10, 1) };
    assert_eq!(show(&fixture, other).await, Err(VoucherResult::Used(account(30, 10))));
    assert_eq!(show(&fixture, voucher(29, 10, 3)).await, Err(VoucherResult::TooLow(account(30, 10))));
    fixture.reopen().await;
    // 20 are to credit: the next unit signed pays for a request of 21.
    assert_eq!(show(&fixture, voucher(31, 22, 3)).await, Err(VoucherResult::TooLow(account(30, 10))));
    assert_eq!(show(&fixture, voucher(31, 21, 3)).await, Ok(true));
    assert_eq!(show(&fixture, voucher(100, 1, 4)).await, Ok(true));
    assert_eq!(show(&fixture, voucher(101, 1, 5)).await, Err(VoucherResult::AboveDeposit(amount(100))));
    assert_eq!(show(&fixture, voucher(30, 10, 1)).await, Ok(false), "and so is an older one");
    let rows = fixture.store.vouchers(CHAIN, CONTRACT).await.unwrap();
    assert_eq!((rows.len(), rows[0].account, rows[0].voucher.signature), (1, account(100, 32), [4; 65]));
    assert_eq!(fixture.store.counts().await.unwrap().claims, 3);
}

/// What was accepted after the closing transaction was made would not be in it.
#[tokio::test]
async fn a_channel_that_is_about_to_be_closed_pays_for_nothing_new() {
    let mut fixture = open(100).await;
    assert_eq!(show(&fixture, voucher(30, 10, 1)).await, Ok(true));
    fixture.store.begin_closing(CHAIN, CONTRACT, CHANNEL).await.unwrap();
    fixture.store.begin_closing(CHAIN, CONTRACT, CHANNEL).await.unwrap();
    fixture.reopen().await;
    assert_eq!(show(&fixture, voucher(40, 10, 2)).await, Err(VoucherResult::Closing));
    assert_eq!(show(&fixture, voucher(30, 10, 1)).await, Ok(false), "what was granted is answered");
    fixture.store.give_up_closing(CHAIN, CONTRACT, CHANNEL).await.unwrap();
    assert_eq!(show(&fixture, voucher(40, 10, 2)).await, Ok(true));
}

/// A request whose answer was lost when the contract was changed is answered, by the signature that was right there.
#[tokio::test]
async fn a_voucher_of_a_contract_of_before_is_answered_again_and_pays_for_nothing_new() {
    let fixture = open(100).await;
    assert_eq!(show(&fixture, voucher(30, 10, 1)).await, Ok(true));
    let later = |ceiling, request, signer| {
        let (contract, past) = (Address::repeat_byte(0xc2), vec![(CONTRACT, signer)]);
        NewVoucher { contract, past, signer: Address::repeat_byte(9), ..voucher(ceiling, 10, request) }
    };
    assert_eq!(show(&fixture, later(30, 1, SIGNER)).await, Ok(false));
    let past = Err(VoucherResult::PastContract(CONTRACT));
    assert_eq!(show(&fixture, later(40, 2, SIGNER)).await, past);
    assert_eq!(show(&fixture, later(30, 2, SIGNER)).await, past, "for another request");
    assert_eq!(show(&fixture, later(30, 1, PAYEE)).await, past, "by another signature");
    let nowhere = NewVoucher { past: Vec::new(), ..later(40, 2, SIGNER) };
    assert_eq!(show(&fixture, nowhere).await, Err(VoucherResult::UnknownChannel));
    assert_eq!(fixture.store.vouchers(CHAIN, CONTRACT).await.unwrap()[0].account, account(30, 10));
    assert_eq!(fixture.store.voucher_contracts(CHAIN).await.unwrap(), [CONTRACT]);
}

#[tokio::test]
async fn a_look_writes_nothing() {
    let fixture = open(100).await;
    let seen = fixture.store.look_at_voucher(&voucher(30, 10, 1)).await.unwrap();
    assert!(matches!(seen, VoucherResult::Granted(grant) if grant.first && grant.claimed_at_ms.is_none()));
    assert!(fixture.store.vouchers(CHAIN, CONTRACT).await.unwrap().is_empty());
    assert_eq!(show(&fixture, voucher(30, 10, 2)).await, Ok(true));
}

/// Its rows are of no payment's name: whoever asks for a payment next is answered from memory.
#[tokio::test]
async fn a_grant_on_a_voucher_leaves_recent_payments_in_memory() {
    let fixture = open(100).await;
    let parent = fixture.store.canonical_block(CHAIN, 1).await.unwrap().unwrap();
    fixture.apply(None, &[child(parent, 1, &[1])]).await.unwrap();
    let before = fixture.store.memory_use();
    assert_eq!(show(&fixture, voucher(30, 10, 1)).await, Ok(true));
    assert_eq!(show(&fixture, voucher(30, 10, 1)).await, Ok(false));
    assert_eq!(show(&fixture, voucher(30, 10, 2)).await, Err(VoucherResult::Used(account(30, 10))));
    assert_eq!(fixture.rows(1).await.len(), 1);
    let after = fixture.store.memory_use();
    assert_eq!((after.hits, after.misses), (before.hits + 1, before.misses));
}

#[tokio::test]
async fn a_strange_channel_pays_for_nothing() {
    let fixture = Fixture::new().await;
    assert_eq!(show(&fixture, voucher(1, 1, 1)).await, Err(VoucherResult::UnknownChannel));
    block(&fixture, None, 1, &[opened(None, 100)]).await;
    assert_eq!(show(&fixture, voucher(1, 1, 1)).await, Err(VoucherResult::NoSigner));
    let fixture = open(100).await;
    let strange = Address::repeat_byte(9);
    let wrong = |change: fn(&mut NewVoucher)| {
        let mut voucher = voucher(1, 1, 1);
        change(&mut voucher);
        voucher
    };
    let signer = wrong(|voucher| voucher.signer = Address::repeat_byte(9));
    assert_eq!(show(&fixture, signer).await, Err(VoucherResult::WrongSigner(SIGNER)));
    let payee = wrong(|voucher| voucher.payee = Address::repeat_byte(9));
    assert_eq!(show(&fixture, payee).await, Err(VoucherResult::WrongPayee(PAYEE)));
    let asset = wrong(|voucher| voucher.asset = Asset::Token(Address::repeat_byte(9)));
    assert_eq!(show(&fixture, asset).await, Err(VoucherResult::WrongAsset(Asset::Native)));
    let contract = NewVoucher { contract: strange, ..voucher(1, 1, 1) };
    assert_eq!(show(&fixture, contract).await, Err(VoucherResult::UnknownChannel));
}

#[tokio::test]
async fn an_exit_stops_new_grants_until_it_is_cancelled_and_a_close_for_ever() {
    let fixture = open(100).await;
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Ok(true));
    block(&fixture, None, 1, &[ChannelChange::ExitRequested { exit_at: 77, amount: None }]).await;
    assert_eq!(show(&fixture, voucher(20, 10, 2)).await, Err(VoucherResult::Exiting(77)));
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Ok(false), "what was granted is answered");
    block(&fixture, None, 1, &[ChannelChange::ExitCancelled]).await;
    assert_eq!(show(&fixture, voucher(20, 10, 2)).await, Ok(true));
    let closed = ChannelChange::Closed { claimed: amount(20), refund: amount(80) };
    block(&fixture, None, 1, &[closed]).await;
    assert_eq!(show(&fixture, voucher(30, 10, 3)).await, Err(VoucherResult::Closed));
}

#[tokio::test]
async fn deposits_count_when_they_are_deep_enough_and_while_they_are_on_the_chain() {
    let fixture = open(10).await;
    let deep = |ceiling, request| NewVoucher { confirmations: 2, ..voucher(ceiling, 5, request) };
    let shallow = VoucherResult::TooShallow { confirmations: 1, needed: 2 };
    assert_eq!(show(&fixture, deep(10, 1)).await, Err(shallow));
    block(&fixture, None, 1, &[ChannelChange::ToppedUp { amount: amount(90), deposit: amount(100) }]).await;
    assert_eq!(show(&fixture, deep(10, 1)).await, Ok(true));
    let shallow = VoucherResult::TooShallow { confirmations: 2, needed: 2 };
    assert_eq!(show(&fixture, deep(11, 2)).await, Err(shallow), "the top-up is one block deep");
    block(&fixture, None, 1, &[]).await;
    assert_eq!(show(&fixture, deep(20, 2)).await, Ok(true));
    // The top-up leaves the chain, and then the channel.
    block(&fixture, Some(1), 2, &[]).await;
    assert_eq!(show(&fixture, deep(30, 3)).await, Err(VoucherResult::AboveDeposit(amount(10))));
    block(&fixture, Some(0), 3, &[]).await;
    assert_eq!(show(&fixture, deep(20, 2)).await, Err(VoucherResult::UnknownChannel), "not even again");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_equal_vouchers_at_once_one_wins() {
    let fixture = open(1000).await;
    for round in 1..=8_u64 {
        let shown = (1..=16).map(|request| {
            let store = fixture.store.clone();
            tokio::spawn(async move { store.accept_voucher(voucher(round * 10, 10, request)).await.unwrap() })
        });
        let mut first = 0;
        for task in shown.collect::<Vec<_>>() {
            match task.await.unwrap() {
                VoucherResult::Granted(grant) => first += u64::from(grant.first),
                VoucherResult::Used(account) => assert_eq!(account, self::account(round * 10, round * 10)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(first, 1);
    }
}

/// What a channel's account must be, step by step.
#[derive(Default)]
struct Model {
    ceiling: u64,
    spent: u64,
    granted: std::collections::BTreeMap<u64, u8>,
}

#[derive(Clone, Debug)]
enum Move {
    Show { ceiling: u64, price: u64, request: u8 },
    Together { ceiling: u64, prices: Vec<u64> },
    Restart,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => (1..60_u64, 1..12_u64, 0..4_u8)
            .prop_map(|(ceiling, price, request)| Move::Show { ceiling, price, request }),
        2 => (1..60_u64, prop::collection::vec(1..12_u64, 2..5))
            .prop_map(|(ceiling, prices)| Move::Together { ceiling, prices }),
        1 => Just(Move::Restart),
    ]
}

impl Model {
    fn show(&mut self, ceiling: u64, price: u64, request: u8, said: &VoucherResult) {
        let account = account(self.ceiling, self.spent);
        if let Some(known) = self.granted.get(&ceiling) {
            match said {
                VoucherResult::Granted(grant) => assert!(*known == request && !grant.first),
                other => assert!(*known != request && *other == VoucherResult::Used(account), "{other:?}"),
            }
        } else if ceiling > 50 {
            assert_eq!(*said, VoucherResult::AboveDeposit(amount(50)));
        } else if ceiling > self.ceiling && ceiling >= self.spent + price {
            assert!(matches!(said, VoucherResult::Granted(grant) if grant.first), "{said:?}");
            (self.ceiling, self.spent) = (ceiling, self.spent + price);
            self.granted.insert(ceiling, request);
        } else {
            assert_eq!(*said, VoucherResult::TooLow(account));
        }
        assert!(self.spent <= self.ceiling);
    }
}

/// 24, or what `PROPTEST_CASES` says.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn accounts_are_right_under_interleavings_and_restarts(moves in prop::collection::vec(any_move(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut fixture = open(50).await;
            let mut model = Model::default();
            for step in moves {
                match step {
                    Move::Show { ceiling, price, request } => {
                        let said = fixture.store.accept_voucher(voucher(ceiling, price, request)).await.unwrap();
                        model.show(ceiling, price, request, &said);
                    }
                    Move::Together { ceiling, prices } => {
                        let tasks: Vec<_> = prices
                            .iter()
                            .zip(100_u8..)
                            .map(|(price, request)| {
                                let (store, new) = (fixture.store.clone(), voucher(ceiling, *price, request));
                                tokio::spawn(async move { store.accept_voucher(new).await.unwrap() })
                            })
                            .collect();
                        let mut said = Vec::new();
                        for (task, (price, request)) in tasks.into_iter().zip(prices.into_iter().zip(100_u8..)) {
                            said.push((price, request, task.await.unwrap()));
                        }
                        // Whoever won came first; a refusal for want of money may have come before it.
                        let won = |said: &VoucherResult| matches!(said, VoucherResult::Granted(grant) if grant.first);
                        assert!(said.iter().filter(|(_, _, said)| won(said)).count() <= 1);
                        said.sort_by_key(|(_, _, said)| match said {
                            VoucherResult::TooLow(_) => 0,
                            other if won(other) => 1,
                            _ => 2,
                        });
                        for (price, request, said) in &said {
                            model.show(ceiling, *price, *request, said);
                        }
                    }
                    Move::Restart => fixture.reopen().await,
                }
                let rows = fixture.store.vouchers(CHAIN, CONTRACT).await.unwrap();
                let known = rows.first().map(|row| row.account).unwrap_or_default();
                assert_eq!(known, account(model.ceiling, model.spent));
            }
        });
    }
}

#[tokio::test]
async fn nothing_new_is_granted_on_a_chain_that_is_halted_and_what_was_granted_is_found_again() {
    let fixture = open(100).await;
    assert!(
        matches!(granted(&fixture, voucher(10, 10, 1)).await, VoucherResult::Granted(grant) if grant.first)
    );
    fixture.store.halt(CHAIN, HaltKind::Fork, 12).await.unwrap();
    assert_eq!(granted(&fixture, voucher(20, 10, 2)).await, VoucherResult::Halted);
    assert!(
        matches!(granted(&fixture, voucher(10, 10, 1)).await, VoucherResult::Granted(grant) if !grant.first)
    );
}

/// A backup does not know the vouchers that were accepted after it was taken; accepted again, they would pay twice.
#[tokio::test]
async fn after_a_restore_no_voucher_of_a_channel_from_before_it_is_taken() {
    let fixture = open(100).await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    assert!(matches!(granted(&fixture, voucher(10, 10, 1)).await, VoucherResult::Granted(_)));
    backup(&support::options(&fixture.directory).path, &copy, |_, _| {}).await.unwrap();
    assert!(matches!(granted(&fixture, voucher(20, 10, 2)).await, VoucherResult::Granted(_)));
    let database = folder.path().join("new.db");
    restore(&copy, &database, std::time::Duration::ZERO).await.unwrap();
    let restored = Store::open(Options::new(&database)).await.unwrap();
    let again = restored.accept_voucher(voucher(20, 10, 3)).await.unwrap();
    assert_eq!(again, VoucherResult::BeforeRestore);
    let known = restored.accept_voucher(voucher(10, 10, 1)).await.unwrap();
    assert!(
        matches!(known, VoucherResult::Granted(grant) if !grant.first),
        "what the copy has is found again"
    );
}

async fn granted(fixture: &Fixture, voucher: NewVoucher) -> VoucherResult {
    fixture.store.accept_voucher(voucher).await.unwrap()
}

#[tokio::test]
async fn f05_a_deposit_that_is_in_doubt_covers_no_voucher() {
    let fixture = open(100).await;
    block(&fixture, None, 1, &[ChannelChange::ToppedUp { amount: amount(100), deposit: amount(200) }]).await;
    fixture.store.note_lower_fork(CHAIN, Some(1)).await.unwrap();
    assert_eq!(show(&fixture, voucher(100, 100, 1)).await, Ok(true));
    let shallow = |confirmations| Err(VoucherResult::TooShallow { confirmations, needed: 1 });
    assert_eq!(show(&fixture, voucher(101, 1, 2)).await, shallow(2));
    fixture.store.note_lower_fork(CHAIN, Some(0)).await.unwrap();
    assert_eq!(show(&fixture, voucher(101, 1, 2)).await, shallow(0));
    assert_eq!(show(&fixture, voucher(100, 100, 1)).await, Ok(false), "what was granted is answered again");
    fixture.store.note_lower_fork(CHAIN, None).await.unwrap();
    assert_eq!(show(&fixture, voucher(101, 1, 2)).await, Ok(true));
}

/// Cancelled in a block that leaves the chain, an exit may be due at once.
#[tokio::test]
async fn a_cancelled_exit_is_over_when_its_cancelling_is_deep_and_not_in_doubt() {
    let fixture = open(100).await;
    let deep = |ceiling, request| NewVoucher { confirmations: 2, ..voucher(ceiling, 10, request) };
    block(&fixture, None, 1, &[ChannelChange::ExitRequested { exit_at: 77, amount: None }]).await;
    block(&fixture, None, 1, &[ChannelChange::ExitCancelled]).await;
    let shallow = |confirmations, needed| Err(VoucherResult::TooShallow { confirmations, needed });
    assert_eq!(show(&fixture, deep(10, 1)).await, shallow(1, 2));
    block(&fixture, None, 1, &[]).await;
    fixture.store.note_lower_fork(CHAIN, Some(2)).await.unwrap();
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, shallow(0, 1), "f05: it is in doubt");
    fixture.store.note_lower_fork(CHAIN, None).await.unwrap();
    assert_eq!(show(&fixture, deep(10, 1)).await, Ok(true));
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Says where the node's head was, so many seconds ago.
async fn heard(fixture: &Fixture, head: u64, seconds_ago: u64) {
    fixture.store.note_head_at(CHAIN, head, now_ms() - seconds_ago * 1000).await.unwrap();
}

/// The exit delay is 900 s. Whoever asked to leave since the node was last heard of may be gone that long after.
#[tokio::test]
async fn f14_on_an_old_index_nothing_new_is_granted_and_what_was_granted_is_answered() {
    let mut fixture = open(100).await;
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Ok(true));
    heard(&fixture, 1, 220).await;
    assert_eq!(show(&fixture, voucher(20, 10, 2)).await, Ok(true), "a quarter of the delay is not over");
    heard(&fixture, 1, 226).await;
    fixture.reopen().await;
    for (ceiling, what) in [(30, "covered"), (101, "above the deposit, which may have been topped up")] {
        let said = show(&fixture, voucher(ceiling, 10, 3)).await;
        let Err(VoucherResult::NotCurrent(NotCurrent::Old { age_ms: Some(age), most_ms })) = said else {
            panic!("{what}: {said:?}")
        };
        assert!((226_000..400_000).contains(&age) && most_ms == 225_000, "{what}: {age} of {most_ms}");
    }
    let looked = fixture.store.look_at_voucher(&voucher(30, 10, 3)).await.unwrap();
    assert!(matches!(looked, VoucherResult::NotCurrent(_)), "{looked:?}");
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Ok(false));
    assert_eq!(show(&fixture, voucher(20, 10, 2)).await, Ok(false));
    assert_eq!(show(&fixture, voucher(20, 10, 4)).await, Err(VoucherResult::Used(account(20, 20))));
    heard(&fixture, 1, 0).await;
    assert_eq!(show(&fixture, voucher(30, 10, 3)).await, Ok(true));
}

#[tokio::test]
async fn f26_an_index_whose_age_the_clock_cannot_tell_is_too_old_for_a_voucher() {
    let fixture = open(100).await;
    fixture.store.note_head_at(CHAIN, 1, now_ms() + 3_600_000).await.unwrap();
    let unknown = NotCurrent::Old { age_ms: None, most_ms: 225_000 };
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Err(VoucherResult::NotCurrent(unknown)));
    heard(&fixture, 1, 0).await;
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Ok(true));
}

/// The exit delay is 900 s.
#[tokio::test]
async fn of_a_channel_whose_payer_can_leave_too_soon_nothing_new_is_taken_and_what_was_granted_is_answered() {
    let fixture = open(100).await;
    let asked =
        |ceiling, request, least| NewVoucher { least_exit_delay: least, ..voucher(ceiling, 10, request) };
    assert_eq!(show(&fixture, asked(10, 1, 900)).await, Ok(true), "it leaves as late as is asked");
    let too_soon = Err(VoucherResult::LeavesTooSoon(900));
    assert_eq!(show(&fixture, asked(20, 2, 901)).await, too_soon);
    assert_eq!(
        show(&fixture, asked(10, 1, 172_800)).await,
        Ok(false),
        "it was granted before more was asked"
    );
    assert_eq!(show(&fixture, asked(10, 2, 172_800)).await, Err(VoucherResult::Used(account(10, 10))));
    heard(&fixture, 1, 10_000).await;
    assert_eq!(show(&fixture, asked(20, 2, 901)).await, too_soon, "which no waiting mends");
    heard(&fixture, 1, 0).await;
    assert_eq!(show(&fixture, voucher(20, 10, 2)).await, Ok(true));
}

/// Puts an empty block upon the chain whose own time is so many seconds ago, or to come.
async fn mined(fixture: &Fixture, seconds_ago: i64) {
    let at = fixture.cursor().await.unwrap().number;
    let parent = fixture.store.canonical_block(CHAIN, at).await.unwrap().unwrap();
    let mut next = child(parent, 1, &[]);
    next.block.timestamp = (now_ms() / 1000).checked_add_signed(-seconds_ago).unwrap();
    let batch = fixture.batch(None, std::slice::from_ref(&next)).await;
    fixture.store.apply(batch).await.unwrap();
}

/// The exit delay is 900 s, and a block may be 40 s late. Whoever asked to leave did so after the newest block.
#[tokio::test]
async fn f14_while_the_node_shows_one_old_head_and_answers_nothing_new_is_granted_where_blocks_come_steadily()
{
    let mut fixture = open(100).await;
    let steady = |ceiling, request| NewVoucher { late_ms: Some(40_000), ..voucher(ceiling, 10, request) };
    mined(&fixture, 240).await;
    assert_eq!(show(&fixture, steady(10, 1)).await, Ok(true), "a quarter of the delay and 40 s are not over");
    mined(&fixture, 266).await;
    fixture.reopen().await;
    for _ in 0..2 {
        let said = show(&fixture, steady(20, 2)).await;
        let Err(VoucherResult::NotCurrent(NotCurrent::StandsStill { age_ms: Some(age), most_ms })) = said
        else {
            panic!("{said:?}")
        };
        assert!((265_000..400_000).contains(&age) && most_ms == 265_000, "{age} of {most_ms}");
        // The head is the same, and is told again and again.
        heard(&fixture, fixture.cursor().await.unwrap().number, 0).await;
    }
    assert_eq!(show(&fixture, steady(10, 1)).await, Ok(false), "what was granted is answered");
    assert_eq!(
        show(&fixture, voucher(20, 10, 2)).await,
        Ok(true),
        "where blocks are mined on demand, none is due"
    );
    mined(&fixture, 3).await;
    assert_eq!(show(&fixture, steady(30, 3)).await, Ok(true));
}

#[tokio::test]
async fn f26_a_newest_block_whose_age_the_clock_cannot_tell_is_too_old_for_a_voucher() {
    let fixture = open(100).await;
    let steady = |ceiling, request| NewVoucher { late_ms: Some(40_000), ..voucher(ceiling, 10, request) };
    mined(&fixture, -30).await;
    assert_eq!(show(&fixture, steady(10, 1)).await, Ok(true), "the chain's clock may differ by so much");
    mined(&fixture, -3600).await;
    let unknown = NotCurrent::StandsStill { age_ms: None, most_ms: 265_000 };
    assert_eq!(show(&fixture, steady(20, 2)).await, Err(VoucherResult::NotCurrent(unknown)));
    mined(&fixture, 0).await;
    assert_eq!(show(&fixture, steady(20, 2)).await, Ok(true));
}

#[tokio::test]
async fn f14_while_the_index_catches_up_no_voucher_is_granted_on() {
    let fixture = open(100).await;
    heard(&fixture, 4, 0).await;
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Ok(true), "three blocks are between two steps");
    heard(&fixture, 5, 0).await;
    let behind = Err(VoucherResult::NotCurrent(NotCurrent::Behind(4)));
    assert_eq!(show(&fixture, voucher(20, 10, 2)).await, behind);
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Ok(false));
    // What was not read is read, and the payer had left.
    block(&fixture, None, 1, &[ChannelChange::ExitRequested { exit_at: 77, amount: None }]).await;
    assert_eq!(show(&fixture, voucher(20, 10, 2)).await, Err(VoucherResult::Exiting(77)));
    heard(&fixture, 99, 0).await;
    let behind = Err(VoucherResult::NotCurrent(NotCurrent::Behind(97)));
    assert_eq!(show(&fixture, voucher(20, 10, 2)).await, behind, "the exit may be cancelled there");
    fixture.store.halt(CHAIN, HaltKind::Fork, 12).await.unwrap();
    assert_eq!(show(&fixture, voucher(20, 10, 2)).await, Err(VoucherResult::Halted));
}

#[tokio::test]
async fn what_is_closed_is_refused_however_old_the_index_is() {
    let fixture = open(100).await;
    let closed = ChannelChange::Closed { claimed: amount(0), refund: amount(100) };
    block(&fixture, None, 1, &[closed]).await;
    heard(&fixture, 50, 10_000).await;
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Err(VoucherResult::Closed));
}

/// An index of twelve blocks that follows the channels' contract since the last of them, so that what it had before is
/// read later.
async fn added_later() -> Fixture {
    let fixture = Fixture::new().await;
    let other = SourceKey { contract: PAYEE, question: B256::ZERO };
    fixture.store.follow_sources(CHAIN, vec![(other, 0)]).await.unwrap();
    for _ in 0..12 {
        block(&fixture, None, 1, &[]).await;
    }
    fixture.store.follow_sources(CHAIN, vec![(other, 0), (channels(), 0)]).await.unwrap();
    fixture
}

/// Stores blocks of the contract's past, with events of the channel in the first of them.
async fn read(fixture: &Fixture, from: u64, to: u64, changes: &[ChannelChange]) {
    let block = fixture.store.canonical_block(CHAIN, from.max(1)).await.unwrap().unwrap();
    let mut past = Past {
        chain: CHAIN,
        source: channels(),
        stretch: Stretch { from, to },
        anchor: fixture.cursor().await.unwrap(),
        payments: Vec::new(),
        extras: Default::default(),
        undecoded: Vec::new(),
    };
    let events = changes.iter().map(|change| (CHANNEL, *change)).collect::<Vec<_>>();
    past.extras.channels = channel_events(block, 9, &events);
    fixture.store.apply_past(past).await.unwrap();
}

#[tokio::test]
async fn f23_before_all_is_read_that_may_have_closed_a_channel_no_voucher_of_it_is_taken() {
    let fixture = added_later().await;
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Err(VoucherResult::UnknownChannel));
    read(&fixture, 3, 5, &[opened(Some(SIGNER), 100)]).await;
    let unread = Err(VoucherResult::NotCurrent(NotCurrent::Unread(Stretch { from: 3, to: 12 })));
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, unread);
    // The head goes on, and another part is read: the rest is still unknown.
    block(&fixture, None, 1, &[]).await;
    read(&fixture, 8, 12, &[]).await;
    let unread = Err(VoucherResult::NotCurrent(NotCurrent::Unread(Stretch { from: 3, to: 7 })));
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, unread);
    let closed = ChannelChange::Closed { claimed: amount(0), refund: amount(100) };
    read(&fixture, 6, 7, &[closed]).await;
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Err(VoucherResult::Closed));
}

#[tokio::test]
async fn once_all_above_the_opening_is_read_vouchers_are_taken_whatever_is_unread_below() {
    let mut fixture = added_later().await;
    read(&fixture, 3, 5, &[opened(Some(SIGNER), 100)]).await;
    read(&fixture, 6, 12, &[]).await;
    fixture.reopen().await;
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Ok(true), "blocks 0 to 2 are not read");
    // A channel that is opened at the head needs nothing of the past.
    let fixture = added_later().await;
    block(&fixture, None, 1, &[opened(Some(SIGNER), 100)]).await;
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Ok(true));
    // A reorganization takes what it left from what was read, and the head reads it again.
    block(&fixture, Some(11), 2, &[opened(Some(SIGNER), 100)]).await;
    assert_eq!(show(&fixture, voucher(20, 10, 2)).await, Ok(true));
}

#[tokio::test]
async fn f23_of_a_contract_that_is_not_followed_no_voucher_is_taken_until_what_was_missed_is_read() {
    let fixture = open(100).await;
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Ok(true));
    let other = SourceKey { contract: PAYEE, question: B256::ZERO };
    fixture.store.follow_sources(CHAIN, vec![(other, 0)]).await.unwrap();
    block(&fixture, None, 1, &[]).await;
    let not_followed = Err(VoucherResult::NotCurrent(NotCurrent::NotFollowed));
    assert_eq!(show(&fixture, voucher(20, 10, 2)).await, not_followed);
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Ok(false));
    fixture.follow_channels().await;
    let unread = Err(VoucherResult::NotCurrent(NotCurrent::Unread(Stretch { from: 1, to: 2 })));
    assert_eq!(show(&fixture, voucher(20, 10, 2)).await, unread);
    read(&fixture, 2, 2, &[ChannelChange::ExitRequested { exit_at: 77, amount: None }]).await;
    assert_eq!(show(&fixture, voucher(20, 10, 2)).await, Err(VoucherResult::Exiting(77)));
}

/// A copy of a store with one channel in it, put back in another folder as if everything since had been lost.
async fn lost_and_put_back(fixture: &Fixture, skew: u64) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.db");
    backup(&support::options(&fixture.directory).path, &copy, |_, _| {}).await.unwrap();
    let path = support::options(&directory).path;
    restore(&copy, &path, std::time::Duration::from_secs(skew)).await.unwrap();
    let store = support::open(&directory).await;
    Fixture { directory, store }
}

/// A block of a time upon the chain, or in place of what is above `keep_through`; headers below `prune_below` go.
async fn block_at(
    fixture: &Fixture,
    (keep_through, branch): (Option<u64>, u8),
    timestamp: u64,
    changes: &[ChannelChange],
    prune_below: Option<u64>,
) {
    let on = keep_through.or(fixture.cursor().await.map(|cursor| cursor.number)).unwrap_or(0);
    let parent = fixture.store.canonical_block(CHAIN, on).await.unwrap().unwrap_or_else(genesis);
    let mut next = child(parent, branch, &[]);
    next.block.timestamp = timestamp;
    let mut batch = fixture.batch(keep_through, std::slice::from_ref(&next)).await;
    let changes: Vec<_> = changes.iter().map(|change| (CHANNEL, *change)).collect();
    batch.extras.channels = channel_events(next.block, branch, &changes);
    batch.prune_below = prune_below;
    fixture.store.apply(batch).await.unwrap();
}

#[tokio::test]
async fn after_a_restore_a_channel_that_was_opened_since_pays_also_when_its_header_is_no_longer_kept() {
    let fixture = Fixture::new().await;
    fixture.follow_channels().await;
    block(&fixture, None, 1, &[]).await;
    let mut fixture = lost_and_put_back(&fixture, 0).await;
    let since = fixture.store.refuse_before();
    block_at(&fixture, (None, 1), since, &[opened(Some(SIGNER), 100)], None).await;
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Ok(true));
    for later in 1..4 {
        block_at(&fixture, (None, 1), since + later, &[], Some(3)).await;
    }
    assert_eq!(fixture.store.canonical_block(CHAIN, 2).await.unwrap(), None, "its header went");
    fixture.reopen().await;
    let VoucherResult::Granted(grant) = fixture.store.accept_voucher(voucher(20, 10, 2)).await.unwrap()
    else {
        panic!("the channel is not from before the restore")
    };
    assert_eq!((grant.first, grant.opening.block_timestamp), (true, since));
}

/// The same channel, opened anew by a later transaction or in a later block, has the same vouchers.
#[tokio::test]
async fn after_a_restore_a_channel_that_a_reorganization_gave_a_later_opening_stays_refused() {
    let fixture = open(100).await;
    let fixture = lost_and_put_back(&fixture, 0).await;
    let since = fixture.store.refuse_before();
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Err(VoucherResult::BeforeRestore));
    block_at(&fixture, (Some(0), 2), since + 5, &[opened(Some(SIGNER), 100)], None).await;
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Err(VoucherResult::BeforeRestore));
}

/// A database from before times of events were kept: those of headers that are kept, and of blocks with payments, are
/// known; of the rest none is, and after a restore that counts as before it.
#[tokio::test]
async fn what_is_still_known_of_the_times_of_events_is_kept_by_the_upgrade() {
    let mut fixture = open(100).await;
    let parent = fixture.store.canonical_block(CHAIN, 1).await.unwrap().unwrap();
    let paid = child(parent, 1, &[7]);
    let mut batch = fixture.batch(None, std::slice::from_ref(&paid)).await;
    let [second, third] = [0xc2, 0xc3].map(B256::repeat_byte);
    batch.extras.channels = channel_events(paid.block, 1, &[(second, opened(Some(SIGNER), 100))]);
    fixture.store.apply(batch).await.unwrap();
    channel_block(&fixture, None, 1, &[(third, opened(Some(SIGNER), 100))]).await;
    block_at(&fixture, (None, 1), 1_700_000_004, &[], Some(3)).await;
    fixture.store.clone().close().await;
    let path = support::options(&fixture.directory).path;
    let database = rusqlite::Connection::open(path).unwrap();
    for statement in [
        "DROP INDEX channel_events_orphaned_of",
        "ALTER TABLE channel_events DROP COLUMN block_timestamp",
        "DELETE FROM _sqlx_migrations WHERE version = 12",
    ] {
        database.execute_batch(statement).unwrap();
    }
    database.close().unwrap();
    fixture.store = support::open(&fixture.directory).await;
    let time = async |channel| {
        let mut shown = voucher(10, 10, 1);
        shown.voucher.channel = channel;
        match fixture.store.look_at_voucher(&shown).await.unwrap() {
            VoucherResult::Granted(grant) => grant.opening.block_timestamp,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        [time(CHANNEL).await, time(second).await, time(third).await],
        [0, 1_700_000_002, 1_700_000_003]
    );
    let fixture = lost_and_put_back(&fixture, 0).await;
    assert_eq!(show(&fixture, voucher(10, 10, 1)).await, Err(VoucherResult::BeforeRestore));
}

#[tokio::test]
async fn c12_a_voucher_is_granted_on_by_the_instance_that_holds_the_name_and_by_no_other() {
    let fixture = open(100).await;
    let [one, copy] = [1, 2].map(B128::repeat_byte);
    assert_eq!(fixture.store.hold("shop".into(), one, None).await.unwrap(), None);
    let by = |instance, voucher| NewVoucher { holder: Holder { instance, lapsed: None }, ..voucher };
    assert_eq!(show(&fixture, by(Some(one), voucher(10, 10, 1))).await, Ok(true));
    let held = VoucherResult::HeldElsewhere(Lease { instance: one, renewals: 1 });
    for other in [Some(copy), None] {
        for shown in [voucher(10, 10, 1), voucher(20, 10, 2)] {
            assert_eq!(show(&fixture, by(other, shown)).await, Err(held.clone()));
        }
    }
    assert_eq!(show(&fixture, by(Some(one), voucher(10, 10, 1))).await, Ok(false));
    assert_eq!(show(&fixture, by(Some(one), voucher(20, 10, 2))).await, Ok(true));
}

fn by_use(ceiling: u64, price: u64, request: u8) -> NewVoucher {
    NewVoucher { by_use: true, ..voucher(ceiling, price, request) }
}

async fn capture(fixture: &Fixture, ceiling: u64, units: u64) -> Captured {
    let payment = voucher(ceiling, 0, 0).voucher.payment_id(CHAIN, CONTRACT);
    let new = NewCapture { payment, claimant: "shop".into(), amount: amount(units) };
    fixture.store.capture(new).await.unwrap()
}

/// What is used is charged; the rest pays for the next request. Nothing is claimed that was not charged.
#[tokio::test]
async fn of_a_voucher_by_use_what_was_used_is_charged_and_the_rest_pays_for_the_next() {
    let mut fixture = open(100).await;
    let account = |ceiling, spent, reserved| VoucherAccount {
        ceiling: amount(ceiling),
        spent: amount(spent),
        reserved: amount(reserved),
    };
    let stands = async |fixture: &Fixture| {
        let totals = fixture.store.voucher_totals(CHAIN).await.unwrap();
        let row = fixture.store.vouchers(CHAIN, CONTRACT).await.unwrap()[0].account;
        (row, totals[0].unclaimed)
    };
    assert_eq!(show(&fixture, by_use(40, 40, 1)).await, Ok(true));
    assert_eq!(show(&fixture, by_use(40, 40, 1)).await, Ok(false));
    assert_eq!(
        stands(&fixture).await,
        (account(40, 0, 40), amount(0)),
        "a running request is nothing to claim"
    );
    // While it is not known what is used, all of it is taken.
    assert_eq!(show(&fixture, by_use(79, 40, 2)).await, Err(VoucherResult::TooLow(account(40, 0, 40))));
    assert_eq!(show(&fixture, voucher(50, 10, 2)).await, Ok(true));
    assert_eq!(stands(&fixture).await, (account(50, 10, 40), amount(10)));

    assert_eq!(capture(&fixture, 40, 41).await, Captured::AboveCeiling(amount(40)));
    assert_eq!(capture(&fixture, 50, 1).await, Captured::Unknown, "what was paid up front stays paid");
    assert_eq!(capture(&fixture, 40, 7).await, Captured::Done { amount: amount(7), settled: false });
    fixture.reopen().await;
    for units in [7, 40, 0] {
        assert_eq!(capture(&fixture, 40, units).await, Captured::Done { amount: amount(7), settled: false });
    }
    assert_eq!(stands(&fixture).await, (account(50, 17, 0), amount(17)));
    // 33 are to credit: one unit more is signed, and 34 may be used.
    assert_eq!(show(&fixture, by_use(51, 35, 3)).await, Err(VoucherResult::TooLow(account(50, 17, 0))));
    assert_eq!(show(&fixture, by_use(51, 34, 3)).await, Ok(true));
    assert_eq!(capture(&fixture, 51, 0).await, Captured::Done { amount: amount(0), settled: false });
    assert_eq!(stands(&fixture).await, (account(51, 17, 0), amount(17)));
    // What was granted by use is charged by use, whatever the price says now.
    let again = fixture.store.accept_voucher(voucher(51, 3, 3)).await.unwrap();
    let VoucherResult::Granted(grant) = again else { panic!("{again:?}") };
    assert_eq!((grant.by_use, grant.first, grant.price), (true, false, amount(34)));
}

/// A stream is paid as it goes: one voucher begins it, and further ones raise what it may cost.
#[tokio::test]
async fn a_voucher_that_allows_a_part_is_raised_by_the_next_ones_of_its_channel() {
    let mut fixture = open(100).await;
    let account = |ceiling, spent, reserved| VoucherAccount {
        ceiling: amount(ceiling),
        spent: amount(spent),
        reserved: amount(reserved),
    };
    let begins = |ceiling, request| NewVoucher { at_least: Some(amount(10)), ..by_use(ceiling, 40, request) };
    let name = |ceiling| voucher(ceiling, 0, 0).voucher.payment_id(CHAIN, CONTRACT);
    let raises = |ceiling, grant, least| NewVoucher {
        at_least: Some(amount(least)),
        raises: Some(name(grant)),
        ..by_use(ceiling, 40, 1)
    };
    let told =
        async |fixture: &Fixture, new: NewVoucher| match fixture.store.accept_voucher(new).await.unwrap() {
            VoucherResult::Granted(grant) => {
                Ok((grant.payment, grant.first, grant.price, grant.most.unwrap(), grant.account))
            }
            refused => Err(refused),
        };
    let little =
        |account, more| VoucherResult::AllowsTooLittle { account: Box::new(account), more: amount(more) };
    assert_eq!(told(&fixture, begins(9, 1)).await, Err(little(account(0, 0, 0), 10)));
    let first = |first, price| (name(15), first, amount(price), amount(40));
    let with = |(payment, first, price, most), account| Ok((payment, first, price, most, account));
    assert_eq!(told(&fixture, begins(15, 1)).await, with(first(true, 15), account(15, 0, 15)));
    assert_eq!(told(&fixture, begins(15, 1)).await, with(first(false, 15), account(15, 0, 15)));

    // What is not above the last one, allows too little, or raises nothing, is taken nothing of.
    assert_eq!(told(&fixture, raises(15, 15, 16)).await, Err(little(account(15, 0, 15), 1)));
    assert_eq!(told(&fixture, raises(19, 15, 20)).await, Err(little(account(15, 0, 15), 5)));
    assert_eq!(told(&fixture, raises(30, 77, 20)).await, Err(VoucherResult::NotUnderWay));
    let strangers = NewVoucher { claimant: "another".into(), ..raises(30, 15, 20) };
    assert_eq!(told(&fixture, strangers).await, Err(VoucherResult::NotUnderWay));
    assert_eq!(show(&fixture, voucher(16, 1, 2)).await, Ok(true), "another request of the channel");

    // 16 are used and reserved: what is signed beyond that is for the stream.
    assert_eq!(told(&fixture, raises(21, 15, 20)).await, with(first(true, 20), account(21, 1, 20)));
    fixture.reopen().await;
    assert_eq!(told(&fixture, raises(21, 15, 20)).await, with(first(false, 20), account(21, 1, 20)));
    assert_eq!(show(&fixture, by_use(21, 40, 3)).await, Err(VoucherResult::TooLow(account(21, 1, 20))));
    // Up to its most, and then no more is taken.
    assert_eq!(told(&fixture, raises(60, 15, 21)).await, with(first(true, 40), account(60, 1, 40)));
    assert_eq!(told(&fixture, raises(61, 15, 40)).await, with(first(false, 40), account(60, 1, 40)));
    assert_eq!(capture(&fixture, 15, 41).await, Captured::AboveCeiling(amount(40)));
    assert_eq!(capture(&fixture, 15, 23).await, Captured::Done { amount: amount(23), settled: false });
    assert_eq!(told(&fixture, raises(61, 15, 40)).await, Err(VoucherResult::NotUnderWay), "it has ended");
    assert_eq!(fixture.store.vouchers(CHAIN, CONTRACT).await.unwrap()[0].account, account(60, 24, 0));
    // A voucher that was used for a request raises no other.
    assert_eq!(told(&fixture, begins(61, 4)).await.unwrap().2, amount(37));
    let used = NewVoucher { request: voucher(0, 0, 4).request, ..raises(16, 61, 38) };
    assert_eq!(told(&fixture, used).await, Err(VoucherResult::Used(account(61, 24, 37))));
}

#[tokio::test]
async fn a_reorganization_between_run_and_capture_raises_nothing() {
    let fixture = open(100).await;
    assert_eq!(show(&fixture, by_use(40, 40, 1)).await, Ok(true));
    let height = fixture.cursor().await.unwrap().number;
    block(&fixture, Some(height - 1), 2, &[]).await;
    assert_eq!(capture(&fixture, 40, 7).await, Captured::Done { amount: amount(7), settled: false });
    let totals = fixture.store.voucher_totals(CHAIN).await.unwrap();
    assert!(totals.iter().all(|total| total.unclaimed == amount(0)), "{totals:?}");
    block(&fixture, Some(height - 1), 3, &[opened(Some(SIGNER), 100)]).await;
    assert_eq!(capture(&fixture, 40, 40).await, Captured::Done { amount: amount(7), settled: false });
    assert_eq!(fixture.store.vouchers(CHAIN, CONTRACT).await.unwrap()[0].account.spent, amount(7));
    assert_eq!(fixture.store.voucher_totals(CHAIN).await.unwrap()[0].unclaimed, amount(7));
}
