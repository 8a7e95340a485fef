//! Accepted vouchers that may not be paid any more: an incident while that is so, whatever the chain does.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use proptest::prelude::*;
use salt402_protocol::{
    Address, Amount, Asset, B256, ChannelChange, Descriptor, RequestDigest, U256, Voucher,
};
use salt402_store::{
    Incident, IncidentFilter, IncidentKind, NewCapture, NewVoucher, NoticeEvent, RiskReason, VoucherResult,
    VoucherTotals,
};
use support::{CHAIN, CHANNELS as CONTRACT, Fixture, channel_block, numbered};

const CHANNEL: B256 = B256::repeat_byte(0xc1);
const OTHER: B256 = B256::repeat_byte(0xc2);
const SIGNER: Address = Address::repeat_byte(3);
const PAYER: Address = Address::repeat_byte(1);
const PAYEE: Address = Address::repeat_byte(2);

fn amount(value: u64) -> Amount {
    Amount(U256::from(value))
}

fn opened(deposit: u64) -> ChannelChange {
    let descriptor = Descriptor {
        payer: PAYER,
        payee: PAYEE,
        asset: Asset::Native,
        signer: Some(SIGNER),
        operator: None,
        exit_delay: 900,
        salt: B256::ZERO,
    };
    ChannelChange::Opened { descriptor, deposit: amount(deposit) }
}

fn exit(exit_at: u64) -> ChannelChange {
    ChannelChange::ExitRequested { exit_at, amount: None }
}

fn claimed(total: u64) -> ChannelChange {
    ChannelChange::Claimed { amount: amount(1), claimed: amount(total) }
}

fn topped_up(deposit: u64) -> [ChannelChange; 2] {
    [ChannelChange::ExitCancelled, ChannelChange::ToppedUp { amount: amount(1), deposit: amount(deposit) }]
}

/// Puts a block with events upon the chain, or in place of what is above `keep_through`.
async fn block(fixture: &Fixture, keep_through: Option<u64>, branch: u8, changes: &[ChannelChange]) {
    let changes: Vec<_> = changes.iter().map(|change| (CHANNEL, *change)).collect();
    channel_block(fixture, keep_through, branch, &changes).await;
}

/// A channel with a deposit.
async fn open(deposit: u64) -> Fixture {
    let fixture = Fixture::new().await;
    fixture.follow_channels().await;
    block(&fixture, None, 1, &[opened(deposit)]).await;
    fixture
}

async fn show(fixture: &Fixture, channel: B256, ceiling: u64, price: u64, after_loss: u64) -> VoucherResult {
    fixture.store.accept_voucher(new_voucher(channel, ceiling, price, after_loss)).await.unwrap()
}

fn new_voucher(channel: B256, ceiling: u64, price: u64, after_loss: u64) -> NewVoucher {
    let request = RequestDigest(numbered(channel[0], ceiling));
    NewVoucher {
        chain: CHAIN,
        contract: CONTRACT,
        voucher: Voucher { channel, ceiling: amount(ceiling), signature: [7; 65] },
        signer: SIGNER,
        payee: PAYEE,
        asset: Asset::Native,
        price: amount(price),
        by_use: false,
        at_least: None,
        raises: None,
        request,
        claimant: "shop".into(),
        holder: Default::default(),
        confirmations: 1,
        after_loss,
        opened_from: 0,
        past: Vec::new(),
        operators: Vec::new(),
        least_exit_delay: 0,
        late_ms: None,
        now_ms: 5,
        credit: None,
    }
}

async fn accept(fixture: &Fixture, ceiling: u64, price: u64) {
    let result = show(fixture, CHANNEL, ceiling, price, 0).await;
    assert!(matches!(&result, VoucherResult::Granted(grant) if grant.first), "{result:?}");
}

async fn incidents(fixture: &Fixture) -> Vec<Incident> {
    let filter = IncidentFilter { kind: Some(IncidentKind::VoucherAtRisk), ..IncidentFilter::default() };
    fixture.store.incidents_where(&filter, 100).await.unwrap()
}

/// The incident that is open, in short: why, spent, claimed.
async fn at_risk(fixture: &Fixture) -> Option<(RiskReason, u64, u64)> {
    let open: Vec<_> =
        incidents(fixture).await.into_iter().filter(|incident| incident.resolved_at_ms.is_none()).collect();
    assert!(open.len() <= 1, "{open:?}");
    let number = |amount: Amount| u64::try_from(amount.0).unwrap();
    open.first().map(|incident| {
        let risk = incident.risk.unwrap();
        (risk.reason, number(risk.spent), number(risk.claimed))
    })
}

/// Every notice in the order in which they were written, each told.
async fn told(fixture: &Fixture) -> Vec<(NoticeEvent, IncidentKind)> {
    let mut told: Vec<(u64, NoticeEvent, IncidentKind)> = Vec::new();
    loop {
        let due = fixture.store.due_notices(u64::MAX, 100).await.unwrap();
        if due.is_empty() {
            told.sort_by_key(|(id, ..)| *id);
            return told.into_iter().map(|(_, event, kind)| (event, kind)).collect();
        }
        for notice in due {
            assert!(notice.incident.risk.is_some(), "{notice:?}");
            told.push((notice.id, notice.event, notice.incident.kind));
            fixture.store.notice_delivered(notice.id, 1).await.unwrap();
        }
    }
}

/// When its payer began to leave, nothing was charged yet. What a request that was under way then used is at risk all the same.
#[tokio::test]
async fn what_is_charged_of_a_ceiling_after_its_payer_began_to_leave_is_an_incident_with_the_next_block() {
    let fixture = open(100).await;
    let voucher = |ceiling: u64| NewVoucher { by_use: true, ..new_voucher(CHANNEL, ceiling, 10, 0) };
    for ceiling in [10, 20] {
        let result = fixture.store.accept_voucher(voucher(ceiling)).await.unwrap();
        assert!(matches!(&result, VoucherResult::Granted(grant) if grant.first), "{result:?}");
    }
    block(&fixture, None, 1, &[exit(777)]).await;
    assert_eq!(at_risk(&fixture).await, None, "nothing is charged yet");
    for (ceiling, units, spent) in [(10, 0, 0), (20, 7, 7)] {
        let payment = voucher(ceiling).voucher.payment_id(CHAIN, CONTRACT);
        let capture = NewCapture { payment, claimant: "shop".into(), amount: amount(units) };
        fixture.store.capture(capture).await.unwrap();
        block(&fixture, None, 1, &[]).await;
        let expected = (spent > 0).then_some((RiskReason::Exit, spent, 0));
        assert_eq!(at_risk(&fixture).await, expected);
    }
    let totals = fixture.store.voucher_totals(CHAIN).await.unwrap();
    assert_eq!(
        (totals[0].unclaimed, totals[0].at_risk, totals[0].channels_at_risk),
        (amount(7), amount(7), 1)
    );
    assert_eq!(told(&fixture).await, [(NoticeEvent::Opened, IncidentKind::VoucherAtRisk)]);
    block(&fixture, None, 1, &[claimed(7)]).await;
    assert_eq!(at_risk(&fixture).await, None);
}

#[tokio::test]
async fn a_payer_that_leaves_before_the_claim_is_an_incident_until_it_is_claimed() {
    let fixture = open(100).await;
    accept(&fixture, 30, 20).await;
    block(&fixture, None, 1, &[claimed(5)]).await;
    assert_eq!(at_risk(&fixture).await, None, "nobody leaves");
    block(&fixture, None, 1, &[exit(777)]).await;
    assert_eq!(at_risk(&fixture).await, Some((RiskReason::Exit, 20, 5)));
    let known = incidents(&fixture).await.remove(0);
    let risk = known.risk.unwrap();
    assert_eq!((risk.contract, risk.channel, risk.exit_at), (CONTRACT, CHANNEL, Some(777)));
    assert_eq!((risk.payer, risk.asset, risk.unclaimed()), (Some(PAYER), Some(Asset::Native), amount(15)));
    assert!(known.detail.contains("777") && known.detail.contains(&CHANNEL.to_string()), "{}", known.detail);
    let totals = VoucherTotals {
        asset: Asset::Native,
        unclaimed: amount(15),
        at_risk: amount(15),
        channels_at_risk: 1,
    };
    assert_eq!(fixture.store.voucher_totals(CHAIN).await.unwrap(), [totals]);

    block(&fixture, None, 1, &[claimed(12)]).await;
    assert_eq!(at_risk(&fixture).await, Some((RiskReason::Exit, 20, 12)), "a part is not all");
    block(&fixture, None, 1, &[claimed(20)]).await;
    assert_eq!(at_risk(&fixture).await, None);
    let totals = fixture.store.voucher_totals(CHAIN).await.unwrap();
    assert_eq!((totals[0].unclaimed, totals[0].at_risk), (Amount::ZERO, Amount::ZERO));
    let kind = IncidentKind::VoucherAtRisk;
    assert_eq!(told(&fixture).await, [(NoticeEvent::Opened, kind), (NoticeEvent::Resolved, kind)]);
    assert_eq!(incidents(&fixture).await.len(), 1);
}

#[tokio::test]
async fn a_top_up_cancels_the_exit_and_the_next_exit_is_another_incident() {
    let fixture = open(100).await;
    accept(&fixture, 30, 20).await;
    block(&fixture, None, 1, &[exit(777)]).await;
    assert!(at_risk(&fixture).await.is_some());
    block(&fixture, None, 1, &topped_up(150)).await;
    assert_eq!(at_risk(&fixture).await, None);
    accept(&fixture, 60, 30).await;
    block(&fixture, None, 1, &[exit(888)]).await;
    assert_eq!(at_risk(&fixture).await, Some((RiskReason::Exit, 50, 0)));
    assert_eq!(incidents(&fixture).await.len(), 2);
}

#[tokio::test]
async fn what_was_claimed_or_never_accepted_is_at_no_risk() {
    let fixture = open(100).await;
    block(&fixture, None, 1, &[exit(777)]).await;
    block(&fixture, None, 1, &topped_up(150)).await;
    accept(&fixture, 30, 20).await;
    block(&fixture, None, 1, &[claimed(20), exit(777)]).await;
    assert!(incidents(&fixture).await.is_empty());
    assert!(told(&fixture).await.is_empty());
}

#[tokio::test]
async fn a_risk_follows_its_blocks_off_the_chain_and_back() {
    let fixture = open(100).await;
    accept(&fixture, 30, 20).await;
    block(&fixture, None, 1, &[exit(777)]).await;
    // The exit's block is replaced, and comes back.
    block(&fixture, Some(1), 2, &[]).await;
    assert_eq!(at_risk(&fixture).await, None);
    block(&fixture, Some(1), 1, &[]).await;
    assert_eq!(at_risk(&fixture).await, Some((RiskReason::Exit, 20, 0)), "its block brings it back");
    // So does that of a claim.
    block(&fixture, None, 1, &[claimed(20)]).await;
    assert_eq!(at_risk(&fixture).await, None);
    block(&fixture, Some(2), 2, &[]).await;
    assert_eq!(at_risk(&fixture).await, Some((RiskReason::Exit, 20, 0)));
    // The channel leaves with its opening, and is back.
    block(&fixture, Some(0), 3, &[]).await;
    assert_eq!(at_risk(&fixture).await, Some((RiskReason::Gone, 20, 0)));
    let totals = fixture.store.voucher_totals(CHAIN).await.unwrap();
    assert_eq!((totals[0].asset, totals[0].at_risk), (Asset::Native, amount(20)));
    block(&fixture, Some(0), 1, &[]).await;
    assert_eq!(at_risk(&fixture).await, None);
}

#[tokio::test]
async fn a_channel_that_is_gone_is_told_with_who_opened_it() {
    let fixture = open(100).await;
    accept(&fixture, 30, 20).await;
    block(&fixture, Some(0), 2, &[]).await;
    assert_eq!(at_risk(&fixture).await, Some((RiskReason::Gone, 20, 0)));
    let risk = incidents(&fixture).await[0].risk.unwrap();
    assert_eq!((risk.payer, risk.asset), (Some(PAYER), Some(Asset::Native)));
}

#[tokio::test]
async fn a_deposit_that_leaves_the_chain_puts_what_it_covered_at_risk() {
    let fixture = open(10).await;
    block(&fixture, None, 1, &[ChannelChange::ToppedUp { amount: amount(90), deposit: amount(100) }]).await;
    accept(&fixture, 40, 40).await;
    block(&fixture, Some(1), 2, &[]).await;
    assert_eq!(at_risk(&fixture).await, Some((RiskReason::Deposit, 40, 0)));
    block(&fixture, None, 2, &[ChannelChange::ToppedUp { amount: amount(30), deposit: amount(40) }]).await;
    assert_eq!(at_risk(&fixture).await, None);
}

#[tokio::test]
async fn what_is_lost_stays_until_an_operator_settles_it_and_is_not_told_again() {
    let fixture = open(100).await;
    accept(&fixture, 30, 20).await;
    block(&fixture, None, 1, &[exit(777)]).await;
    let closed = ChannelChange::Closed { claimed: amount(5), refund: amount(95) };
    block(&fixture, None, 1, &[closed]).await;
    assert_eq!(at_risk(&fixture).await, Some((RiskReason::Closed, 20, 5)));
    let id = incidents(&fixture).await[0].id;
    assert!(fixture.store.settle_incident(id, "written off".into()).await.unwrap());
    // The same channel is touched again, and its account is the same.
    block(&fixture, Some(2), 2, &[exit(778)]).await;
    assert_eq!(at_risk(&fixture).await, None);
    let kind = IncidentKind::VoucherAtRisk;
    assert_eq!(told(&fixture).await, [(NoticeEvent::Opened, kind), (NoticeEvent::Resolved, kind)]);
}

/// A payer that leaves one channel has lost nobody any money.
#[tokio::test]
async fn a_risk_does_not_hold_back_the_payers_other_channel() {
    let fixture = Fixture::new().await;
    fixture.follow_channels().await;
    channel_block(&fixture, None, 1, &[(CHANNEL, opened(100)), (OTHER, opened(100))]).await;
    accept(&fixture, 30, 20).await;
    block(&fixture, None, 1, &[exit(777)]).await;
    assert!(at_risk(&fixture).await.is_some());
    let other = show(&fixture, OTHER, 10, 10, u64::MAX).await;
    assert!(matches!(&other, VoucherResult::Granted(grant) if grant.first), "{other:?}");
}

/// A database from before risks were looked at: what stands there is looked at by the first step.
#[tokio::test]
async fn an_exit_from_before_the_upgrade_is_found_by_the_next_step() {
    let fixture = open(100).await;
    accept(&fixture, 30, 20).await;
    block(&fixture, None, 1, &[exit(777)]).await;
    let path = fixture.directory.path().join("salt402.db");
    let Fixture { directory, store } = fixture;
    store.close().await;
    let database = rusqlite::Connection::open(&path).unwrap();
    for statement in [
        "DROP TABLE channel_risks",
        "DROP TABLE channels_unchecked",
        "DELETE FROM notices",
        "DELETE FROM incidents",
        "DELETE FROM _sqlx_migrations WHERE version = 8",
    ] {
        database.execute_batch(statement).unwrap();
    }
    database.close().unwrap();
    let store = support::open(&directory).await;
    let fixture = Fixture { directory, store };
    assert_eq!(at_risk(&fixture).await, None);
    block(&fixture, None, 1, &[]).await;
    assert_eq!(at_risk(&fixture).await, Some((RiskReason::Exit, 20, 0)));
}

#[derive(Clone, Debug)]
enum Move {
    Accept(u64),
    Exit,
    TopUp,
    Claim(u64),
    Close(u64),
    Back(u64),
    Return,
    Restart,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => (1..9_u64).prop_map(Move::Accept),
        3 => Just(Move::Exit),
        2 => Just(Move::TopUp),
        3 => (0..12_u64).prop_map(Move::Claim),
        1 => (0..5_u64).prop_map(Move::Close),
        4 => (1..5_u64).prop_map(Move::Back),
        2 => Just(Move::Return),
        1 => Just(Move::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// After every step an incident is open just where more was accepted than claimed and the money can leave, or has
    /// left; and whatever was told is told in turns.
    #[test]
    fn an_incident_is_open_just_while_there_is_a_risk(moves in prop::collection::vec(any_move(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut fixture = open(40).await;
            for (step, next) in moves.iter().enumerate() {
                let state = fixture.store.channel(CHAIN, CONTRACT, CHANNEL).await.unwrap();
                let height = fixture.cursor().await.unwrap().number;
                let account = fixture.store.channel_account(CHAIN, CONTRACT, CHANNEL).await.unwrap();
                let account = account.map(|known| known.account).unwrap_or_default();
                let live = state.as_ref().is_some_and(|state| state.descriptor.is_some() && !state.closed);
                let leaving = state.as_ref().is_some_and(|state| state.exit_at.is_some());
                let deposit = state.as_ref().map_or(U256::ZERO, |state| state.deposit.0);
                let claimed_now = state.as_ref().map_or(U256::ZERO, |state| state.claimed.0);
                // One branch for every step, so that no two blocks are the same but those that return.
                let branch = 2 + step as u8;
                match *next {
                    Move::Accept(price) => {
                        let ceiling = u64::try_from(account.ceiling.0).unwrap() + price;
                        show(&fixture, CHANNEL, ceiling, price, 0).await;
                    }
                    Move::Exit if live && !leaving => block(&fixture, None, branch, &[exit(500)]).await,
                    Move::TopUp if live => {
                        let topped = topped_up(u64::try_from(deposit).unwrap() + 10);
                        block(&fixture, None, branch, if leaving { &topped } else { &topped[1..] }).await;
                    }
                    Move::Claim(more) if live => {
                        let total = (claimed_now + U256::from(more)).min(deposit).min(account.spent.0);
                        block(&fixture, None, branch, &[claimed(u64::try_from(total).unwrap())]).await;
                    }
                    Move::Close(more) if live => {
                        let claimed = Amount((claimed_now + U256::from(more)).min(deposit));
                        let change = ChannelChange::Closed { claimed, refund: Amount(deposit - claimed.0) };
                        block(&fixture, None, branch, &[change]).await;
                    }
                    Move::Back(depth) => block(&fixture, Some(height.saturating_sub(depth)), branch, &[]).await,
                    Move::Return => block(&fixture, Some(0), 1, &[]).await,
                    Move::Restart => fixture.reopen().await,
                    _ => block(&fixture, None, branch, &[]).await,
                }
                let known = fixture.store.channel_account(CHAIN, CONTRACT, CHANNEL).await.unwrap();
                let risky = known.is_some_and(|known| {
                    known.unclaimed() > Amount::ZERO
                        && known.state.is_none_or(|state| {
                            state.descriptor.is_none()
                                || state.closed
                                || state.exit_at.is_some()
                                || state.deposit < known.account.spent
                        })
                });
                assert_eq!(at_risk(&fixture).await.is_some(), risky, "step {step}: {next:?}");
            }
            let mut open = false;
            for (event, _) in told(&fixture).await {
                assert_eq!(event == NoticeEvent::Opened, !open);
                open = !open;
            }
        });
    }
}

/// Whose channel left the chain with what was accepted of it is held to what holds for whoever's payment did.
#[tokio::test]
async fn a_payer_whose_channel_left_the_chain_waits_for_finality() {
    let fixture = open(100).await;
    accept(&fixture, 30, 20).await;
    let events = [(OTHER, opened(100))];
    channel_block(&fixture, Some(0), 2, &events).await;
    let held = show(&fixture, OTHER, 10, 10, 5).await;
    assert_eq!(held, VoucherResult::TooShallow { confirmations: 1, needed: 5 });
    // It comes back, and nothing is held against its payer.
    channel_block(&fixture, None, 2, &[(CHANNEL, opened(100))]).await;
    assert_eq!(at_risk(&fixture).await, None);
    let granted = show(&fixture, OTHER, 10, 10, 5).await;
    assert!(matches!(&granted, VoucherResult::Granted(grant) if grant.first), "{granted:?}");
}
