//! The command line.
//!
//! The rooms, one for each group of commands. Each imports only those before it: `send`; `channel`; `charges`; `failed`; `keys`; `pay`;
//! `settlements`.

mod channel;
mod charges;
mod failed;
mod keys;
mod pay;
mod send;
mod settlements;

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use url::Url;

pub(crate) use channel::{
    ChannelClaimArgs, ChannelCloseArgs, ChannelCommand, ChannelListArgs, ChannelRefundArgs, ChannelShowArgs,
    ChannelWithdrawArgs, OperatorCommand, OperatorSetArgs, OperatorShowArgs, RightArg,
};
pub(crate) use charges::{ChargesCommand, ChargesListArgs, ChargesShowArgs, ChargesWriteOffArgs};
pub(crate) use failed::{
    IncidentsCommand, ListArgs, RetryArgs, SettleArgs, UnservedCommand, UnservedSettleArgs,
};
pub(crate) use keys::{
    KeyLimitArgs, KeysCommand, KeysCreateArgs, KeysLimitArgs, KeysListArgs, KeysRefundArgs, KeysRevokeArgs,
    KeysShowArgs, KeysTopUpArgs,
};
pub(crate) use pay::PayArgs;
pub(crate) use send::{RefundArgs, SendArgs};
pub(crate) use settlements::{
    SettlementStateArg, SettlementsCommand, SettlementsListArgs, SettlementsRetryArgs, SettlementsShowArgs,
};

pub(crate) use crate::config_path::ConfigPath;

/// Lets an inference server be paid per request in SALT.
#[derive(Debug, Parser)]
#[command(name = "salt402", version, propagate_version = true)]
pub(crate) struct Args {
    /// How to write the log, which goes to standard error. SALT402_LOG sets the levels, such as `info,salt402=debug`.
    #[arg(long, visible_alias = "log-format", global = true, value_enum, env = "SALT402_LOG_FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything that is configured, in one process: indexer, verifier, gateway and facilitator
    Up(ConfigPath),
    /// Run the indexer alone: follow the configured chains into the database
    Index(ConfigPath),
    /// Run the verifier alone, over a database that `salt402 index` writes
    Verify(ConfigPath),
    /// Run the gateway alone, with the verifier at `gateway.verifier`
    Serve(ConfigPath),
    /// Run the facilitator alone, over a database that `salt402 index` or `salt402 up` writes
    Facilitate(ConfigPath),
    /// Show how a running salt402 is doing
    Status(StatusArgs),
    /// Look at a chain that is halted, and let it go on
    #[command(subcommand)]
    Chain(ChainCommand),
    /// See payment channels and what was accepted of them by vouchers, and claim it
    #[command(subcommand)]
    Channel(ChannelCommand),
    /// Copy the database into a new file, while the service runs or not
    ///
    /// The copy is one moment's, checked, on disk at the end, and cannot be opened as a database before `salt402
    /// restore` puts it back.
    Backup(BackupArgs),
    /// Put a backup in the place of a database that is lost
    ///
    /// Claims that were made after the backup was taken are not in it. So a payment that was mined before now and has
    /// no claim in the backup is not granted on any more, and an answer that is not in the backup is not made again.
    Restore(RestoreArgs),
    /// Say what a request to the gateway would cost, and why, from the configuration alone
    ///
    /// Nothing is asked of anybody, but the command of `gateway.usd` where the model's price is in dollars. The exit code is 0
    /// for a request that has a price, 2 for one that the gateway would refuse.
    Price(PriceArgs),
    /// Send a request, pay for it within a limit, and print the answer
    ///
    /// The payer's private key comes from SALT402_KEY or from --key-file, never from an argument. The answer goes to
    /// standard output, what happens and what it cost to standard error. Before a payment is sent, its receipt is written;
    /// the same command, or --resume, goes on from there and pays nothing twice. The exit code is 0 for an answer that is a
    /// success, 1 when nothing was paid, 2 for another answer that nothing was paid for or that is a redirect, 3 when money
    /// may have moved and what it paid for was not got.
    Pay(Box<PayArgs>),
    /// Give a payment back, or a part of it, to whoever paid it
    ///
    /// The payee's private key comes from SALT402_KEY or from --key-file, never from an argument. What was paid and what was given
    /// back is read from the database, while the service runs or not. The refund is written there before it is sent, and from then
    /// on nothing is granted on the payment. The same command again goes on with it, and sends nothing twice. The exit code is 0
    /// when it was mined, 1 when nothing was sent, 3 when it was sent and is in no block yet.
    Refund(RefundArgs),
    /// See grants whose payment left the chain, and say that one was made good
    #[command(subcommand)]
    Incidents(IncidentsCommand),
    /// See payments whose requests are not answered, have them tried again, or say that one was made good
    #[command(subcommand)]
    Unserved(UnservedCommand),
    /// See what requests used that are charged by use, and write off what cannot be settled
    #[command(subcommand)]
    Charges(ChargesCommand),
    /// Make API keys with a balance, see them, and what was drawn of them
    #[command(subcommand)]
    Keys(KeysCommand),
    /// See what the facilitator settled, and have one that failed tried again
    #[command(subcommand)]
    Settlements(SettlementsCommand),
    /// Check a configuration, or print one to start from
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChainCommand {
    /// Show why a chain is halted and what would leave it, and with --yes accept the node's chain
    ///
    /// Works while the service runs and while it does not. Nothing is deleted: rows that leave the chain are marked,
    /// and a grant on one is an incident. The exit code is 0 when nothing hinders the chain or when the fork was
    /// accepted, 2 when a decision is open.
    Resume(ResumeArgs),
}

#[derive(Debug, Group)]
pub(crate) struct ResumeArgs {
    /// The chain's name in the configuration; needed where there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,
    /// Accept the node's chain as it was shown
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct BackupArgs {
    /// Where to put the copy; there must be no such file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct RestoreArgs {
    /// A copy that `salt402 backup` made
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read a configuration and say what it means, or what is wrong with it
    Check(ConfigPath),
    /// Print a commented configuration to start from
    Example,
}

#[derive(Debug, Group)]
pub(crate) struct PriceArgs {
    /// The file with the request's body; left out or `-`, it is read from standard input
    pub(crate) body: Option<PathBuf>,
    /// The path that the request is for
    #[arg(long, default_value = "/v1/chat/completions", value_name = "PATH")]
    pub(crate) path: String,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct StatusArgs {
    /// The verifier to ask; unix:/path names its socket
    #[arg(long, env = "SALT402_VERIFIER_URL", default_value = "http://127.0.0.1:4020", value_name = "URL")]
    pub(crate) url: Url,
    /// Print JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Ask again and again until interrupted, with rates; on a terminal in place
    #[arg(long)]
    pub(crate) watch: bool,
    /// How often to ask, in milliseconds
    #[arg(long, default_value_t = 1000, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(100..=3_600_000), requires = "watch")]
    pub(crate) interval: u64,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}
