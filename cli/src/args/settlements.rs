//! The command line of `salt402 settlements`.

use clap::{Args as Group, Subcommand, ValueEnum};

use crate::config_path::ConfigPath;

#[derive(Debug, Subcommand)]
pub(crate) enum SettlementsCommand {
    /// List them, the newest first, while the service runs or not
    List(SettlementsListArgs),
    /// Show all of one: what was signed, each transaction that was signed for it, and what was tried
    ///
    /// The exit code is 0 when the money moved, 2 when it did not and will not, 3 when it is not known yet, and 1 when there is
    /// no such settlement.
    Show(SettlementsShowArgs),
    /// Have one that failed tried once more, by the facilitator that runs or by the next one
    ///
    /// What was signed moves money once at most: if it was used up meanwhile, that is found, and nothing is sent. The exit code
    /// is 0 when it will be tried, 1 when it did not fail or there is no such settlement.
    Retry(SettlementsRetryArgs),
}

/// How a settlement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SettlementStateArg {
    /// Claimed, and not sent yet.
    Queued,
    /// In a transaction that is sent or about to be.
    Sent,
    /// The money moved.
    Settled,
    /// It moved nothing.
    Failed,
}

#[derive(Debug, Group)]
pub(crate) struct SettlementsListArgs {
    /// Those of this chain alone, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,
    /// Those in this state alone
    #[arg(long, value_enum)]
    pub(crate) state: Option<SettlementStateArg>,
    /// The most to list
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// List what follows this number, the last of the page before
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<u64>,
    /// Print one JSON array, with amounts in base units
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct SettlementsShowArgs {
    /// Its number, or the payment's id
    pub(crate) settlement: String,
    /// Print JSON, with amounts in base units
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct SettlementsRetryArgs {
    /// Its number, or the payment's id
    pub(crate) settlement: String,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}
