//! The table of codes in the documentation is the one in the code. `UPDATE=1 cargo test -p salt402-protocol` writes it.

#![allow(clippy::expect_used, clippy::panic, reason = "these are tests")]

use salt402_protocol::Code;

const BEGIN: &str = "<!-- codes: begin -->\n";
const END: &str = "<!-- codes: end -->";

#[test]
fn the_documented_codes_are_the_codes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
    let text = std::fs::read_to_string(path).expect("docs/api.md");
    let (before, rest) = text.split_once(BEGIN).expect("a begin mark");
    let (_, after) = rest.split_once(END).expect("an end mark");
    let mut table =
        "| code | status | meaning | again with the same proof? |\n| --- | --- | --- | --- |\n".to_owned();
    for code in Code::ALL {
        let again = if code.is_pending() { "yes" } else { "" };
        table.push_str(&format!("| `{code}` | {} | {} | {again} |\n", code.status(), code.title()));
    }
    let expected = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &expected).expect("docs/api.md");
    }
    assert!(
        text == expected || std::env::var_os("UPDATE").is_some(),
        "docs/api.md is not current: UPDATE=1 writes it"
    );
}
