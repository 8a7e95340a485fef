//! Opening, sharing and closing a database.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use crate::support;

use std::time::Duration;

use rusqlite::Connection;
use salt402_store::{Options, Placed, QuoteLife, Store, StoreError, UndecodedLog, UnreadableTransaction};
use support::{CHAIN, Fixture, child, genesis, new_claim, open, options};

#[tokio::test]
async fn a_database_is_created_with_its_directory_and_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/salt402.db");
    let store = Store::open(Options::new(&path)).await.unwrap();
    assert_eq!(store.chain_state(CHAIN).await.unwrap(), None);
    store.pin_chain(CHAIN, genesis().hash).await.unwrap();
    let identity = store.get_or_create_identity().await.unwrap();
    assert!(identity.len() == 32 && identity.bytes().all(|digit| digit.is_ascii_hexdigit()), "{identity}");
    store.close().await;

    let store = Store::open(Options::new(&path)).await.unwrap();
    let state = store.chain_state(CHAIN).await.unwrap().unwrap();
    assert_eq!((state.genesis, state.cursor, state.head), (genesis().hash, None, None));
    assert_eq!(store.get_or_create_identity().await.unwrap(), identity);
}

#[tokio::test]
async fn a_store_that_is_dropped_without_closing_keeps_what_it_answered() {
    let mut fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    fixture.claim(1, 1).await;
    fixture.store = open(&fixture.directory).await;
    assert_eq!(fixture.rows(1).await, [(true, one.block.hash, 1)]);
    assert_eq!(fixture.store.counts().await.unwrap().claims, 1);
}

#[tokio::test]
async fn closing_writes_what_is_queued_and_refuses_the_rest() {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1])]).await.unwrap();
    let store = fixture.store.clone();
    let (claimed, ()) = tokio::join!(fixture.store.claim(new_claim(1, 1)), store.close());
    assert!(claimed.is_ok(), "{claimed:?}");
    assert!(matches!(fixture.store.claim(new_claim(1, 1)).await, Err(StoreError::Closed)));
    assert!(matches!(fixture.store.counts().await, Err(StoreError::Closed)));
    assert!(matches!(fixture.store.outside_change().await, Err(StoreError::Closed)));
    let wal = fixture.directory.path().join("salt402.db-wal");
    assert_eq!(std::fs::metadata(wal).map_or(0, |file| file.len()), 0, "the log is in the database");
    fixture.store.clone().close().await;
}

#[tokio::test]
async fn f21_one_indexer_at_a_time() {
    let fixture = Fixture::new().await;
    let other = open(&fixture.directory).await;
    let lock = fixture.store.lock_indexing().unwrap();
    let refused = other.lock_indexing().unwrap_err();
    assert!(
        matches!(&refused, StoreError::HeldElsewhere { role: "indexer", lock } if lock.ends_with("salt402.db.indexer.lock"))
    );
    drop(lock);
    let _lock = other.lock_indexing().unwrap();
}

#[tokio::test]
async fn a_commit_of_another_store_is_noticed() {
    let fixture = Fixture::new().await;
    let other = open(&fixture.directory).await;
    let first = other.outside_change().await.unwrap();
    assert_eq!(other.outside_change().await.unwrap(), first);
    fixture.store.note_head(CHAIN, 7).await.unwrap();
    let second = other.outside_change().await.unwrap();
    assert_ne!(second, first);
    assert_eq!(other.chain_state(CHAIN).await.unwrap().unwrap().head, Some(7));

    // The same head again is a sign of life, and seen as one.
    let before = other.chain_state(CHAIN).await.unwrap().unwrap().noted_at_ms;
    tokio::time::sleep(Duration::from_millis(3)).await;
    fixture.store.note_head(CHAIN, 7).await.unwrap();
    assert_ne!(other.outside_change().await.unwrap(), second);
    assert!(other.chain_state(CHAIN).await.unwrap().unwrap().noted_at_ms > before);
}

#[tokio::test]
async fn progress_tells_of_batches_and_of_nothing_else() {
    let fixture = Fixture::new().await;
    let mut progress = fixture.store.progress();
    progress.mark_unchanged();
    let one = child(genesis(), 1, &[1]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    assert!(progress.has_changed().unwrap());
    progress.mark_unchanged();
    fixture.claim(1, 1).await;
    fixture.store.note_head(CHAIN, 9).await.unwrap();
    assert!(fixture.apply(None, &[child(one.block, 1, &[1])]).await.is_err());
    assert!(!progress.has_changed().unwrap());
    fixture.store.clone().close().await;
    assert!(progress.changed().await.is_err(), "it ends with the store");
}

#[tokio::test]
async fn f21_a_write_lock_of_another_process_is_waited_for_but_not_for_ever() {
    let fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1])]).await.unwrap();
    let mut options = options(&fixture.directory);
    options.busy_timeout = Duration::from_millis(100);
    let impatient = Store::open(options).await.unwrap();

    let process = raw(&fixture);
    process.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = impatient.claim(new_claim(1, 1)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Busy) && refused.is_transient(), "{refused}");
    assert!(impatient.counts().await.is_ok(), "readers go on");

    let patient = fixture.store.clone();
    let claim = tokio::spawn(async move { patient.claim(new_claim(1, 1)).await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(!claim.is_finished());
    process.execute_batch("COMMIT").unwrap();
    claim.await.unwrap().unwrap();
    assert!(impatient.claim(new_claim(1, 1)).await.is_ok(), "and writes again afterwards");
}

#[tokio::test]
async fn f20_the_log_does_not_grow_without_end_under_steady_writing() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&directory);
    options.checkpoint_every = Duration::from_millis(10);
    options.wal_limit = 256 << 10;
    let store = Store::open(options).await.unwrap();
    let mut longest = 0;
    for number in 0..300 {
        let outcome = salt402_store::Outcome { status: 200, headers: vec![], body: vec![1; 200_000] };
        store.put_outcome(support::id(number), outcome).await.unwrap();
        longest = longest.max(std::fs::metadata(directory.path().join("salt402.db-wal")).unwrap().len());
    }
    // Sixty megabytes and more were written.
    assert!(longest < 24 << 20, "the log grew to {longest} bytes");
}

#[tokio::test]
async fn a_commit_never_carries_a_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&directory);
    options.checkpoint_every = Duration::from_secs(3600);
    let store = Store::open(options).await.unwrap();
    let before = std::fs::metadata(directory.path().join("salt402.db")).unwrap().len();
    for number in 0..400 {
        let outcome = salt402_store::Outcome { status: 200, headers: vec![], body: vec![1; 20_000] };
        store.put_outcome(support::id(number), outcome).await.unwrap();
    }
    assert_eq!(std::fs::metadata(directory.path().join("salt402.db")).unwrap().len(), before);
    store.close().await;
    assert!(std::fs::metadata(directory.path().join("salt402.db")).unwrap().len() > 400 * 20_000);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let fixture = Fixture::new().await;
    let database = raw(&fixture);
    database
        .execute_batch(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'from the future', TRUE, x'00', 0)",
        )
        .unwrap();
    let error = Store::open(options(&fixture.directory)).await.unwrap_err();
    assert!(matches!(error, StoreError::NewerDatabase { found: 99, .. }), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_database_of_a_development_build_is_refused() {
    let fixture = Fixture::new().await;
    raw(&fixture).execute_batch("UPDATE _sqlx_migrations SET checksum = x'00'").unwrap();
    let error = Store::open(options(&fixture.directory)).await.unwrap_err();
    assert!(matches!(error, StoreError::ChangedSchema { version: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let text = "this is a text and no database, however long it is. ".repeat(40);
    let path = options(&directory).path;
    std::fs::write(&path, &text).unwrap();
    let error = Store::open(options(&directory)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotADatabase { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = options(&directory).path;
    let theirs = Connection::open(&path).unwrap();
    theirs.execute_batch("CREATE TABLE payments (theirs)").unwrap();
    theirs.close().unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(options(&directory)).await.unwrap_err();
    assert!(matches!(error, StoreError::ForeignDatabase { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn an_empty_file_becomes_a_database() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(options(&directory).path, "").unwrap();
    open(&directory).await.pin_chain(CHAIN, genesis().hash).await.unwrap();
}

#[tokio::test]
async fn a_place_that_cannot_hold_a_database_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "").unwrap();
    let beneath = directory.path().join("file/salt402.db");
    let error = Store::open(Options::new(&beneath)).await.unwrap_err();
    assert!(matches!(error, StoreError::File { .. }), "{error}");

    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let error = Store::open(Options::new(&folder)).await.unwrap_err();
    assert!(matches!(&error, StoreError::CannotOpen { path, .. } if *path == folder), "{error}");

    #[cfg(target_os = "linux")]
    {
        // Nobody can create a file here, not even root.
        let error = Store::open(Options::new("/proc/salt402.db")).await.unwrap_err();
        assert!(matches!(&error, StoreError::File { .. }) && error.to_string().contains("/proc/"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_open_one_new_database() {
    let directory = tempfile::tempdir().unwrap();
    let starts: Vec<_> = (0..8).map(|_| tokio::spawn(Store::open(options(&directory)))).collect();
    for start in starts {
        start.await.unwrap().unwrap().pin_chain(CHAIN, genesis().hash).await.unwrap();
    }
}

fn raw(fixture: &Fixture) -> Connection {
    let path = options(&fixture.directory).path;
    Connection::open(&path).unwrap()
}

#[tokio::test]
async fn a_database_of_the_first_schema_learns_whose_payments_were_lost() {
    let mut fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1, 2])]).await.unwrap();
    fixture.claim(1, 1).await;
    fixture.apply(Some(0), &[child(genesis(), 2, &[])]).await.unwrap();
    fixture.store.clone().close().await;
    let first = raw(&fixture);
    for undo in support::FORMER_NAMES.into_iter().chain([
        "DROP INDEX incidents_open_by_payer",
        "DROP INDEX incidents_settled",
        "ALTER TABLE incidents DROP COLUMN payer",
        "ALTER TABLE incidents DROP COLUMN settled",
        "ALTER TABLE claims DROP COLUMN uses",
        "DROP TABLE uses",
        "DROP TABLE exposures",
        "DELETE FROM _sqlx_migrations WHERE version = 2",
    ]) {
        first.execute_batch(undo).unwrap();
    }
    drop(first);
    fixture.reopen().await;
    let incidents = fixture.store.incidents(true, 10).await.unwrap();
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].payer, Some(support::payer(1)));
    assert!(matches!(fixture.claim(1, 1).await, salt402_store::ClaimResult::NotCanonical));
}

/// A step that only gives names: what is stored under the former ones is there under the new.
#[tokio::test]
async fn a_database_with_the_former_names_keeps_what_it_holds() {
    let mut fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1]);
    let mut batch = fixture.batch(None, std::slice::from_ref(&one)).await;
    let placed = |what| Placed {
        what,
        block_number: one.block.number,
        block_hash: one.block.hash,
        block_timestamp: one.block.timestamp,
    };
    batch.extras.unreadable = vec![placed(UnreadableTransaction {
        transaction: support::transaction(2),
        position: Some(7),
        bytes: 40,
        bound: Some(30),
        reason: "it is too long".into(),
    })];
    batch.undecoded = vec![UndecodedLog {
        contract: support::CHANNELS,
        transaction: support::transaction(3),
        block_hash: one.block.hash,
        block_number: one.block.number,
        position: 5,
        topics: vec![],
        data: vec![1],
    }];
    fixture.store.apply(batch).await.unwrap();
    fixture.claim(1, 1).await;
    fixture.store.note_exposures(CHAIN, 9).await.unwrap();
    fixture.apply(Some(0), &[child(genesis(), 2, &[])]).await.unwrap();
    fixture.apply(Some(0), std::slice::from_ref(&one)).await.unwrap();
    fixture.store.note_lower_fork(CHAIN, Some(0)).await.unwrap();
    let before = (
        fixture.store.chain_state(CHAIN).await.unwrap(),
        fixture.store.undecoded_logs(CHAIN, 9).await.unwrap(),
        fixture.store.unreadable(CHAIN, support::transaction(2)).await.unwrap(),
        fixture.store.exposures(CHAIN, 9).await.unwrap(),
    );
    assert_eq!(before.0.as_ref().unwrap().lower_fork_at, Some(0));
    assert_eq!((before.1.len(), before.2.is_some(), before.3.len()), (1, true, 1));
    fixture.store.clone().close().await;
    let former = raw(&fixture);
    for sql in support::FORMER_NAMES {
        former.execute_batch(sql).unwrap();
    }
    former.close().unwrap();
    fixture.reopen().await;
    let after = (
        fixture.store.chain_state(CHAIN).await.unwrap(),
        fixture.store.undecoded_logs(CHAIN, 9).await.unwrap(),
        fixture.store.unreadable(CHAIN, support::transaction(2)).await.unwrap(),
        fixture.store.exposures(CHAIN, 9).await.unwrap(),
    );
    assert_eq!(after, before);
    // The index over grants whose payment is nowhere is there, and so are the triggers that count what moves.
    fixture.apply(Some(0), &[child(genesis(), 2, &[])]).await.unwrap();
    assert_eq!(fixture.store.exposures(CHAIN, 9).await.unwrap(), []);
    fixture.apply(Some(0), &[one]).await.unwrap();
    assert_eq!(fixture.store.exposures(CHAIN, 9).await.unwrap(), before.3);
    assert_eq!(fixture.claim(1, 2).await, salt402_store::ClaimResult::Taken);
}

/// What an older version placed in the block that the index stood at is marked, so that it moves where it is mined again.
#[tokio::test]
async fn a_database_from_before_merged_transactions_were_marked_learns_which_they_are() {
    let mut fixture = Fixture::new().await;
    fixture.apply(None, &[child(genesis(), 1, &[1])]).await.unwrap();
    fixture.claim(1, 1).await;
    fixture.store.clone().close().await;
    let old = raw(&fixture);
    for undo in [
        "UPDATE payments SET block_timestamp = block_timestamp - 1",
        "DROP TABLE merged_transactions",
        "DELETE FROM _sqlx_migrations WHERE version = 13",
    ] {
        old.execute_batch(undo).unwrap();
    }
    drop(old);
    fixture.reopen().await;
    let parent = fixture.store.canonical_block(CHAIN, 1).await.unwrap().unwrap();
    let again = child(parent, 1, &[1]);
    let hash = again.block.hash;
    fixture.apply(None, &[again]).await.unwrap();
    let rows = fixture.store.payments_in(CHAIN, support::transaction(1)).await.unwrap();
    let on_chain: Vec<_> = rows.iter().filter(|row| row.canonical).collect();
    assert_eq!(on_chain.len(), 1);
    assert_eq!(on_chain[0].placed.block_hash, hash);
    assert!(on_chain[0].claim.is_some());
    assert!(fixture.store.incidents(true, 10).await.unwrap().is_empty());
}

/// As a version did that knew no marks.
async fn without_mark(fixture: &Fixture) {
    let connection = raw(fixture);
    for sql in [
        "DELETE FROM meta WHERE name IN ('mark', 'made_at', 'unmarked_until')",
        "DROP TABLE leases",
        "DELETE FROM _sqlx_migrations WHERE description = 'making'",
    ] {
        connection.execute_batch(sql).unwrap();
    }
}

#[tokio::test]
async fn c11_every_database_has_a_mark_of_its_own_and_knows_since_when_it_is() {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let before = now();
    let (mut one, other) = (Fixture::new().await, Fixture::new().await);
    let made = one.store.origin();
    assert_ne!(made.mark, other.store.origin().mark);
    assert!((before..=now()).contains(&made.made_at) && made.unmarked_until == 0, "{made:?}");
    // Who shares it sees the same, and so does the next process.
    assert_eq!(open(&one.directory).await.origin(), made);
    one.reopen().await;
    assert_eq!(one.store.origin(), made);

    // One that was there before, and followed a chain, may have given quotes that name nothing.
    without_mark(&one).await;
    one.reopen().await;
    let updated = one.store.origin();
    assert!(updated.made_at == 0 && updated.unmarked_until >= before + 86_400, "{updated:?}");
}

#[tokio::test]
async fn c11_a_database_of_before_that_followed_no_chain_gave_no_quote_and_counts_as_made_now() {
    let mut fixture = Fixture::new().await;
    let connection = raw(&fixture);
    connection.execute_batch("DELETE FROM chains").unwrap();
    without_mark(&fixture).await;
    fixture.reopen().await;
    let made = fixture.store.origin();
    assert!(made.made_at > 0 && made.unmarked_until == 0, "{made:?}");
}

#[tokio::test]
async fn how_long_quotes_lived_before_is_known_with_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(folder.path().join("lives.db"))).await.unwrap();
    let life = |lifetime, until| QuoteLife { lifetime, until };
    assert_eq!(store.note_quote_life(300, 1000).await.unwrap(), []);
    assert_eq!(store.note_quote_life(300, 2000).await.unwrap(), []);
    assert_eq!(store.note_quote_life(60, 3000).await.unwrap(), [life(300, 3000)]);
    // The end of what is over does not move.
    assert_eq!(store.note_quote_life(60, 4000).await.unwrap(), [life(300, 3000)]);
    assert_eq!(store.note_quote_life(300, 5000).await.unwrap(), [life(60, 5000)]);
    for (lifetime, now) in [(61, 6000), (62, 7000), (63, 8000)] {
        store.note_quote_life(lifetime, now).await.unwrap();
    }
    let last = store.note_quote_life(64, 9000).await.unwrap();
    assert_eq!(last, [life(63, 9000), life(62, 8000), life(61, 7000)]);
}
