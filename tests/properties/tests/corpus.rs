//! Every property over the committed corpus: the seeds, and what the fuzzer once found.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

use std::path::Path;

#[test]
fn every_property_holds_of_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, property) in salt402_properties::ALL {
        let folder = corpus.join(name);
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for entry in entries {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            property(&std::fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 0, "{name} has no seed");
    }
}

/// Seeds that a parser does not take show nothing of what it takes: each property has one that is read.
#[test]
fn every_property_has_its_fuzz_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, _) in salt402_properties::ALL {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no target");
        assert!(fuzz.join(format!("fuzz_targets/{name}.rs")).exists(), "{name} has no target");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), salt402_properties::ALL.len());
}
