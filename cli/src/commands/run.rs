//! `salt402 up`, `index`, `verify`, `serve` and `facilitate`.

use std::path::Path;
use std::process::ExitCode;

use crate::config::Config;
use crate::stop;
use crate::wire::{Parts, Process};

/// Runs parts until a signal.
pub(crate) async fn run(config: &Path, parts: Parts) -> anyhow::Result<ExitCode> {
    let config = Config::load(config)?;
    let stop = stop::on_signal()?;
    let process = Process::start(&config, parts, &stop).await?;
    process.finish(&stop).await?;
    Ok(ExitCode::SUCCESS)
}
