//! The plan of every statement: none reads a table that grows from its beginning to its end, and none sorts one.
//!
//! SQLite is never given statistics here, and without them it guesses: a condition that an index does not answer makes it
//! read the whole table, which no test with ten rows notices. So every statement of the crate is taken from the source, and
//! its plan is asked for. Those that may be slow are named in [`exempt`], each with its reason.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by it")]

mod exempt;
mod judge;
mod source;

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use salt402_store::{Options, Store};

use crate::exempt::{EXEMPT, FILLS, PARTS};

async fn schema() -> (tempfile::TempDir, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plans.db");
    Store::open(Options::new(&path)).await.unwrap().close().await;
    let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    (directory, connection)
}

fn sources() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[tokio::test]
async fn no_statement_reads_or_sorts_a_table_that_grows() {
    let (_directory, connection) = schema().await;
    let mut wrong = Vec::new();
    let (mut exempt, mut parts) = (vec![false; EXEMPT.len()], vec![false; PARTS.len()]);
    let statements = source::statements(&sources(), FILLS);
    assert!(statements.len() > 150, "only {} statements were found", statements.len());
    for source::Statement { place, sql } in &statements {
        let faults = match judge::faults(&connection, sql) {
            Ok(faults) => faults,
            Err(error) => {
                match PARTS.iter().position(|(known, _)| known == place) {
                    Some(known) => parts[known] = true,
                    None => wrong.push(format!("{place}: {error}\n{sql}")),
                }
                continue;
            }
        };
        for step in faults {
            match EXEMPT.iter().position(|(known, allowed, _)| known == place && step.starts_with(allowed)) {
                Some(known) => exempt[known] = true,
                None => wrong.push(format!("{place}: {step}\n{sql}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} plans:\n\n{}", wrong.len(), wrong.join("\n\n"));
    let stale = EXEMPT.iter().zip(exempt).filter(|(_, used)| !used).map(|(entry, _)| format!("{entry:?}"));
    let stale_parts =
        PARTS.iter().zip(parts).filter(|(_, used)| !used).map(|(entry, _)| format!("{entry:?}"));
    let stale: Vec<String> = stale.chain(stale_parts).collect();
    assert!(stale.is_empty(), "no statement needs these any more: {stale:?}");
}

/// Whether SQLite prepares a statement anew where other values are bound to it, which costs more than running it.
fn is_prepared_anew(connection: &Connection, sql: &str) -> rusqlite::Result<bool> {
    connection.execute_batch("BEGIN")?;
    let mut statement = connection.prepare(sql)?;
    for value in 1..4 {
        for parameter in 1..=statement.parameter_count() {
            statement.raw_bind_parameter(parameter, value)?;
        }
        // What is bound fits few columns. Whether it is prepared anew is decided before.
        let _ = statement.raw_query().next();
    }
    let anew = statement.get_status(rusqlite::StatementStatus::RePrepare) > 0;
    drop(statement);
    connection.execute_batch("ROLLBACK")?;
    Ok(anew)
}

#[tokio::test]
async fn a_statement_keeps_the_plan_that_it_was_prepared_with() {
    let (_directory, connection) = schema().await;
    let mut looked = 0;
    for source::Statement { place, sql } in source::statements(&sources(), FILLS) {
        if connection.prepare(&sql).is_err() {
            continue;
        }
        looked += 1;
        assert!(
            !is_prepared_anew(&connection, &sql).unwrap(),
            "{place}: SQLite looks at what is bound\n{sql}"
        );
    }
    assert!(looked > 150, "only {looked} statements were run");
    // The test finds what it looks for where the build does not forbid it.
    let forbidden = rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG;
    assert!(connection.db_config(forbidden).unwrap(), "build in the repository's folder: .cargo/config.toml");
    connection.set_db_config(forbidden, false).unwrap();
    for sql in ["SELECT * FROM claims LIMIT ?1", "SELECT id FROM incidents WHERE kind = ?1"] {
        assert!(is_prepared_anew(&connection, sql).unwrap(), "{sql}");
    }
}

/// Plans are those of a database without statistics, in this test and where it counts.
#[test]
fn nothing_gives_statistics_to_the_planner() {
    let (mut files, mut looked) = (vec![sources()], 0);
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        looked += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let gives = text.contains("ANALYZE") || text.contains("PRAGMA optimize");
        assert!(!gives, "{}: plans would have to be tested with statistics", path.display());
    }
    assert!(looked > 40, "only {looked} files were found");
}

#[tokio::test]
async fn a_scan_and_a_sort_are_found() {
    let (_directory, connection) = schema().await;
    let faults = |sql: &str| judge::faults(&connection, sql).unwrap();
    assert_eq!(faults("SELECT p.payer FROM payments p WHERE p.payment_id = ?1"), ["SCAN p"]);
    assert_eq!(
        faults("SELECT payment_id FROM payments WHERE chain_id = ?1 AND block_number <= ?2 AND canonical"),
        ["SEARCH payments USING INDEX payments_on_chain_by_height (chain_id=? AND block_number<?)"]
    );
    let sort = "SELECT block_hash FROM payments
                WHERE chain_id = ?1 AND transaction_hash = ?2 AND canonical ORDER BY amount";
    assert_eq!(faults(sort), ["USE TEMP B-TREE FOR ORDER BY"]);
    assert!(faults("SELECT * FROM claims WHERE payment_id = ?1").is_empty());
    assert!(faults("SELECT * FROM chains ORDER BY head_number").iter().all(|step| step.starts_with("USE")));
}
