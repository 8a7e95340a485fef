//! Disks, power and other processes that fail: F19, F20, F21.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by it")]

use crate::support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use salt402_store::{ClaimResult, Options, Outcome, Store, StoreError};
use support::{CHAIN, Fixture, TestBlock, child, genesis, id, new_claim, options, transaction};

/// Options under which nothing is moved from the log into the database.
fn without_checkpoints(path: &Path) -> Options {
    Options { checkpoint_every: Duration::from_secs(3600), ..Options::new(path) }
}

fn raw(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

/// A block with a payment and a claim upon it, one commit each.
async fn step(store: &Store, parent: TestBlock, number: u64) -> TestBlock {
    let next = child(parent.block, 1, &[number]);
    let cursor = store.chain_state(CHAIN).await.unwrap().unwrap().cursor;
    store.apply(support::batch(cursor, None, std::slice::from_ref(&next))).await.unwrap();
    assert!(matches!(store.claim(new_claim(number, 1)).await.unwrap(), ClaimResult::First { .. }));
    next
}

#[tokio::test]
async fn f19_after_a_power_loss_everything_acknowledged_is_there_and_nothing_is_half_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("salt402.db");
    let log = directory.path().join("salt402.db-wal");
    let store = Store::open(without_checkpoints(&path)).await.unwrap();
    store.pin_chain(CHAIN, genesis().hash).await.unwrap();
    let mut tip = TestBlock { block: genesis(), payments: vec![] };
    // How long the log was when a claim was acknowledged.
    let mut acknowledged = Vec::new();
    for number in 1..=40 {
        tip = step(&store, tip, number).await;
        acknowledged.push(std::fs::metadata(&log).unwrap().len());
    }
    let (database, whole) = (std::fs::read(&path).unwrap(), std::fs::read(&log).unwrap());
    // What the power left of the log: any length, and after it what was never synced, which may be anything.
    for length in (acknowledged[0]..=whole.len() as u64).step_by(4111) {
        for torn in [false, true] {
            let after = tempfile::tempdir().unwrap();
            let copy = after.path().join("salt402.db");
            let mut left = whole[..length as usize].to_vec();
            if torn {
                left.extend(std::iter::repeat_n(0xaa, 2000));
            }
            std::fs::write(&copy, &database).unwrap();
            std::fs::write(after.path().join("salt402.db-wal"), left).unwrap();
            let store = Store::open(Options::new(&copy)).await.unwrap();
            let expected = acknowledged.iter().filter(|at| **at <= length).count() as u64;
            let counts = store.counts().await.unwrap();
            assert_eq!(counts.claims, expected, "{length} bytes of the log are left");
            let cursor = store.chain_state(CHAIN).await.unwrap().unwrap().cursor.unwrap().number;
            // The block of the claim that was not acknowledged yet may be there, whole.
            assert!(cursor == expected || cursor == expected + 1, "{cursor} blocks, {expected} claims");
            assert_eq!(counts.payments[&CHAIN], cursor);
            for number in 1..=cursor {
                let rows = store.payments_in(CHAIN, transaction(number)).await.unwrap();
                assert_eq!((rows.len(), rows[0].claim.is_some()), (1, number <= expected));
            }
            store.close().await;
            let sound: String = raw(&copy).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(sound, "ok");
        }
    }
}

#[tokio::test]
async fn f20_a_reader_that_is_stuck_lets_the_log_grow_and_it_is_cut_when_the_reader_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&directory);
    (options.checkpoint_every, options.idle_wal_length) = (Duration::from_millis(20), 1 << 20);
    let (path, log) = (options.path.clone(), directory.path().join("salt402.db-wal"));
    let store = Store::open(options).await.unwrap();
    let stuck = raw(&path);
    stuck.execute_batch("BEGIN").unwrap();
    let _: i64 = stuck.query_row("SELECT COUNT(*) FROM outcomes", [], |row| row.get(0)).unwrap();
    for number in 0..40 {
        let outcome = Outcome { status: 200, headers: vec![], body: vec![1; 200_000] };
        store.put_outcome(id(number), outcome).await.unwrap();
    }
    let length = || std::fs::metadata(&log).unwrap().len();
    assert!(length() > 7 << 20, "nothing can be begun anew while somebody reads: {}", length());
    assert!(store.outcome(id(39)).await.unwrap().is_some());
    stuck.execute_batch("COMMIT").unwrap();
    let give_up = std::time::Instant::now() + Duration::from_secs(20);
    while length() > 1 << 20 {
        assert!(std::time::Instant::now() < give_up, "the log was not cut: {}", length());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f21_while_another_process_writes_nothing_is_skipped() {
    let fixture = Fixture::new().await;
    let mut tip = child(genesis(), 1, &[1]);
    fixture.apply(None, std::slice::from_ref(&tip)).await.unwrap();
    let path = options(&fixture.directory).path;
    let locker = tokio::spawn(async move {
        let other = raw(&path);
        for _ in 0..20 {
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            tokio::time::sleep(Duration::from_millis(30)).await;
            other.execute_batch("COMMIT").unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut number = 1;
    while !locker.is_finished() {
        number += 1;
        tip = child(tip.block, 1, &[number]);
        fixture.apply(None, std::slice::from_ref(&tip)).await.unwrap();
        assert!(matches!(fixture.claim(number, 1).await, ClaimResult::First { .. }));
    }
    locker.await.unwrap();
    assert!(number > 3);
    let counts = fixture.store.counts().await.unwrap();
    assert_eq!((counts.payments[&CHAIN], counts.claims), (number, number - 1));
}

/// A small file system of its own, where mounting is permitted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "salt402-test"])
            .arg(folder.path())
            .output();
        let mounted = done.is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!(
                "skipped: mounting a file system is not permitted here; tests/e2e/faults.rs fills a disk without"
            );
        }
        mounted.then_some(Self(folder))
    }

    fn remount(&self, how: &str) -> bool {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.0.path()).status();
        done.is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn f20_on_a_full_disk_claims_are_refused_reads_go_on_and_freed_space_is_used_at_once() {
    let Some(disk) = SmallDisk::mount("4m") else { return };
    let store = Store::open(without_checkpoints(&disk.0.path().join("salt402.db"))).await.unwrap();
    store.pin_chain(CHAIN, genesis().hash).await.unwrap();
    let mut tip = TestBlock { block: genesis(), payments: vec![] };
    for number in 1..=10 {
        tip = step(&store, tip, number).await;
    }
    // Unclaimed, for claims that find no room.
    let last = child(tip.block, 1, &[11, 12]);
    let cursor = store.chain_state(CHAIN).await.unwrap().unwrap().cursor;
    store.apply(support::batch(cursor, None, &[last])).await.unwrap();
    let ballast = disk.0.path().join("ballast");
    let mut number = 1000;
    std::fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let refused = loop {
        let outcome = Outcome { status: 200, headers: vec![], body: vec![1; 100_000] };
        match store.put_outcome(id(number), outcome).await {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::DiskFull) && refused.is_transient(), "{refused}");
    // The rest of the room, so that not even a claim fits.
    let _ = std::fs::write(disk.0.path().join("rest"), vec![0; 4 << 20]);
    while store.note_head(CHAIN, number).await.is_ok() {
        number += 1;
    }
    let full = store.claim(new_claim(11, 1)).await.unwrap_err();
    assert!(matches!(full, StoreError::DiskFull), "{full}");
    // Whoever shows what was granted before writes nothing, and makes nobody believe that something can be.
    assert!(matches!(store.claim(new_claim(1, 1)).await.unwrap(), ClaimResult::Again { .. }));
    assert!(matches!(store.writable(), Err(StoreError::DiskFull)));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.claims, counts.payments[&CHAIN]), (10, 12), "reads go on");
    assert!(store.outcome(id(1000)).await.unwrap().is_some());

    std::fs::remove_file(disk.0.path().join("rest")).unwrap();
    std::fs::remove_file(&ballast).unwrap();
    for number in [11, 12] {
        assert!(matches!(store.claim(new_claim(number, 1)).await.unwrap(), ClaimResult::First { .. }));
    }
    for number in 1..=10 {
        assert!(matches!(store.claim(new_claim(number, 1)).await.unwrap(), ClaimResult::Again { .. }));
    }
}

#[tokio::test]
async fn f20_on_a_disk_that_became_read_only_reads_go_on_and_writes_do_when_it_is_mended() {
    let Some(disk) = SmallDisk::mount("16m") else { return };
    let path = disk.0.path().join("salt402.db");
    let store = Store::open(without_checkpoints(&path)).await.unwrap();
    store.pin_chain(CHAIN, genesis().hash).await.unwrap();
    let tip = step(&store, TestBlock { block: genesis(), payments: vec![] }, 1).await;
    // A file system does not become read-only while somebody writes to it, unless its disk fails: so it is closed.
    store.close().await;
    assert!(disk.remount("ro"), "a file system that nobody writes to becomes read-only");
    let error = Store::open(Options::new(&path)).await.unwrap_err();
    assert!(error.to_string().contains("read-only") || error.to_string().contains("Read-only"), "{error}");
    assert!(disk.remount("rw"));
    let store = Store::open(Options::new(&path)).await.unwrap();
    step(&store, tip, 2).await;
    assert_eq!(store.counts().await.unwrap().claims, 2);
}

/// The file of the database that ends so.
fn file(fixture: &Fixture, ending: &str) -> PathBuf {
    fixture.directory.path().join(format!("salt402.db{ending}"))
}

#[tokio::test]
async fn c11_nothing_is_granted_while_a_file_of_the_open_database_is_not_at_its_place() {
    let fixture = Fixture::new().await;
    let one = child(genesis(), 1, &[1, 2]);
    fixture.apply(None, std::slice::from_ref(&one)).await.unwrap();
    let away = fixture.directory.path().join("away");
    for ending in ["", "-wal", "-shm"] {
        let place = file(&fixture, ending);
        std::fs::rename(&place, &away).unwrap();
        // Gone, and then another in its place.
        for replaced in [false, true] {
            if replaced {
                std::fs::copy(&away, &place).unwrap();
            }
            let refused = [
                fixture.store.claim(new_claim(1, 1)).await.err(),
                fixture.apply(None, &[child(one.block, 1, &[3])]).await.err(),
                fixture.store.try_writing(Duration::ZERO).await.err(),
                fixture.store.get_or_create_identity().await.err(),
                fixture.store.writable().err(),
            ];
            for error in refused {
                assert!(
                    matches!(&error, Some(StoreError::Moved { path }) if *path == place),
                    "{ending}: {error:?}"
                );
            }
        }
        std::fs::rename(&away, &place).unwrap();
        assert_eq!(fixture.store.counts().await.unwrap().claims, 0, "and nothing was written");
        fixture.store.writable().unwrap();
    }
    let claimed = fixture.store.claim(new_claim(1, 1)).await.unwrap();
    assert!(matches!(claimed, ClaimResult::First { .. }), "{claimed:?}");
}

#[tokio::test]
async fn c11_a_folder_that_was_moved_and_linked_at_its_old_place_holds_the_same_database() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let store = Store::open(Options::new(old.join("salt402.db"))).await.unwrap();
    std::fs::rename(&old, &new).unwrap();
    assert!(matches!(store.get_or_create_identity().await, Err(StoreError::Moved { .. })));
    std::os::unix::fs::symlink(&new, &old).unwrap();
    let identity = store.get_or_create_identity().await.unwrap();
    store.close().await;
    let store = Store::open(Options::new(new.join("salt402.db"))).await.unwrap();
    assert_eq!(store.get_or_create_identity().await.unwrap(), identity);
}

#[tokio::test]
async fn a_database_that_is_a_link_is_opened_and_its_log_stands_where_the_link_leads() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real.db"), folder.path().join("salt402.db"));
    Store::open(Options::new(&real)).await.unwrap().close().await;
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let store = Store::open(Options::new(&link)).await.unwrap();
    store.get_or_create_identity().await.unwrap();
    std::fs::rename(folder.path().join("real.db-wal"), folder.path().join("away")).unwrap();
    assert!(matches!(store.writable(), Err(StoreError::Moved { .. })));
}
