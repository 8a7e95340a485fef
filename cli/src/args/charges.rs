//! The command line of `salt402 charges`.

use clap::{Args as Group, Subcommand};
use salt402_protocol::B256;

use crate::config_path::ConfigPath;

#[derive(Debug, Subcommand)]
pub(crate) enum ChargesCommand {
    /// List those that are open, first those that are owed and not tried again, while the service runs or not
    List(ChargesListArgs),
    /// Show all of one: what was authorized and used, what was tried, and what was said of it
    ///
    /// The exit code is 0 when it was moved or counted, 2 when it could not be or was written off, 3 when it is not known yet, and 1
    /// when there is no such charge.
    Show(ChargesShowArgs),
    /// Ask no more for one that could not be settled: its payer is served by use again
    ///
    /// Nothing more is sent for it. If it is settled after all, by a transaction of before, that is written down too. The exit code
    /// is 0 when it is written off, 1 when there is no such charge, or it may still be settled.
    WriteOff(ChargesWriteOffArgs),
}

#[derive(Debug, Group)]
pub(crate) struct ChargesListArgs {
    /// List those that were settled or written off too, the newest first
    #[arg(long)]
    pub(crate) all: bool,
    /// The most to list
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Print one JSON array, with amounts in base units
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct ChargesShowArgs {
    /// The payment's id
    pub(crate) payment: B256,
    /// Print JSON, with amounts in base units
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct ChargesWriteOffArgs {
    /// The payment's id
    pub(crate) payment: B256,
    /// Why, for the record
    #[arg(long)]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}
