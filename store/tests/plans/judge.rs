//! What is wrong with a plan.

use std::collections::HashSet;

use rusqlite::Connection;

/// Tables whose rows are as many as the configuration has chains, contracts and nodes, or what an operator did. All
/// others grow with what is paid.
const SMALL: &[&str] = &[
    "chains",
    "meta",
    "halts",
    "restores",
    "sources",
    "covered",
    "voucher_totals",
    "sqlite_schema",
    // Emptied by every step.
    "channels_unchecked",
];

/// The steps of a statement's plan that read or sort a table that grows.
///
/// # Errors
/// What SQLite says of a text that is no statement of this schema.
pub(crate) fn faults(connection: &Connection, sql: &str) -> Result<Vec<String>, rusqlite::Error> {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let plan: Vec<String> = explain.raw_query().mapped(|row| row.get(3)).collect::<Result<_, _>>()?;
    let names = tables(connection, sql)?;
    Ok(plan.into_iter().filter(|step| is_fault(step, &names)).collect())
}

fn is_fault(step: &str, names: &Names) -> bool {
    let (what, rest) = step.split_once(' ').unwrap_or((step, ""));
    let name = rest.split(' ').next().unwrap_or_default();
    match what {
        "USE" => step.contains("TEMP B-TREE") && !step.contains("FOR DISTINCT") && !step.contains("count("),
        "SCAN" => names.grows(name),
        "SEARCH" => step.contains("AUTOMATIC") || names.grows(name) && is_walk(step),
        _ => false,
    }
}

/// Whether a search goes through a part of the table that grows with it: all rows of a chain, all that are open, all below
/// a height. What is above a height is as much as a step has.
fn is_walk(step: &str) -> bool {
    let inner = step.rsplit_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let constraints = inner.map_or("", |(constraints, _)| constraints);
    let mut above = false;
    let narrow = constraints.split(" AND ").any(|constraint| {
        above |= constraint.ends_with('>') || constraint.ends_with(">?");
        constraint.ends_with("=?") && !["chain_id=?", "kind=?", "canonical=?"].contains(&constraint)
    });
    !narrow && !above
}

/// The tables of a statement, and the names that it gives them.
struct Names {
    growing: HashSet<String>,
}

impl Names {
    fn grows(&self, name: &str) -> bool {
        self.growing.contains(name)
    }
}

fn tables(connection: &Connection, sql: &str) -> Result<Names, rusqlite::Error> {
    let mut select = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let known: HashSet<String> = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let words: Vec<&str> =
        sql.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).collect();
    let mut growing = HashSet::new();
    for (place, word) in words.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|place| words.get(place)).copied().unwrap_or_default();
        let named = ["FROM", "JOIN", "INTO", "UPDATE"].contains(&before);
        if !named || !known.contains(*word) || SMALL.contains(word) {
            continue;
        }
        growing.insert((*word).to_owned());
        let next = |ahead: usize| words.get(place + ahead).copied().unwrap_or_default();
        let alias = if next(1) == "AS" { next(2) } else { next(1) };
        if alias.chars().all(|c| c.is_lowercase() || c == '_' || c.is_numeric()) {
            growing.insert(alias.to_owned());
        }
    }
    Ok(Names { growing })
}

#[test]
fn a_walk_is_told_from_a_look() {
    let walk = |constraints: &str| is_walk(&format!("SEARCH p USING INDEX i ({constraints})"));
    assert!(walk("chain_id=?"));
    assert!(walk("chain_id=? AND block_number<?"));
    assert!(walk("chain_id=? AND kind=?"));
    assert!(!walk("chain_id=? AND block_number>?"));
    assert!(!walk("chain_id=? AND transaction_hash=?"));
    assert!(!walk("rowid=?"));
    assert!(!is_walk("SEARCH k USING PRIMARY KEY (payment_id=?) LEFT-JOIN"));
}
