//! What was accepted by vouchers, added up: kept totals say at all times what the accounts and the risks say.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use salt402_protocol::{
    Address, Amount, Asset, B256, ChannelChange, Descriptor, RequestDigest, U256, Voucher,
};
use salt402_store::{ChannelAccount, IncidentFilter, IncidentKind, NewVoucher, Store, VoucherTotals};
use support::{CHAIN, CHANNELS as CONTRACT, Fixture, channel_block, numbered};

const SIGNER: Address = Address::repeat_byte(3);
const PAYEE: Address = Address::repeat_byte(2);
/// Two channels in one asset, and one in another.
const CHANNELS: [(B256, u8); 3] =
    [(B256::repeat_byte(0xc1), 0), (B256::repeat_byte(0xc2), 0), (B256::repeat_byte(0xc3), 9)];

fn amount(value: u64) -> Amount {
    Amount(U256::from(value))
}

fn asset(of: usize) -> Asset {
    Asset::from_address(Address::repeat_byte(CHANNELS[of].1))
}

fn opened(of: usize) -> ChannelChange {
    let descriptor = Descriptor {
        payer: Address::repeat_byte(1),
        payee: PAYEE,
        asset: asset(of),
        signer: Some(SIGNER),
        operator: None,
        exit_delay: 900,
        salt: B256::ZERO,
    };
    ChannelChange::Opened { descriptor, deposit: amount(60) }
}

async fn show(store: &Store, of: usize, ceiling: u64, price: u64) {
    let channel = CHANNELS[of].0;
    let voucher = NewVoucher {
        chain: CHAIN,
        contract: CONTRACT,
        voucher: Voucher { channel, ceiling: amount(ceiling), signature: [7; 65] },
        signer: SIGNER,
        payee: PAYEE,
        asset: asset(of),
        price: amount(price),
        by_use: false,
        at_least: None,
        raises: None,
        request: RequestDigest(numbered(channel[0], ceiling)),
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
    };
    store.accept_voucher(voucher).await.unwrap();
}

/// All channels, two to a page.
async fn all_channels(store: &Store) -> Vec<ChannelAccount> {
    let (mut accounts, mut after) = (Vec::new(), None);
    loop {
        let page = store.channel_page(CHAIN, CONTRACT, None, after, 2).await.unwrap();
        accounts.extend(page.accounts);
        after = page.next;
        if after.is_none() {
            return accounts;
        }
    }
}

/// The totals, from the accounts and the incidents alone.
async fn added_up(store: &Store) -> Vec<VoucherTotals> {
    let mut sums: BTreeMap<Address, VoucherTotals> = BTreeMap::new();
    let zero =
        |asset| VoucherTotals { asset, unclaimed: Amount::ZERO, at_risk: Amount::ZERO, channels_at_risk: 0 };
    for account in all_channels(store).await {
        let open = account.state.as_ref().filter(|state| !state.closed);
        let Some(asset) = open.and_then(|state| state.descriptor).map(|known| known.asset) else { continue };
        if account.voucher.is_some() {
            let sum = sums.entry(asset.address()).or_insert_with(|| zero(asset));
            sum.unclaimed = Amount(sum.unclaimed.0 + account.unclaimed().0);
        }
    }
    let filter = IncidentFilter {
        open: Some(true),
        kind: Some(IncidentKind::VoucherAtRisk),
        ..IncidentFilter::default()
    };
    for incident in store.incidents_where(&filter, 100).await.unwrap() {
        let risk = incident.risk.unwrap();
        let asset = risk.asset.unwrap();
        let sum = sums.entry(asset.address()).or_insert_with(|| zero(asset));
        sum.at_risk = Amount(sum.at_risk.0 + risk.unclaimed().0);
        sum.channels_at_risk += 1;
    }
    sums.into_values().collect()
}

#[derive(Clone, Debug)]
enum Move {
    Accept(usize, u64),
    Exit(usize),
    Cancel(usize),
    Claim(usize, u64),
    Close(usize, u64),
    Back(u64),
    Return,
    Settle,
    Restart,
    Restore,
    Upgrade,
}

fn any_move() -> impl Strategy<Value = Move> {
    let of = || 0..CHANNELS.len();
    prop_oneof![
        6 => (of(), 1..9_u64).prop_map(|(of, price)| Move::Accept(of, price)),
        3 => of().prop_map(Move::Exit),
        2 => of().prop_map(Move::Cancel),
        3 => (of(), 0..12_u64).prop_map(|(of, more)| Move::Claim(of, more)),
        1 => (of(), 0..5_u64).prop_map(|(of, more)| Move::Close(of, more)),
        4 => (1..5_u64).prop_map(Move::Back),
        2 => Just(Move::Return),
        1 => Just(Move::Settle),
        1 => Just(Move::Restart),
        1 => Just(Move::Restore),
        1 => Just(Move::Upgrade),
    ]
}

/// Puts a copy in the place of the database.
async fn restore(fixture: Fixture) -> Fixture {
    let Fixture { directory, store } = fixture;
    store.close().await;
    let fresh = tempfile::tempdir().unwrap();
    let copy = fresh.path().join("copy.db");
    salt402_store::backup(&directory.path().join("salt402.db"), &copy, |_, _| {}).await.unwrap();
    let place = fresh.path().join("salt402.db");
    salt402_store::restore(&copy, &place, std::time::Duration::ZERO).await.unwrap();
    let store = support::open(&fresh).await;
    Fixture { directory: fresh, store }
}

/// Makes a database of before totals were kept of it, and opens it.
async fn upgrade(fixture: Fixture) -> Fixture {
    let Fixture { directory, store } = fixture;
    store.close().await;
    let database = rusqlite::Connection::open(directory.path().join("salt402.db")).unwrap();
    database
        .execute_batch(
            "DELETE FROM meta WHERE name = 'voucher_totals'; DELETE FROM voucher_totals;
             UPDATE vouchers SET counted_asset = NULL, counted = NULL;",
        )
        .unwrap();
    drop(database);
    let store = support::open(&directory).await;
    Fixture { directory, store }
}

async fn settle(fixture: &Fixture) {
    let filter = IncidentFilter { open: Some(true), ..IncidentFilter::default() };
    if let Some(incident) = fixture.store.incidents_where(&filter, 1).await.unwrap().first() {
        assert!(fixture.store.settle_incident(incident.id, "made good".into()).await.unwrap());
    }
}

/// What happens to one channel on the chain, or that it is opened.
async fn happen(fixture: &Fixture, branch: u8, of: usize, change: impl FnOnce(u64, u64) -> ChannelChange) {
    let id = CHANNELS[of].0;
    let state = fixture.store.channel(CHAIN, CONTRACT, id).await.unwrap();
    let change = match state {
        Some(state) if state.descriptor.is_some() => {
            change(u64::try_from(state.claimed.0).unwrap(), u64::try_from(state.deposit.0).unwrap())
        }
        _ => opened(of),
    };
    channel_block(fixture, None, branch, &[(id, change)]).await;
}

async fn make(mut fixture: Fixture, branch: u8, next: &Move) -> Fixture {
    match *next {
        Move::Accept(of, price) => {
            let account = fixture.store.channel_account(CHAIN, CONTRACT, CHANNELS[of].0).await.unwrap();
            let ceiling = account.map_or(U256::ZERO, |known| known.account.ceiling.0);
            show(&fixture.store, of, u64::try_from(ceiling).unwrap() + price, price).await;
        }
        Move::Exit(of) => {
            happen(&fixture, branch, of, |_, _| ChannelChange::ExitRequested { exit_at: 500, amount: None })
                .await;
        }
        Move::Cancel(of) => happen(&fixture, branch, of, |_, _| ChannelChange::ExitCancelled).await,
        Move::Claim(of, more) => {
            happen(&fixture, branch, of, |claimed, deposit| ChannelChange::Claimed {
                amount: amount(1),
                claimed: amount((claimed + more).min(deposit)),
            })
            .await;
        }
        Move::Close(of, more) => {
            happen(&fixture, branch, of, |claimed, deposit| {
                let claimed = (claimed + more).min(deposit);
                ChannelChange::Closed { claimed: amount(claimed), refund: amount(deposit - claimed) }
            })
            .await;
        }
        Move::Back(depth) => {
            let height = fixture.cursor().await.unwrap().number;
            channel_block(&fixture, Some(height.saturating_sub(depth)), branch, &[]).await;
        }
        Move::Return => channel_block(&fixture, Some(0), 1, &[]).await,
        Move::Settle => settle(&fixture).await,
        Move::Restart => fixture.reopen().await,
        Move::Restore => return restore(fixture).await,
        Move::Upgrade => return upgrade(fixture).await,
    }
    fixture
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// After every step, whatever the chain, the payers, the operator and the disk did.
    #[test]
    fn kept_totals_are_the_sums(moves in prop::collection::vec(any_move(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut fixture = Fixture::new().await;
            fixture.follow_channels().await;
            let all: Vec<_> = (0..CHANNELS.len()).map(|of| (CHANNELS[of].0, opened(of))).collect();
            channel_block(&fixture, None, 1, &all).await;
            for (step, next) in moves.iter().enumerate() {
                // One branch for every step, so that no two blocks are the same but those that return.
                fixture = make(fixture, 2 + u8::try_from(step).unwrap(), next).await;
                let totals = fixture.store.voucher_totals(CHAIN).await.unwrap();
                assert_eq!(totals, added_up(&fixture.store).await, "step {step}: {next:?}");
                let mut open: Vec<_> = all_channels(&fixture.store).await;
                open.retain(|known| known.state.as_ref().is_some_and(|state| state.descriptor.is_some() && !state.closed)
                        && known.unclaimed() > Amount::ZERO);
                open.sort_by_key(|known| (std::cmp::Reverse(known.unclaimed()), known.id));
                let open: Vec<B256> = open.iter().map(|known| known.id).collect();
                assert_eq!(fixture.store.unclaimed_channels(CHAIN, CONTRACT).await.unwrap(), open);
            }
        });
    }
}
