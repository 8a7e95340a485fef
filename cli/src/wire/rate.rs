//! What a dollar buys, as a program of the operator's tells it.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use salt402_gateway::Rate;
use salt402_protocol::Amount;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::config::{UsdConfig, parse_rate};

/// How long the program may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The most bytes of what it prints that are read.
const LONGEST: u64 = 1024;

/// Runs the program from time to time and tells what it printed. While it fails, the rate gets old, and then nothing is sold for it.
pub(super) async fn follow_rate(
    rate: Arc<Rate>,
    usd: UsdConfig,
    unit: (String, u8),
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            told = ask_rate(&usd, &unit) => match told {
                Ok(units) => rate.tell(units),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "gateway.usd.command told no rate"),
            },
            () = stop.cancelled() => return Ok(()),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(usd.every_s)) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// Runs the program once.
pub(crate) async fn ask_rate(usd: &UsdConfig, unit: &(String, u8)) -> anyhow::Result<Amount> {
    let Some((program, arguments)) = usd.command.split_first() else {
        bail!("gateway.usd.command: it is empty")
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("gateway.usd.command: {program:?} cannot be run"))?;
    let read = async {
        let mut text = String::new();
        if let Some(out) = child.stdout.take() {
            out.take(LONGEST).read_to_string(&mut text).await?;
        }
        let ended = child.wait().await?;
        anyhow::Ok((text, ended))
    };
    let Ok(read) = tokio::time::timeout(TIMEOUT, read).await else {
        bail!("gateway.usd.command: {program:?} took more than {} s", TIMEOUT.as_secs());
    };
    let (text, ended) = read.context("gateway.usd.command: what it prints cannot be read")?;
    if !ended.success() {
        bail!("gateway.usd.command: {program:?} failed: {ended}");
    }
    parse_rate(text.trim(), unit).map_err(|what| anyhow::anyhow!("gateway.usd.command: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(script: &str) -> anyhow::Result<Amount> {
        let text = format!("command = ['/bin/sh', '-c', {script:?}]");
        let usd: UsdConfig = toml::from_str(&text).unwrap();
        ask_rate(&usd, &("SALT".into(), 18)).await
    }

    #[tokio::test]
    async fn what_a_program_prints_is_a_rate_or_a_reason() {
        assert_eq!(told("echo '4.2 SALT'").await.unwrap().to_units(18), "4.2");
        for bad in [
            "echo 4.2",
            "echo '0 SALT'",
            "exit 1",
            "echo '1 SALT'; exit 1",
            "echo '1 SALT'; echo '2 SALT'",
            "yes",
        ] {
            assert!(told(bad).await.is_err(), "{bad}");
        }
        let usd: UsdConfig = toml::from_str("command = ['/nonexistent/rate']").unwrap();
        assert!(ask_rate(&usd, &("SALT".into(), 18)).await.is_err());
    }
}
