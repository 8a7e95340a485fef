//! docs/members.md: which members each API takes, written from the tables. `UPDATE=1 cargo test -p salt402-gateway --lib members` writes it.

use std::fmt::Write as _;

use super::*;
use crate::api::members::{ALL, Rule};

const BEGIN: &str = "<!-- members: begin -->\n";
const END: &str = "<!-- members: end -->";

fn names(names: &[String]) -> String {
    if names.is_empty() { "–".into() } else { names.join(", ") }
}

fn table() -> String {
    let mut page = String::new();
    for (api, tables) in tables() {
        let rows: Vec<_> = tables.into_iter().flatten().collect();
        let of = |wanted: fn(&Rule) -> bool| -> Vec<String> {
            let own = rows.iter().filter(|row| wanted(&row.rule) && row.by == ALL);
            own.map(|row| format!("`{}`", row.name)).collect()
        };
        writeln!(page, "\n### `{}`\n", api.path()).unwrap();
        writeln!(
            page,
            "- In the price: {}",
            names(&of(|rule| matches!(rule, Rule::Priced | Rule::Shown(_))))
        )
        .unwrap();
        writeln!(page, "- Passed on: {}", names(&of(|rule| matches!(rule, Rule::Harmless(_))))).unwrap();
        let some = rows.iter().filter(|row| row.by != ALL);
        let some: Vec<_> = some.map(|row| format!("`{}` ({})", row.name, row.by.names())).collect();
        writeln!(page, "- Passed on to some servers alone: {}", names(&some)).unwrap();
        writeln!(page, "- Taken, and not passed on: {}", names(&of(|rule| matches!(rule, Rule::Dropped(_)))))
            .unwrap();
        writeln!(page, "- Refused, with what to do: {}", names(&of(|rule| matches!(rule, Rule::Refused(_)))))
            .unwrap();
    }
    page
}

#[test]
fn the_page_of_members_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/members.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}{}\n{END}{after}", table());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    assert!(
        page == expected || std::env::var_os("UPDATE").is_some(),
        "docs/members.md is not current: UPDATE=1 writes it"
    );
}
