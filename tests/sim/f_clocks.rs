//! Clocks that are set while the process runs: F26.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use salt402_chain::At;
use salt402_indexer::Phase;

use crate::faults::Fate;
use crate::gate::{Ask, unreachable};
use crate::stage::Scene;

#[test]
fn f26_polls_pauses_and_timeouts_go_by_the_clock_that_nobody_sets() {
    let scene = Scene::new();
    let tip = scene.grow(scene.genesis(), 0, 30);
    scene.play(async |stage| {
        stage.arrive().await;
        let wall = SystemTime::now();
        // Minutes pass for timers, and next to nothing on the wall.
        stage.asked.clear();
        stage.pass(300).await;
        let polls = stage.asked.iter().filter(|ask| **ask == Ask::Header(At::Latest)).count();
        assert!((280..=301).contains(&polls), "{polls} polls in five minutes of one each second");
        // Nor is it stale for the wall clock's sake, and it is when its own clock says so.
        assert!(stage.life.health.borrow().complaint(Duration::from_secs(5)).is_none());
        stage.script = Box::new(|_, _| Some(Fate::Answered(Err(unreachable("gone")))));
        stage.asked.clear();
        stage.pass(120).await;
        assert!(matches!(stage.phase(), Phase::Failing(_)));
        assert!((10..=60).contains(&stage.asked.len()), "pauses grow to ten seconds: {}", stage.asked.len());
        stage.script = Box::new(|_, _| None);
        scene.grow(tip, 0, 3);
        stage.arrive().await;
        stage.assert_exact().await;
        assert!(wall.elapsed().unwrap_or_default() < Duration::from_secs(300));
    });
}

/// Where the time of day may be read, and what for. Nothing else may: what waits, retries or gives up goes by
/// `tokio::time::Instant` or `std::time::Instant`.
const TIME_OF_DAY: [(&str, &str); 3] = [
    ("store/src/engine/clock.rs", "when a row was stored, and how old an index is"),
    (
        "http/src/clock.rs",
        "the clock of all that serves: when quotes begin and end, whether an answer is still kept",
    ),
    ("client/src/payer.rs", "whether a quote is still to be paid"),
];

const CRATES: [&str; 10] =
    ["protocol", "chain", "store", "http", "indexer", "paywall", "verifier", "gateway", "client", "cli"];

#[test]
fn f26_the_time_of_day_is_read_where_a_time_of_day_is_meant() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the repository");
    for name in CRATES {
        for path in sources(&root.join(name).join("src")) {
            let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).expect("a source file");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let known = TIME_OF_DAY.iter().any(|(file, _)| *file == name);
            assert!(known || !code.contains("SystemTime"), "{name} reads the time of day: what for?");
        }
    }
    for (file, what) in TIME_OF_DAY {
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        assert!(text.contains("SystemTime"), "{file} no longer reads {what}: strike it off the list");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
