//! Copies of a database that is in use, and the way back, which must not grant twice.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use crate::support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use salt402_protocol::{B256, RequestDigest, Settlement};
use salt402_store::{
    CalledValid, ClaimLimits, ClaimResult, Elsewhere, ExposureLimit, GasBudgets, GasCost, NewClaim,
    NewSettlement, NewUse, Options, Outcome, PlacedPayment, SettlementClaim, SettlementOutcome, Store,
    StoreError, StoredOutcome, Told, ValidCall, backup, restore,
};
use support::{CHAIN, Fixture, TestBlock, child, genesis, id, new_claim, options, transaction};

fn quiet(_: u64, _: u64) {}

fn database(fixture: &Fixture) -> PathBuf {
    options(&fixture.directory).path
}

/// Blocks 1 to `blocks`, each with the payment of its number.
async fn filled(blocks: u64) -> (Fixture, TestBlock) {
    let fixture = Fixture::new().await;
    let mut tip = child(genesis(), 1, &[1]);
    fixture.apply(None, std::slice::from_ref(&tip)).await.unwrap();
    for number in 2..=blocks {
        tip = child(tip.block, 1, &[number]);
        fixture.apply(None, std::slice::from_ref(&tip)).await.unwrap();
    }
    (fixture, tip)
}

async fn restored(from: &Path, folder: &tempfile::TempDir) -> Store {
    let place = folder.path().join("new/salt402.db");
    restore(from, &place, Duration::ZERO).await.unwrap();
    Store::open(Options::new(place)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_taken_under_load_is_one_moment_and_holds_all_that_was_acknowledged_before() {
    let (fixture, _) = filled(400).await;
    let identity = fixture.store.get_or_create_identity().await.unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let (store, done) = (fixture.store.clone(), acknowledged.clone());
    let claims = tokio::spawn(async move {
        for number in 1..=400 {
            let outcome = Outcome { status: 200, headers: vec![], body: vec![7; 3000] };
            assert!(matches!(store.claim(new_claim(number, 1)).await.unwrap(), ClaimResult::First { .. }));
            store.put_outcome(id(number), outcome).await.unwrap();
            done.store(number, Ordering::SeqCst);
        }
    });
    while acknowledged.load(Ordering::SeqCst) < 50 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let copy = fixture.directory.path().join("copy.db");
    let before = acknowledged.load(Ordering::SeqCst);
    let told = Mutex::new(Vec::new());
    let made =
        backup(&database(&fixture), &copy, |done, of| told.lock().unwrap().push((done, of))).await.unwrap();
    claims.await.unwrap();
    let file = std::fs::metadata(&copy).unwrap();
    assert_eq!((file.permissions().mode() & 0o777, file.len()), (0o600, made.bytes));
    assert_eq!(told.lock().unwrap().last(), Some(&(made.bytes, made.bytes)));
    let next_to_it: Vec<_> = std::fs::read_dir(fixture.directory.path()).unwrap().flatten().collect();
    assert!(
        next_to_it.iter().all(|file| !file.file_name().to_string_lossy().contains("partial")),
        "{next_to_it:?}"
    );

    let folder = tempfile::tempdir().unwrap();
    let store = restored(&copy, &folder).await;
    let count = store.counts().await.unwrap().claims;
    assert!((before..=400).contains(&count), "{count} claims, {before} were acknowledged before");
    assert_eq!(store.counts().await.unwrap().payments[&CHAIN], 400);
    assert_eq!(store.chain_state(CHAIN).await.unwrap(), fixture.store.chain_state(CHAIN).await.unwrap());
    for number in 1..=400 {
        let (was, is) = (
            fixture.store.payments_in(CHAIN, transaction(number)).await.unwrap(),
            store.payments_in(CHAIN, transaction(number)).await.unwrap(),
        );
        assert_eq!((is.len(), &is[0].placed), (1, &was[0].placed));
        // One moment: the claims are made in order, so they are the first of them and no other.
        assert_eq!(is[0].claim.is_some(), number <= count, "payment {number} of {count}");
        if number <= before {
            assert_eq!(is[0].claim, was[0].claim);
            assert!(matches!(store.outcome(id(number)).await.unwrap(), Some(StoredOutcome::Kept { .. })));
        }
    }
    assert_eq!(
        store.get_or_create_identity().await.unwrap(),
        identity,
        "a gateway finds its own claims again"
    );
}

#[tokio::test]
async fn nothing_is_granted_after_a_restore_that_may_have_been_granted_before() {
    let (fixture, tip) = filled(3).await;
    fixture.store.get_or_create_identity().await.unwrap();
    fixture.claim(1, 1).await;
    let copy = fixture.directory.path().join("copy.db");
    backup(&database(&fixture), &copy, quiet).await.unwrap();
    // Forgotten by the copy: this claim, and a payment with its claim.
    fixture.claim(2, 1).await;
    let later = child(tip.block, 1, &[4]);
    fixture.apply(None, std::slice::from_ref(&later)).await.unwrap();
    fixture.claim(4, 1).await;

    let folder = tempfile::tempdir().unwrap();
    let store = restored(&copy, &folder).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((now - 5..=now + 1).contains(&store.refuse_before()), "{}", store.refuse_before());
    let claim = async |payment, request| store.claim(new_claim(payment, request)).await.unwrap();
    assert!(matches!(claim(1, 1).await, ClaimResult::Again { .. }), "what is known is known");
    assert_eq!(claim(1, 2).await, ClaimResult::Taken);
    assert_eq!(claim(2, 1).await, ClaimResult::BeforeRestore);
    assert_eq!(claim(3, 1).await, ClaimResult::BeforeRestore);
    // The chain is followed on. What was mined before stays refused, what is mined now is granted on.
    let mut new = child(later.block, 1, &[5]);
    new.block.timestamp = store.refuse_before();
    let batch = support::batch(store.chain_state(CHAIN).await.unwrap().unwrap().cursor, None, &[later, new]);
    store.apply(batch).await.unwrap();
    assert_eq!(claim(4, 1).await, ClaimResult::BeforeRestore);
    assert!(matches!(claim(5, 1).await, ClaimResult::First { .. }));
    // Whoever claims nothing is told the same.
    for (payment, before) in [(2, true), (3, true), (4, true), (5, false), (6, false)] {
        assert_eq!(is_before_restore(&store, transaction(payment), payment).await, before, "{payment}");
        assert!(
            !is_before_restore(&fixture.store, transaction(payment), payment).await,
            "it was never put back"
        );
    }
    // The claim without an answer counts as answered: it may have been, after the backup was taken.
    assert_eq!(store.outcome(id(1)).await.unwrap(), Some(StoredOutcome::Evicted));
    assert_eq!(store.outcome(id(5)).await.unwrap(), None);
}

/// Used after the copy was taken, and moved by a reorganization after the restore: its new block's time says nothing.
#[tokio::test]
async fn a_payment_that_a_reorganization_moves_behind_the_restore_stays_refused() {
    let (fixture, _) = filled(2).await;
    let copy = fixture.directory.path().join("copy.db");
    backup(&database(&fixture), &copy, quiet).await.unwrap();
    fixture.claim(2, 1).await;
    let folder = tempfile::tempdir().unwrap();
    let store = restored(&copy, &folder).await;
    let kept = store.canonical_block(CHAIN, 1).await.unwrap().unwrap();
    let mut moved = child(kept, 2, &[2, 9]);
    moved.block.timestamp = store.refuse_before() + 5;
    let cursor = store.chain_state(CHAIN).await.unwrap().unwrap().cursor;
    store.apply(support::batch(cursor, Some(1), &[moved])).await.unwrap();
    let capped = ClaimLimits {
        exposure: Some(ExposureLimit { most: support::amount(100), final_at: 9 }),
        ..ClaimLimits::default()
    };
    for limits in [ClaimLimits::default(), capped] {
        let claim = NewClaim { limits, ..new_claim(2, 1) };
        assert_eq!(store.claim(claim).await.unwrap(), ClaimResult::BeforeRestore);
    }
    assert!(matches!(store.claim(new_claim(9, 1)).await.unwrap(), ClaimResult::First { .. }));
    assert!(is_before_restore(&store, transaction(2), 2).await);
    assert!(!is_before_restore(&store, transaction(9), 9).await);
    // Out of the chain again, between a look and this question.
    let cursor = store.chain_state(CHAIN).await.unwrap().unwrap().cursor;
    store.apply(support::batch(cursor, Some(1), &[child(kept, 3, &[])])).await.unwrap();
    assert!(is_before_restore(&store, transaction(2), 2).await);
    assert!(!is_before_restore(&store, transaction(9), 9).await);
}

async fn is_before_restore(store: &Store, transaction: B256, payment: u64) -> bool {
    store.is_before_restore(CHAIN, transaction, id(payment)).await.unwrap()
}

/// One signed payment in a block, taken by the transaction of a number.
fn signed(block: &TestBlock, number: u64) -> (PlacedPayment, Settlement) {
    let mut placed = support::placed(7, block.block);
    placed.payment.transaction = transaction(number);
    let movement = transaction(number + 100);
    let settlement =
        Settlement { payment: placed.payment.id, transaction: placed.payment.transaction, movement };
    (placed, settlement)
}

/// The same by a signature that another transaction used up on the chain that won.
#[tokio::test]
async fn a_signed_payment_that_comes_back_in_another_transaction_after_the_restore_stays_refused() {
    let fixture = Fixture::new().await;
    let first = child(genesis(), 1, &[]);
    let mut batch = fixture.batch(None, std::slice::from_ref(&first)).await;
    let (placed, settlement) = signed(&first, 7);
    (batch.payments, batch.extras.settlements) = (vec![placed], vec![settlement]);
    fixture.store.apply(batch).await.unwrap();
    let copy = fixture.directory.path().join("copy.db");
    backup(&database(&fixture), &copy, quiet).await.unwrap();
    fixture.claim(7, 1).await;
    let folder = tempfile::tempdir().unwrap();
    let store = restored(&copy, &folder).await;
    let mut moved = child(genesis(), 2, &[]);
    moved.block.timestamp = store.refuse_before() + 5;
    let cursor = store.chain_state(CHAIN).await.unwrap().unwrap().cursor;
    let mut batch = support::batch(cursor, Some(0), std::slice::from_ref(&moved));
    let (placed, settlement) = signed(&moved, 8);
    (batch.payments, batch.extras.settlements) = (vec![placed], vec![settlement]);
    store.apply(batch).await.unwrap();
    let claim = NewClaim { transaction: transaction(8), ..new_claim(7, 1) };
    assert_eq!(store.claim(claim).await.unwrap(), ClaimResult::BeforeRestore);
    assert!(is_before_restore(&store, transaction(8), 7).await);
}

/// A token took one nonce twice: before the restore, and again after it. Both are on the chain, and have one name.
#[tokio::test]
async fn a_signed_payment_that_is_taken_again_after_the_restore_stays_refused() {
    let fixture = Fixture::new().await;
    let first = child(genesis(), 1, &[]);
    let mut batch = fixture.batch(None, std::slice::from_ref(&first)).await;
    let (placed, settlement) = signed(&first, 7);
    (batch.payments, batch.extras.settlements) = (vec![placed], vec![settlement]);
    fixture.store.apply(batch).await.unwrap();
    let copy = fixture.directory.path().join("copy.db");
    backup(&database(&fixture), &copy, quiet).await.unwrap();
    fixture.claim(7, 1).await;
    let folder = tempfile::tempdir().unwrap();
    let store = restored(&copy, &folder).await;
    let mut second = child(first.block, 1, &[]);
    second.block.timestamp = store.refuse_before() + 5;
    let cursor = store.chain_state(CHAIN).await.unwrap().unwrap().cursor;
    let mut batch = support::batch(cursor, None, std::slice::from_ref(&second));
    let (placed, settlement) = signed(&second, 8);
    (batch.payments, batch.extras.settlements) = (vec![placed], vec![settlement]);
    store.apply(batch).await.unwrap();
    let claim = NewClaim { transaction: transaction(8), ..new_claim(7, 1) };
    assert_eq!(store.claim(claim).await.unwrap(), ClaimResult::BeforeRestore);
    assert!(is_before_restore(&store, transaction(8), 7).await);
}

/// The copy never saw the payment, and the reorganization was over when the chain was followed again.
#[tokio::test]
async fn for_as_long_as_a_reorganization_may_move_payments_after_a_restore_none_is_granted_on() {
    let (fixture, tip) = filled(1).await;
    let copy = fixture.directory.path().join("copy.db");
    backup(&database(&fixture), &copy, quiet).await.unwrap();
    let place = fixture.directory.path().join("new/salt402.db");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let said = restore(&copy, &place, Duration::from_secs(230)).await.unwrap();
    let store = Store::open(Options::new(place)).await.unwrap();
    assert_eq!(said.refuse_before, store.refuse_before());
    assert_eq!(
        store.origin(),
        fixture.store.origin(),
        "it is the same database, with the quotes that it gave"
    );
    assert!((now + 230..now + 290).contains(&said.refuse_before), "{now} and 230, not {said:?}");
    let mut last = child(tip.block, 1, &[2]);
    last.block.timestamp = said.refuse_before - 1;
    let mut next = child(last.block, 1, &[3]);
    next.block.timestamp = said.refuse_before;
    let cursor = store.chain_state(CHAIN).await.unwrap().unwrap().cursor;
    store.apply(support::batch(cursor, None, &[last, next])).await.unwrap();
    assert_eq!(store.claim(new_claim(2, 1)).await.unwrap(), ClaimResult::BeforeRestore);
    assert!(matches!(store.claim(new_claim(3, 1)).await.unwrap(), ClaimResult::First { .. }));
}

#[tokio::test]
async fn a_copy_cannot_be_opened_as_it_is_nor_after_it_was_put_in_place_by_hand() {
    let (fixture, _) = filled(2).await;
    let copy = fixture.directory.path().join("copy.db");
    backup(&database(&fixture), &copy, quiet).await.unwrap();
    let error = Store::open(Options::new(&copy)).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::IsBackup { .. }) && error.to_string().contains("salt402 restore"),
        "{error}"
    );
    let by_hand = fixture.directory.path().join("by-hand.db");
    std::fs::copy(&copy, &by_hand).unwrap();
    assert!(matches!(Store::open(Options::new(&by_hand)).await, Err(StoreError::IsBackup { .. })));
    // Nor can a copy be taken of it that would look younger than it is.
    let again = fixture.directory.path().join("again.db");
    assert!(matches!(backup(&copy, &again, quiet).await, Err(StoreError::IsBackup { .. })));
    assert!(!again.exists());
}

#[tokio::test]
async fn what_is_there_is_never_overwritten_and_what_is_no_backup_is_never_restored() {
    let (fixture, _) = filled(2).await;
    let place = fixture.directory.path().join("taken");
    std::fs::write(&place, "precious").unwrap();
    let refused = backup(&database(&fixture), &place, quiet).await.unwrap_err();
    assert!(matches!(refused, StoreError::Exists { .. }), "{refused}");
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "precious");

    let copy = fixture.directory.path().join("copy.db");
    backup(&database(&fixture), &copy, quiet).await.unwrap();
    let refused = restore(&copy, &database(&fixture), Duration::ZERO).await.unwrap_err();
    assert!(matches!(refused, StoreError::Exists { .. }), "{refused}");
    assert!(matches!(fixture.claim(1, 1).await, ClaimResult::First { .. }), "the service goes on");

    let new = fixture.directory.path().join("new.db");
    // A log that is left over would be read into whatever database gets the name.
    std::fs::write(fixture.directory.path().join("new.db-wal"), "").unwrap();
    assert!(matches!(restore(&copy, &new, Duration::ZERO).await, Err(StoreError::Exists { .. })));
    std::fs::remove_file(fixture.directory.path().join("new.db-wal")).unwrap();
    // The database itself, copied by hand.
    fixture.store.clone().close().await;
    let by_hand = fixture.directory.path().join("by-hand.db");
    std::fs::copy(database(&fixture), &by_hand).unwrap();
    assert!(matches!(restore(&by_hand, &new, Duration::ZERO).await, Err(StoreError::NoBackup { .. })));
    assert!(restore(&place, &new, Duration::ZERO).await.is_err());
    assert!(matches!(
        backup(&new, &fixture.directory.path().join("x"), quiet).await,
        Err(StoreError::File { .. })
    ));
    assert!(!new.exists());
}

#[tokio::test]
async fn a_damaged_copy_is_not_restored() {
    let (fixture, _) = filled(300).await;
    let copy = fixture.directory.path().join("copy.db");
    backup(&database(&fixture), &copy, quiet).await.unwrap();
    let whole = std::fs::read(&copy).unwrap();
    assert!(whole.len() > 40 * 4096, "{}", whole.len());
    // Every page of a copy is in use, and belongs to a tree whose shape can be looked at.
    for page in (8..whole.len() / 4096).step_by(5) {
        let mut bytes = whole.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0xaa);
        let place = fixture.directory.path().join(format!("damaged-{page}.db"));
        std::fs::write(&place, &bytes).unwrap();
        let new = fixture.directory.path().join(format!("new-{page}.db"));
        let refused = restore(&place, &new, Duration::ZERO).await;
        assert!(refused.is_err() && !new.exists(), "page {page}: {refused:?}");
    }
    // Cut short, it is refused whatever is missing.
    let place = fixture.directory.path().join("short.db");
    std::fs::write(&place, &whole[..whole.len() / 2]).unwrap();
    let new = fixture.directory.path().join("new.db");
    assert!(restore(&place, &new, Duration::ZERO).await.is_err());
    assert!(!new.exists());
}

#[tokio::test]
async fn a_halt_survives_a_restore() {
    let (fixture, _) = filled(2).await;
    fixture.store.halt(CHAIN, salt402_store::HaltKind::Fork, 9).await.unwrap();
    let copy = fixture.directory.path().join("copy.db");
    backup(&database(&fixture), &copy, quiet).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = restored(&copy, &folder).await;
    assert!(store.chain_state(CHAIN).await.unwrap().unwrap().halt.is_some());
    assert_ne!(store.chain_state(CHAIN).await.unwrap().unwrap().genesis, B256::ZERO);
}

#[tokio::test]
async fn a_further_use_of_a_payment_is_refused_where_others_may_be_forgotten_or_the_chain_is_halted() {
    let (fixture, _) = filled(2).await;
    let using = |payment, request: u8| {
        let usage = NewUse { request: RequestDigest(B256::repeat_byte(request)), most: 3, again_only: false };
        salt402_store::NewClaim { usage: Some(usage), ..new_claim(payment, 1) }
    };
    assert!(matches!(fixture.store.claim(using(1, 1)).await.unwrap(), ClaimResult::First { .. }));
    let copy = fixture.directory.path().join("copy.db");
    backup(&database(&fixture), &copy, quiet).await.unwrap();
    assert!(matches!(fixture.store.claim(using(1, 2)).await.unwrap(), ClaimResult::First { .. }));

    let folder = tempfile::tempdir().unwrap();
    let store = restored(&copy, &folder).await;
    assert!(matches!(store.claim(using(1, 1)).await.unwrap(), ClaimResult::Again { .. }));
    assert_eq!(store.claim(using(1, 2)).await.unwrap(), ClaimResult::BeforeRestore, "this use is forgotten");
    assert_eq!(store.claim(using(1, 3)).await.unwrap(), ClaimResult::BeforeRestore);

    fixture.store.halt(CHAIN, salt402_store::HaltKind::Fork, 9).await.unwrap();
    assert!(matches!(fixture.store.claim(using(1, 2)).await.unwrap(), ClaimResult::Again { .. }));
    assert_eq!(fixture.store.claim(using(1, 3)).await.unwrap(), ClaimResult::Halted);
}

/// Claimed before the copy was taken, and settled and told after it. The restored database does not know that.
#[tokio::test]
async fn what_may_have_been_told_since_the_backup_is_told_to_nobody() {
    let (fixture, _) = filled(2).await;
    let claimed = |payment: u64| NewSettlement {
        chain: CHAIN,
        payment: id(payment),
        token: Default::default(),
        payer: support::payer(payment),
        payee: Default::default(),
        amount: support::amount(payment),
        charge: support::amount(payment),
        method: "eip3009".to_owned(),
        payload: Vec::new(),
        sender: None,
        caller: None,
        since_block: 0,
        gas: 1,
    };
    let claim = async |store: &Store, payment| match store
        .claim_settlement(claimed(payment), GasBudgets::default(), None)
        .await
        .unwrap()
    {
        SettlementClaim::New(row) => row.number,
        other => panic!("{other:?}"),
    };
    let settle = async |store: &Store, number, block: TestBlock| {
        let (block_number, block_hash) = (block.block.number, block.block.hash);
        let elsewhere = Some(Elsewhere { transaction: transaction(number), block_number, block_hash });
        let settled = SettlementOutcome::Settled { elsewhere, cost: GasCost::default() };
        assert!(store.conclude_settlement(CHAIN, number, settled).await.unwrap());
    };
    let tell =
        async |store: &Store, payment, key| store.tell_settlement(CHAIN, id(payment), key).await.unwrap();
    let first = child(genesis(), 1, &[1]);
    let numbers = [claim(&fixture.store, 1).await, claim(&fixture.store, 2).await];
    settle(&fixture.store, numbers[0], child(genesis(), 1, &[1])).await;
    let key = Some(B256::repeat_byte(7));
    assert_eq!(tell(&fixture.store, 1, key).await, Told::Now);
    let valid = CalledValid { chain: CHAIN, payment: id(9), signed: B256::ZERO, caller: None };
    assert!(
        fixture.store.call_valid(vec![ValidCall { valid, is_exclusive: false }]).await.unwrap() == [true]
    );
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    backup(&database(&fixture), &copy, quiet).await.unwrap();
    let store = restored(&copy, &folder).await;
    settle(&store, numbers[1], child(first.block, 1, &[2])).await;
    assert_eq!(tell(&store, 2, key).await, Told::Before);
    assert_eq!(tell(&store, 1, key).await, Told::Now, "its retry, which the copy knows");
    assert_eq!(store.called_valid(CHAIN, id(9)).await.unwrap(), None);
    // What is claimed after the restore is told.
    let number = claim(&store, 3).await;
    settle(&store, number, child(first.block, 1, &[2])).await;
    assert_eq!(tell(&store, 3, None).await, Told::Now);
}
