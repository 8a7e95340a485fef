//! The command lines of `salt402 incidents` and `salt402 unserved`.

use clap::{Args as Group, Subcommand};
use salt402_protocol::B256;

use crate::config_path::ConfigPath;

#[derive(Debug, Subcommand)]
pub(crate) enum IncidentsCommand {
    /// List those that are open, the newest first
    List(ListArgs),
    /// Say that one was made good although its payment did not come back: its payer is treated as any other again
    Settle(SettleArgs),
}

/// Which incidents to list.
#[derive(Debug, Group)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) at: ConfigPath,
    /// List those that are resolved or were made good too
    #[arg(long)]
    pub(crate) all: bool,
    /// The most to list
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    pub(crate) limit: u32,
}

/// Says that something was settled.
#[derive(Debug, Group)]
pub(crate) struct MadeGoodArgs {
    #[command(flatten)]
    pub(crate) at: ConfigPath,
    /// How it was made good, for the record
    #[arg(long)]
    pub(crate) note: String,
}

#[derive(Debug, Group)]
pub(crate) struct SettleArgs {
    /// The incident's number
    pub(crate) id: u64,
    #[command(flatten)]
    pub(crate) made_good: MadeGoodArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UnservedCommand {
    /// List them, those that changed last first: what failed so far, and what was given up
    List(ListArgs),
    /// Say that one that was given up was made good: it is not served any more
    Settle(UnservedSettleArgs),
    /// Have one that was given up tried again when its payer shows the proof, once what failed is mended
    Retry(RetryArgs),
}

#[derive(Debug, Group)]
pub(crate) struct UnservedSettleArgs {
    /// The payment's id
    pub(crate) payment: B256,
    #[command(flatten)]
    pub(crate) made_good: MadeGoodArgs,
}

#[derive(Debug, Group)]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    pub(crate) at: ConfigPath,
    /// The payment's id
    pub(crate) payment: B256,
}
