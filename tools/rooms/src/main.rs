//! `cargo run --package salt402-rooms [FOLDER]`: fails where the workspace in FOLDER (here, if none is named) has a circle.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks on its outputs")]

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let root = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let faults = salt402_rooms::faults(&root)?;
    for fault in &faults {
        println!("{fault}");
    }
    if faults.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "{} circles of imports or imports up a floor: move what both sides need below both",
        faults.len()
    );
    Ok(ExitCode::FAILURE)
}
