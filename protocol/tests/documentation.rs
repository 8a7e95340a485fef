//! The documentation is true of the code: the table of codes (`UPDATE=1 cargo test -p salt402-protocol` writes it), and the
//! tests that tests/attacks.md names.

#![allow(clippy::expect_used, clippy::panic, reason = "these are tests")]

use std::path::Path;

use salt402_protocol::Code;

const BEGIN: &str = "<!-- codes: begin -->\n";
const END: &str = "<!-- codes: end -->";

#[test]
fn the_documented_codes_are_the_codes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
    let text = std::fs::read_to_string(path).expect("docs/api.md");
    let (before, rest) = text.split_once(BEGIN).expect("a begin mark");
    let (_, after) = rest.split_once(END).expect("an end mark");
    let mut table = "| code | status | meaning | again with the same proof? | x402's reason |\n\
                     | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for code in Code::ALL {
        let again = if code.is_pending() { "yes" } else { "" };
        let status = code.subcode().map_or_else(|| code.status().to_string(), |subcode| subcode.to_string());
        let reason = code.x402_reason().map(|reason| format!("`{reason}`")).unwrap_or_default();
        table.push_str(&format!("| `{code}` | {status} | {} | {again} | {reason} |\n", code.title()));
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

/// A test that was renamed or taken out would leave an attack that nobody tries.
#[test]
fn every_test_that_is_said_to_try_an_attack_is_in_the_tree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let attacks = std::fs::read_to_string(root.join("tests/attacks.md")).expect("tests/attacks.md");
    let mut tests = String::new();
    for folder in std::fs::read_dir(&root).expect("the repository") {
        let path = folder.expect("an entry").path();
        let crates = ["src", "tests"].map(|inside| path.join(inside));
        let own = path.file_name().is_some_and(|name| name == "tests").then(|| path.clone());
        crates.iter().chain(&own).for_each(|folder| gather(folder, &mut tests));
    }
    let mut named = 0;
    for name in attacks.split('`').skip(1).step_by(2) {
        let known = match (name.strip_suffix('…'), name.contains('/')) {
            (_, true) => root.join(name).exists(),
            (Some(start), _) => tests.contains(&format!(" {start}")),
            // Other words in such marks are no tests: a command, a header, the name of a field.
            (None, _) if name.matches('_').count() < 2 && !name.starts_with("test_") => continue,
            (None, _) => tests.contains(&format!(" {name} ")),
        };
        assert!(known, "tests/attacks.md names {name}, which is no test");
        named += 1;
    }
    assert!(named > 60, "tests/attacks.md names {named} tests");
}

/// The names of the functions in the sources below a folder, each between blanks.
fn gather(folder: &Path, names: &mut String) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            gather(&path, names);
        } else if path.extension().is_some_and(|end| end == "rs" || end == "sol") {
            let text = std::fs::read_to_string(&path).expect("a source");
            for rest in text.split("fn ").chain(text.split("function ")).skip(1) {
                let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
                names.push(' ');
                names.push_str(&rest[..end.unwrap_or(rest.len())]);
                names.push(' ');
            }
        }
    }
}
