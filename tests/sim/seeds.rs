//! Many histories.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::history::{History, Tally};

const SEEDS: u64 = 500;
/// Of histories with several nodes, which take longer.
const SEEDS_OF_SEVERAL: u64 = 100;
/// Seeds after which a long run says how far it is.
const PROGRESS: u64 = 1000;

type Begin = fn(u64) -> History;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// Runs a history. What refutes it, whether found by a check or a panic, comes with the events that led there.
fn run(begin: Begin, seed: u64, whole: bool) -> Result<Tally, String> {
    let mut history = begin(seed);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.run()));
    let why = match result {
        Ok(Ok(())) => return Ok(history.tally),
        Ok(Err(refuted)) => refuted,
        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".into()),
    };
    let told = if whole { history.trace.len() } else { 12 };
    let events: Vec<_> = history.trace.iter().rev().take(told).rev().map(String::as_str).collect();
    Err(format!(
        "seed {seed}: {why}\n  {}\n  replay: SIM_SEED={seed} cargo test -p salt402-tests --test sim histories",
        events.join("\n  ")
    ))
}

#[test]
fn histories_of_all_seeds_end_with_the_rows_of_the_final_chain() {
    run_all(History::new, SEEDS, Tally::assert_rich);
}

#[test]
fn histories_with_several_nodes_end_with_the_rows_of_the_final_chain() {
    run_all(History::several, SEEDS_OF_SEVERAL, Tally::assert_rich_in_nodes);
}

fn run_all(begin: Begin, usual: u64, check: fn(&Tally)) {
    if let Some(seed) = variable("SIM_SEED") {
        match run(begin, seed, true) {
            Ok(tally) => println!("seed {seed}: {tally:?}"),
            Err(refuted) => panic!("{refuted}"),
        }
        return;
    }
    // Asked for more, the histories that take longer stay the fewer.
    let seeds = variable("SIM_SEEDS").map_or(usual, |asked| (asked * usual).div_ceil(SEEDS));
    let first = variable("SIM_FIRST").unwrap_or(0);
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let failures = Mutex::new(Vec::new());
    let total = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get().min(8));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds
                        || failures.lock().expect("no panic while it is held").len() >= 40
                    {
                        return;
                    }
                    let done = seed - first;
                    if done > 0 && done.is_multiple_of(PROGRESS) {
                        eprintln!("{done} of {seeds} seeds in {:?}", began.elapsed());
                    }
                    match run(begin, seed, false) {
                        Ok(tally) => total.lock().expect("no panic while it is held").add(tally),
                        Err(refuted) => failures.lock().expect("no panic while it is held").push(refuted),
                    }
                }
            });
        }
    });
    let total = total.into_inner().expect("no panic while it is held");
    println!("{seeds} seeds in {:?}: {total:?}", began.elapsed());
    let failures = failures.into_inner().expect("no panic while it is held");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    if seeds >= usual {
        check(&total);
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.reorganizations += other.reorganizations;
        self.ways_back += other.ways_back;
        self.kills += other.kills;
        self.restarts += other.restarts;
        self.grants += other.grants;
        self.incidents += other.incidents;
        self.omitted += other.omitted;
        self.looked_up += other.looked_up;
        self.unreadable += other.unreadable;
        self.unread += other.unread;
        self.second += other.second;
        self.ejected += other.ejected;
        self.changes += other.changes;
        self.signed += other.signed;
        self.channels += other.channels;
        self.refunds += other.refunds;
    }

    fn assert_rich_in_nodes(&self) {
        let parts = [self.blocks, self.reorganizations, self.kills, self.grants, self.ejected, self.changes];
        assert!(parts.iter().all(|part| *part > 10), "the histories are poor: {self:?}");
    }

    /// Histories in which nothing happens prove nothing.
    fn assert_rich(&self) {
        let parts = [
            self.blocks,
            self.reorganizations,
            self.ways_back,
            self.kills,
            self.restarts,
            self.grants,
            self.omitted,
            self.looked_up,
            self.unreadable,
            self.unread,
            self.second,
            self.signed,
            self.channels,
            self.refunds,
        ];
        assert!(parts.iter().all(|part| *part > 20), "the histories are poor: {self:?}");
        // Rarer than the others: where final blocks would leave, the index halts and nothing is lost.
        assert!(self.incidents > 5, "the histories are poor: {self:?}");
    }
}
