//! Measures what the design promises. One line a number:
//!
//! ```text
//! B2 <value> <unit> target <target> pass|short  <what>
//! B5 <value> <unit>  <what, beside a number with a target>
//! ```
//!
//! What could be had instead, or belongs to a number, stands below it, indented. `salt402-bench B2 B4` runs these alone;
//! B1 is promised for ten million rows, B8 for one; both run over a million unless `ROWS=10000000` says otherwise, which
//! takes some 5 GB of disk and several minutes. Nothing here fails because it is slow.

#![allow(clippy::print_stdout, reason = "the figures are what the command is for")]
#![allow(clippy::float_arithmetic, reason = "figures of a benchmark are no money")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark that cannot be set up must end")]

mod b14;
mod backfill;
mod claims;
mod facilitator;
mod figures;
mod gas;
mod head;
mod load;
mod lookup;
mod memory;
mod model_server;
mod paid;
mod proxy;
mod streams;
mod verify;

use anyhow::Context as _;
use figures::machine;

type Run = fn() -> std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

const BENCHES: [(&str, Run); 14] = [
    ("B1", || Box::pin(lookup::run())),
    ("B2", || Box::pin(verify::run())),
    ("B3", || Box::pin(claims::run())),
    ("B4", || Box::pin(head::run())),
    ("B5", || Box::pin(backfill::run())),
    ("B6", || Box::pin(facilitator::verify())),
    ("B7", || Box::pin(facilitator::settle())),
    ("B7b", || Box::pin(facilitator::together())),
    ("B8", || Box::pin(memory::run())),
    ("B9", || Box::pin(gas::run())),
    ("B10", || Box::pin(paid::run())),
    ("B11", || Box::pin(streams::run())),
    ("B12", || Box::pin(proxy::run())),
    ("B14", || Box::pin(b14::run())),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known: Vec<_> = BENCHES.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        anyhow::bail!("there is no benchmark {unknown} yet; there are {}", known.join(", "));
    }
    println!("machine: {}", machine());
    for (name, run) in BENCHES {
        if wanted.is_empty() || wanted.iter().any(|wish| wish == name) {
            run().await?;
        }
    }
    Ok(())
}

/// Rows of B1 and B8: a million, or as `ROWS` says.
fn rows() -> anyhow::Result<usize> {
    match std::env::var("ROWS") {
        Ok(text) => text.parse().context("ROWS: a number of payments"),
        Err(_) => Ok(1_000_000),
    }
}

/// The command that is measured: the release build beside this one.
fn salt402() -> anyhow::Result<String> {
    let path = std::env::current_exe()?.with_file_name("salt402");
    anyhow::ensure!(path.exists(), "{} is missing: run make bench", path.display());
    Ok(path.to_string_lossy().into_owned())
}
