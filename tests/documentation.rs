//! The documentation is true of the tree: its links lead somewhere, its tests exist, the files that it shows are the files.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use salt402_tests::root;

/// How many faults there are.
const FAULTS: u32 = 26;
/// The longest row of a table, in characters: a few lines on a page.
const LONGEST_ROW: usize = 360;
/// Folders that hold no page of ours.
const NOT_OURS: [&str; 8] =
    ["target", "scratch", "node_modules", "out", "cache", ".git", ".venv", "broadcast"];

/// Every file with this ending below a folder.
fn files_below(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && !NOT_OURS.iter().any(|other| name == *other) {
            files_below(&path, ending, found);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
}

/// The names of all test functions in the tree.
fn tests() -> BTreeSet<String> {
    let (mut sources, mut found) = (Vec::new(), BTreeSet::new());
    files_below(&root(), "rs", &mut sources);
    for path in sources {
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
    assert!(found.len() > 200, "{} tests were found", found.len());
    found
}

/// All pages, by their path in the tree.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut found = Vec::new();
    files_below(&root(), "md", &mut found);
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a page");
        (path.strip_prefix(root()).expect("a page of the tree").to_owned(), text)
    };
    found.into_iter().map(read).collect()
}

/// The lines of a page that are not in a block of code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// What stands between marks in a line.
fn in_marks(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for heading in prose(page)
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')))
    {
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        let anchor: String =
            kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(again).find(|name| !found.contains(name));
        found.extend(free);
    }
    found
}

/// A path without the steps back in it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            assert!(plain.pop(), "{} leads out of the tree", path.display());
        } else if part != Component::CurDir {
            plain.push(part);
        }
    }
    plain
}

#[test]
fn every_link_within_the_tree_leads_to_a_file_and_to_a_heading_in_it() {
    let pages = pages();
    let (mut links, mut broken) = (0, Vec::new());
    for (page, text) in &pages {
        for line in prose(text) {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if target.contains("://") {
                    continue;
                }
                links += 1;
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let file = match file {
                    "" => page.clone(),
                    file => plain(&page.parent().expect("a folder").join(file)),
                };
                let found = if heading.is_empty() {
                    root().join(&file).exists()
                } else {
                    pages.get(&file).is_some_and(|text| anchors(text).contains(heading))
                };
                if !found {
                    broken.push(format!("{}: {target}", page.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    assert!(links > 100, "{links} links were found");
}

#[test]
fn every_page_is_in_the_index() {
    let pages = pages();
    let index = &pages[Path::new("docs/README.md")];
    for page in pages.keys().filter(|page| page.parent() == Some(Path::new("docs"))) {
        let name = page.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(
            name == "README.md" || index.contains(&format!("]({name}")),
            "{name} is not in docs/README.md"
        );
    }
}

#[test]
fn no_row_of_a_table_is_longer_than_a_few_lines_and_no_page_for_users_names_a_test() {
    let tests = tests();
    for (page, text) in pages().iter().filter(|(page, _)| page.starts_with("docs")) {
        for line in prose(text) {
            let length = line.chars().count();
            let short = !line.starts_with('|') || length <= LONGEST_ROW;
            assert!(short, "{}: a row of {length} characters: {line}", page.display());
            let named = in_marks(line).find(|word| tests.contains(*word));
            assert_eq!(named, None, "{} names a test: {line}", page.display());
        }
    }
}

/// A page that shows a file has `<!-- file: PATH -->` before the block. `UPDATE=1` writes the block.
#[test]
fn the_files_that_pages_show_are_the_files() {
    let mut shown = 0;
    for (page, text) in pages() {
        let mut parts = text.split("<!-- file: ");
        let mut written = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (file, rest) = part.split_once(" -->\n").expect("the end of the mark");
            let (fence, rest) = rest.split_once('\n').expect("a block");
            let (_, after) = rest.split_once("\n```\n").expect("the block's end");
            let own =
                std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            written.push_str(&format!("<!-- file: {file} -->\n{fence}\n{}\n```\n{after}", own.trim_end()));
            shown += 1;
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(root().join(&page), &written).expect("a page");
        } else {
            assert!(written == text, "{} shows a file as it was: UPDATE=1 writes it", page.display());
        }
    }
    assert!(shown > 0, "no page shows a file");
}

#[test]
fn every_fault_is_in_the_table_has_a_test_of_its_own_and_every_test_that_is_named_exists() {
    let (tests, pages) = (tests(), pages());
    let mut faults = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for row in pages[Path::new("docs/faults.md")]
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
    {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [fault, guaranteed] = cells[..] else { panic!("two cells: {row}") };
        if fault == "fault" {
            continue;
        }
        assert!(!guaranteed.is_empty(), "{row}");
        assert!(!guaranteed.contains("yet"), "what is not tested yet belongs into TODO.md: {row}");
        assert!(faults.insert(fault), "{fault} twice");
        let number = fault.strip_prefix('F').and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        assert!(number.is_none_or(|number| numbers.insert(number)), "{fault} twice");
    }
    assert_eq!(numbers, (1..=FAULTS).collect());
    let list = &pages[Path::new("tests/faults.md")];
    let (before, sections) = list.split_once("\n## ").expect("a fault");
    for name in
        prose(before).flat_map(in_marks).filter(|word| word.matches('_').count() > 1 && !word.contains('/'))
    {
        assert!(name == "PROPTEST_CASES" || tests.contains(name), "{name} is no test");
    }
    for section in sections.split("\n## ") {
        let (fault, proofs) = section.split_once('\n').expect("a list");
        assert!(faults.remove(fault), "docs/faults.md has no {fault}, or it is listed twice");
        let listed: Vec<&str> = in_marks(proofs).collect();
        for test in &listed {
            assert!(tests.contains(*test), "{test} is no test; {fault}");
        }
        let number = fault.strip_prefix('F').and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        match number {
            Some(number) => {
                let own = listed.iter().any(|test| test.starts_with(&format!("f{number:02}_")));
                assert!(own, "F{number} names no test of its own");
            }
            None => assert!(!listed.is_empty(), "{fault} names no test"),
        }
    }
    assert!(faults.is_empty(), "no tests are listed in tests/faults.md for {faults:?}");
}
