//! The table of faults names tests that exist, for every fault.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeSet;
use std::path::Path;

use salt402_tests::root;

/// How many faults there are.
const FAULTS: u32 = 26;

/// The names of all test functions below a folder.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && !["target", "node_modules", "out", ".git"].iter().any(|other| name == *other) {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source file");
            let mut marked = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    marked = true;
                } else if !line.starts_with("#[") && !line.starts_with("//") {
                    let name = line.trim_start_matches("async ").strip_prefix("fn ");
                    if let (true, Some(name)) = (marked, name.and_then(|rest| rest.split('(').next())) {
                        found.insert(name.to_owned());
                    }
                    marked = false;
                }
            }
        }
    }
}

#[test]
fn every_fault_is_in_the_table_and_every_test_in_the_table_exists() {
    let mut tests = BTreeSet::new();
    tests_below(&root(), &mut tests);
    assert!(tests.len() > 200, "{} tests were found", tests.len());
    let page = std::fs::read_to_string(root().join("docs/faults.md")).expect("docs/faults.md");
    let mut named = BTreeSet::new();
    let mut faults = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [fault, guaranteed, proofs] = cells[..] else { panic!("three cells: {row}") };
        if fault == "fault" {
            continue;
        }
        assert!(!guaranteed.is_empty(), "{row}");
        assert!(!proofs.contains("yet"), "what is not tested yet belongs into TODO.md: {row}");
        let listed: Vec<&str> = proofs.split('`').skip(1).step_by(2).collect();
        for test in &listed {
            assert!(tests.contains(*test), "{test} is no test; {fault}");
        }
        named.extend(listed.iter().map(|test| (*test).to_owned()));
        let number = fault.strip_prefix('F').and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        if let Some(number) = number {
            assert!(faults.insert(number), "F{number} twice");
            let own = listed.iter().any(|test| test.starts_with(&format!("f{number:02}_")));
            assert!(own, "F{number} names no test of its own");
        } else {
            assert!(!listed.is_empty(), "{fault} names no test");
        }
    }
    assert_eq!(faults, (1..=FAULTS).collect());
}
