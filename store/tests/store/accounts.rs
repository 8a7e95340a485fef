//! Prepaid balances: never below zero, charged once, credited with the claim of their payment, and blocked while it is in doubt.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::HashMap;

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use salt402_protocol::api::KeyLimits;
use salt402_protocol::{AccountId, Address, Amount, Asset, B128, B256, PaymentId, U256};
use salt402_store::{
    Account, AccountChange, AccountEventKind, Captured, Changed, ClaimResult, DrawResult, NewAccount,
    NewCapture, NewClaim, NewCredit, NewDraw,
};

use crate::support::{CHAIN, Fixture, child, genesis, id, new_claim};

const KEY: B256 = B256::repeat_byte(0x6b);
const ACCOUNT: AccountId = AccountId(B128::repeat_byte(0xac));
const NOW: u64 = 1_700_000_000_000;
const DAY: u64 = 86_400_000;

fn amount(value: u64) -> Amount {
    Amount(U256::from(value))
}

fn draw_id(number: u64) -> PaymentId {
    PaymentId(B256::from(U256::from(1_000_000 + number)))
}

/// An account of an operator with so much in it.
async fn made(fixture: &Fixture, balance: u64, limits: KeyLimits) {
    let new = NewAccount {
        id: ACCOUNT,
        key_hash: KEY,
        claimant: "gateway".into(),
        chain: CHAIN,
        asset: Asset::Native,
        plan: String::new(),
        label: "ours".into(),
        limits,
        amount: amount(balance),
        note: "test".into(),
        now_ms: NOW,
    };
    assert!(fixture.store.make_account(new.clone()).await.unwrap());
    assert!(!fixture.store.make_account(new).await.unwrap(), "once");
}

fn new(number: u64, ceiling: u64) -> NewDraw {
    NewDraw {
        draw: draw_id(number),
        key_hash: KEY,
        claimant: "gateway".into(),
        chain: CHAIN,
        asset: Asset::Native,
        request: B256::repeat_byte(7),
        path: "/v1/chat/completions".into(),
        models: vec!["tiny".into()],
        ceiling: amount(ceiling),
        now_ms: NOW,
    }
}

async fn draw(fixture: &Fixture, new: NewDraw) -> DrawResult {
    fixture.store.draw(new).await.unwrap()
}

fn is_first(result: &DrawResult) -> bool {
    matches!(result, DrawResult::Reserved { first: true, .. })
}

async fn capture(fixture: &Fixture, number: u64, used: u64) -> Captured {
    let capture = NewCapture { payment: draw_id(number), claimant: "gateway".into(), amount: amount(used) };
    fixture.store.capture(capture).await.unwrap()
}

async fn account(fixture: &Fixture) -> Account {
    fixture.store.account(ACCOUNT).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_is_reserved_is_charged_once_and_the_rest_is_free_again() {
    let mut fixture = Fixture::new().await;
    made(&fixture, 100, KeyLimits::default()).await;
    assert!(is_first(&draw(&fixture, new(1, 60)).await));
    assert_eq!(account(&fixture).await.free(), amount(40));
    assert_eq!(draw(&fixture, new(2, 41)).await, DrawResult::TooLow { account: ACCOUNT, free: amount(40) });
    // What waits is on disk, and the same again is one.
    fixture.reopen().await;
    let again = draw(&fixture, new(1, 99)).await;
    let DrawResult::Reserved { first: false, ceiling, captured: None, account: known } = again else {
        panic!("{again:?}")
    };
    assert_eq!((ceiling, known.reserved), (amount(60), amount(60)));
    let other = NewDraw { request: B256::repeat_byte(8), ..new(1, 60) };
    assert_eq!(draw(&fixture, other).await, DrawResult::OtherRequest(ACCOUNT));

    assert_eq!(capture(&fixture, 1, 61).await, Captured::AboveCeiling(amount(60)));
    let done = Captured::Done { amount: amount(25), settled: true };
    assert_eq!(capture(&fixture, 1, 25).await, done);
    assert_eq!(capture(&fixture, 1, 60).await, done, "what was charged first stays");
    let stranger = NewCapture { payment: draw_id(1), claimant: "another".into(), amount: amount(1) };
    assert_eq!(fixture.store.capture(stranger).await.unwrap(), Captured::Unknown);
    assert_eq!(capture(&fixture, 9, 0).await, Captured::Unknown);
    fixture.reopen().await;
    let stands = account(&fixture).await;
    assert_eq!((stands.free(), stands.spent, stands.reserved), (amount(75), amount(25), amount(0)));
    let DrawResult::Reserved { first: false, captured: Some(charged), .. } = draw(&fixture, new(1, 60)).await
    else {
        panic!()
    };
    assert_eq!(charged, amount(25));
    let events = fixture.store.account_events(ACCOUNT, None, 9).await.unwrap();
    assert_eq!(
        events.iter().map(|event| event.kind).collect::<Vec<_>>(),
        [AccountEventKind::Draw, AccountEventKind::Created]
    );
    assert_eq!((events[0].amount, events[0].ceiling), (Some(amount(25)), Some(amount(60))));
    assert_eq!(events[0].models, ["tiny"]);
    let before = fixture.store.account_events(ACCOUNT, Some(events[0].id), 9).await.unwrap();
    assert_eq!(before.len(), 1);
}

#[tokio::test]
async fn many_at_once_draw_no_more_than_there_is() {
    let fixture = Fixture::new().await;
    made(&fixture, 1000, KeyLimits::default()).await;
    let results = join_all((0..200).map(|number| draw(&fixture, new(number, 7)))).await;
    let drawn = results.iter().filter(|result| is_first(result)).count();
    assert_eq!(drawn, 1000 / 7);
    assert!(results.iter().all(|result| is_first(result) || matches!(result, DrawResult::TooLow { .. })));
    let open = fixture.store.open_draws("gateway", NOW + 1, 1000).await.unwrap();
    assert_eq!(open.len(), drawn);
    assert!(fixture.store.open_draws("gateway", NOW, 1000).await.unwrap().is_empty(), "too young");
    assert!(fixture.store.open_draws("another", NOW + 1, 1000).await.unwrap().is_empty());
    assert_eq!(account(&fixture).await.free(), amount(1000 % 7));
}

/// Against a model in memory that knows one account: whatever comes in whatever order, also twice, and with the database closed in between.
#[tokio::test]
async fn any_order_of_draws_charges_and_top_ups_keeps_the_sums() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut fixture = Fixture::new().await;
    made(&fixture, 500, KeyLimits::default()).await;
    let (mut credited, mut spent, mut returned) = (500u64, 0u64, 0u64);
    let mut open: HashMap<u64, u64> = HashMap::new();
    let mut closed: HashMap<u64, u64> = HashMap::new();
    for _ in 0..400 {
        let reserved: u64 = open.values().sum();
        let free = credited - spent - returned - reserved;
        let number = random.random_range(0..40u64);
        match random.random_range(0..10) {
            0..4 => {
                let ceiling = random.random_range(0..60u64);
                let result = draw(&fixture, new(number, ceiling)).await;
                if open.contains_key(&number) || closed.contains_key(&number) {
                    assert!(matches!(result, DrawResult::Reserved { first: false, .. }), "{result:?}");
                } else if ceiling <= free {
                    assert!(is_first(&result), "{result:?} with {free}");
                    open.insert(number, ceiling);
                } else {
                    assert_eq!(result, DrawResult::TooLow { account: ACCOUNT, free: amount(free) });
                }
            }
            4..7 => {
                let used = random.random_range(0..60u64);
                let result = capture(&fixture, number, used).await;
                match (open.get(&number).copied(), closed.get(&number)) {
                    (Some(ceiling), _) if used > ceiling => {
                        assert_eq!(result, Captured::AboveCeiling(amount(ceiling)));
                    }
                    (Some(_), _) => {
                        assert_eq!(result, Captured::Done { amount: amount(used), settled: true });
                        open.remove(&number);
                        closed.insert(number, used);
                        spent += used;
                    }
                    (None, Some(used)) => {
                        assert_eq!(result, Captured::Done { amount: amount(*used), settled: true });
                    }
                    (None, None) => assert_eq!(result, Captured::Unknown),
                }
            }
            7 => {
                let more = random.random_range(0..50u64);
                let change = AccountChange::Grant(amount(more));
                let changed =
                    fixture.store.change_account(ACCOUNT, change, "more".into(), NOW).await.unwrap();
                assert!(matches!(changed, Changed::Done(_)));
                credited += more;
            }
            8 => {
                let back = random.random_range(0..80u64);
                let change = AccountChange::Return(amount(back), None);
                let changed =
                    fixture.store.change_account(ACCOUNT, change, "back".into(), NOW).await.unwrap();
                if back <= free {
                    assert!(matches!(changed, Changed::Done(_)));
                    returned += back;
                } else {
                    assert_eq!(changed, Changed::TooLow(amount(free)));
                }
            }
            _ => fixture.reopen().await,
        }
        let stands = account(&fixture).await;
        let reserved: u64 = open.values().sum();
        assert_eq!(
            (stands.credited, stands.spent, stands.returned, stands.reserved),
            (amount(credited), amount(spent), amount(returned), amount(reserved))
        );
        assert_eq!(stands.free(), amount(credited - spent - returned - reserved));
    }
}

#[tokio::test]
async fn a_key_is_held_to_its_limits() {
    let fixture = Fixture::new().await;
    let limits = KeyLimits {
        amount_per_day: Some(amount(50)),
        models: vec!["tiny".into()],
        paths: vec!["/v1/chat/completions".into(), "/nano".into()],
        ends_at: Some((NOW + 3 * DAY) / 1000),
        ..KeyLimits::default()
    };
    made(&fixture, 1000, limits.clone()).await;
    assert_eq!(account(&fixture).await.limits, limits);
    let of = |models: &[&str], path: &str| NewDraw {
        models: models.iter().map(|name| (*name).to_owned()).collect(),
        path: path.into(),
        ..new(1, 1)
    };
    let refused = |what: &str| DrawResult::NotAllowed(ACCOUNT, what.into());
    assert_eq!(draw(&fixture, of(&["tiny", "big"], "/nano")).await, refused("big"));
    assert_eq!(draw(&fixture, of(&["tiny"], "/v1/embeddings")).await, refused("/v1/embeddings"));

    assert!(is_first(&draw(&fixture, new(1, 30)).await));
    let used = |used| DrawResult::DayUsed { account: ACCOUNT, used: amount(used), most: amount(50) };
    assert_eq!(draw(&fixture, new(2, 21)).await, used(30));
    // What was not used of it counts no more; and each day begins anew, also for what was reserved the day before.
    capture(&fixture, 1, 10).await;
    assert!(is_first(&draw(&fixture, new(2, 40)).await));
    assert_eq!(draw(&fixture, new(3, 1)).await, used(50));
    let tomorrow = |number, ceiling| NewDraw { now_ms: NOW + DAY, ..new(number, ceiling) };
    assert!(is_first(&draw(&fixture, tomorrow(3, 50)).await));
    capture(&fixture, 2, 0).await;
    assert_eq!(draw(&fixture, tomorrow(4, 1)).await, used(50));
    let late = NewDraw { now_ms: NOW + 4 * DAY, ..new(5, 1) };
    assert_eq!(draw(&fixture, late).await, DrawResult::KeyRefused, "it has ended");
    assert_eq!(draw(&fixture, NewDraw { key_hash: B256::ZERO, ..new(5, 1) }).await, DrawResult::KeyRefused);
    let other = NewDraw { claimant: "another".into(), ..tomorrow(5, 0) };
    assert_eq!(draw(&fixture, other).await, DrawResult::KeyRefused);
    let other = NewDraw { asset: Asset::Token(Address::repeat_byte(1)), ..tomorrow(5, 0) };
    assert_eq!(draw(&fixture, other).await, DrawResult::OtherAsset(ACCOUNT));

    let changed = fixture.store.change_account(
        ACCOUNT,
        AccountChange::Limits(KeyLimits::default()),
        "open".into(),
        NOW,
    );
    let Changed::Done(now) = changed.await.unwrap() else { panic!() };
    assert_eq!(now.limits, KeyLimits::default());
    assert!(is_first(&draw(&fixture, NewDraw { now_ms: NOW + 4 * DAY, ..new(5, 1) }).await));
    fixture.store.change_account(ACCOUNT, AccountChange::Revoke, "lost".into(), NOW).await.unwrap();
    assert_eq!(draw(&fixture, new(6, 1)).await, DrawResult::KeyRefused);
    assert!(
        matches!(draw(&fixture, new(5, 1)).await, DrawResult::Reserved { first: false, .. }),
        "it was reserved"
    );
    assert_eq!(capture(&fixture, 5, 1).await, Captured::Done { amount: amount(1), settled: true });
}

/// A claim that credits what was paid, of 5, with a bonus of 1.
fn buying(payment: u64, credit: NewCredit) -> NewClaim {
    NewClaim { credit: Some(Box::new(credit)), ..new_claim(payment, 1) }
}

fn credit(account: Option<AccountId>) -> NewCredit {
    NewCredit {
        account,
        key_hash: KEY,
        plan: "pro".into(),
        limits: KeyLimits { requests_per_minute: Some(3), ..KeyLimits::default() },
        amount: amount(5),
        bonus: amount(1),
        asset: Asset::Native,
        payer: Address::repeat_byte(0xaa),
    }
}

#[tokio::test]
async fn a_payment_is_credited_with_its_claim_once() {
    let mut fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1, 2, 3, 4])]).await.unwrap();
    let first = fixture.store.claim(buying(1, credit(None))).await.unwrap();
    assert!(matches!(first, ClaimResult::First { .. }));
    fixture.reopen().await;
    let again = fixture.store.claim(buying(1, credit(None))).await.unwrap();
    assert!(matches!(again, ClaimResult::Again { .. }));
    let (account, made, credited) = fixture.store.credit_of(id(1)).await.unwrap().unwrap();
    assert_eq!((account.id, made, credited), (AccountId::made_by(id(1).0), true, amount(6)));
    assert_eq!((account.free(), account.plan.as_str()), (amount(6), "pro"));
    assert_eq!(account.limits.requests_per_minute, Some(3));
    // The same key, or its account, is topped up.
    fixture.store.claim(buying(2, credit(None))).await.unwrap();
    let named = NewCredit { key_hash: B256::ZERO, bonus: amount(0), ..credit(Some(account.id)) };
    fixture.store.claim(buying(3, named.clone())).await.unwrap();
    let (account, made, credited) = fixture.store.credit_of(id(3)).await.unwrap().unwrap();
    assert_eq!((account.free(), made, credited), (amount(17), false, amount(5)));
    assert!(is_first(&draw(&fixture, new(1, 17)).await));

    // Where it cannot be credited, the payment is not used up.
    let nowhere = NewCredit { account: Some(ACCOUNT), ..named.clone() };
    let elsewhere = NewCredit { asset: Asset::Token(Address::repeat_byte(1)), ..named.clone() };
    fixture.store.change_account(account.id, AccountChange::Revoke, "lost".into(), NOW).await.unwrap();
    for credit in [nowhere, elsewhere, named] {
        assert_eq!(fixture.store.claim(buying(4, credit)).await.unwrap(), ClaimResult::AccountClosed);
    }
    assert!(fixture.store.credit_of(id(4)).await.unwrap().is_none());
    assert!(matches!(fixture.claim(4, 9).await, ClaimResult::First { .. }));
    assert_eq!(fixture.store.claim(buying(4, credit(None))).await.unwrap(), ClaimResult::Taken);
    assert!(fixture.store.credit_of(id(4)).await.unwrap().is_none());
}

#[tokio::test]
async fn an_account_that_many_payments_bought_says_that_it_takes_no_more() {
    let fixture = Fixture::new().await;
    let payments: Vec<u64> = (1..=1001).collect();
    fixture.apply(None, &[child(genesis(), 1, &payments)]).await.unwrap();
    fixture.store.claim(buying(1, credit(None))).await.unwrap();
    let account = AccountId::made_by(id(1).0);
    let is_full = || async { fixture.store.account(account).await.unwrap().unwrap().is_full() };
    join_all((2..1000).map(|payment| fixture.store.claim(buying(payment, credit(None))))).await;
    assert!(!is_full().await, "one more is taken");
    fixture.store.claim(buying(1000, credit(None))).await.unwrap();
    assert!(is_full().await);
    let more = fixture.store.claim(buying(1001, credit(None))).await.unwrap();
    assert_eq!(more, ClaimResult::AccountClosed);
    let now = fixture.store.account(account).await.unwrap().unwrap();
    assert_eq!((now.credited, now.payments), (amount(6 * 1000), 1000));
    assert!(is_first(&draw(&fixture, new(1, 6 * 1000)).await));
}

#[tokio::test]
async fn an_account_is_blocked_while_its_payment_is_off_the_chain_and_until_an_operator_settles_it() {
    let fixture = Fixture::new().await;
    let (one, other) = (child(genesis(), 1, &[1]), child(genesis(), 2, &[]));
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    fixture.store.claim(buying(1, credit(None))).await.unwrap();
    let account = AccountId::made_by(id(1).0);
    assert!(is_first(&draw(&fixture, new(1, 2)).await));
    let next = child(other.block, 2, &[]);
    fixture.apply(Some(0), &[other, next.clone()]).await.unwrap();
    assert_eq!(fixture.open_incidents().await, [id(1)]);
    assert_eq!(draw(&fixture, new(2, 1)).await, DrawResult::Blocked(account));
    assert!(fixture.store.account(account).await.unwrap().unwrap().blocked);
    assert_eq!(capture(&fixture, 1, 2).await, Captured::Done { amount: amount(2), settled: true });

    // It is back, in another block.
    let back = child(next.block, 2, &[1]);
    fixture.apply(None, std::slice::from_ref(&back)).await.unwrap();
    assert!(fixture.open_incidents().await.is_empty());
    assert!(is_first(&draw(&fixture, new(2, 1)).await));

    // It leaves for good, and the operator takes out what is left.
    let third = child(genesis(), 3, &[]);
    let fourth = child(third.block, 3, &[]);
    let fifth = child(fourth.block, 3, &[]);
    let sixth = child(fifth.block, 3, &[]);
    fixture.apply(Some(0), &[third, fourth, fifth, sixth]).await.unwrap();
    assert_eq!(draw(&fixture, new(3, 1)).await, DrawResult::Blocked(account));
    let settle = |amount_back| AccountChange::Return(amount(amount_back), Some(id(1)));
    let change = |change| fixture.store.change_account(account, change, "it was lost".into(), NOW);
    assert_eq!(change(settle(4)).await.unwrap(), Changed::TooLow(amount(3)));
    let Changed::Done(now) = change(settle(3)).await.unwrap() else { panic!() };
    assert_eq!((now.free(), now.blocked), (amount(0), false));
    assert_eq!(change(settle(0)).await.unwrap(), Changed::NoPayment, "once");
    assert_eq!(draw(&fixture, new(3, 1)).await, DrawResult::TooLow { account, free: amount(0) });
}
