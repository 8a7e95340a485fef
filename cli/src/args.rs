//! The command line.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use salt402_protocol::B256;
use url::Url;

pub(crate) use crate::config_path::ConfigPath;
use crate::keys_args::KeysCommand;

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

#[derive(Debug, Subcommand)]
pub(crate) enum ChannelCommand {
    /// List the channels that pay this server, with what was deposited, claimed and accepted
    List(ChannelListArgs),
    /// Show all of one channel
    Show(ChannelShowArgs),
    /// Claim what was accepted by the last voucher of each channel, in as few transactions as fit
    ///
    /// The private key of the payee, or of an operator of it, comes from SALT402_KEY or from --key-file, never from an
    /// argument; the money goes to the payee. Works while the service runs and while it does not. What is left to claim is
    /// asked of the contract, so nothing is sent twice. The exit code is 0 also where --all finds nothing to claim.
    Claim(ChannelClaimArgs),
    /// Close channels: claim what was accepted, and let the rest go back to their payers at once
    ///
    /// The key is as for `claim`. No vouchers are taken of the channels from now on.
    Close(ChannelCloseArgs),
    /// Give some of what was claimed back to a channel's payer, without closing the channel
    ///
    /// The key is the payee's, and so is the money: coins or tokens of its account. The refund is written into the database before it
    /// is sent. The same command again goes on with it, and sends nothing twice. The exit code is 0 when it was mined, 1 when
    /// nothing was sent, 3 when it was sent and is in no block yet.
    Refund(ChannelRefundArgs),
    /// Have sent to the payee what could not be sent when it was claimed, and stands to its credit in the contract
    ///
    /// Any key will do, since the money goes to the payee alone. With --to it goes elsewhere, and the key is the payee's. The exit
    /// code is 0 also where there is no credit.
    Withdraw(ChannelWithdrawArgs),
    /// Say, or see, which accounts may claim and close for the payee
    #[command(subcommand)]
    Operator(OperatorCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Say for which of the payee's channels an account may claim and close; the key is the payee's
    Set(OperatorSetArgs),
    /// Show for which of the payee's channels accounts may claim and close, as the contract has it
    Show(OperatorShowArgs),
}

/// For which of the payee's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RightArg {
    /// Those that name the account as their operator. So it is of every account at first.
    Named,
    /// All of them.
    All,
    /// None of them.
    Revoked,
}

#[derive(Debug, Group)]
pub(crate) struct OperatorSetArgs {
    /// The account
    pub(crate) operator: String,
    /// For which channels
    #[arg(value_enum)]
    pub(crate) right: RightArg,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

#[derive(Debug, Group)]
pub(crate) struct OperatorShowArgs {
    /// Accounts to look up beside those of `operators` in the configuration
    #[arg(value_name = "OPERATOR")]
    pub(crate) operators: Vec<String>,
    /// Whose operators; left out, those of the payee of [payment]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) payee: Option<String>,
    /// The node that is asked; left out, the first of the chain's
    #[arg(long, env = "SALT402_RPC_URL", value_name = "URL")]
    pub(crate) rpc: Option<Url>,
    /// The chain's name in the configuration; needed where there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct ChannelCloseArgs {
    /// Their identifiers
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<String>,
    /// Close none of them, and take vouchers of them again after a close that was not sent, or failed
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) give_up: bool,
    /// Close them although requests are under way: what these use is not claimed
    #[arg(long, conflicts_with = "give_up")]
    pub(crate) despite_requests: bool,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

#[derive(Debug, Group)]
pub(crate) struct ChannelRefundArgs {
    /// The channel's identifier
    pub(crate) id: String,
    /// How much: an amount such as "0.01 SALT", or a whole number of base units
    pub(crate) amount: String,
    /// Give back once more, where something was given back before
    #[arg(long)]
    pub(crate) again: bool,
    /// Give back though it is not certain that nothing was given back before
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

#[derive(Debug, Group)]
pub(crate) struct ChannelWithdrawArgs {
    /// Tokens to look for credit in, beside the native coin and the token of [payment]
    #[arg(value_name = "TOKEN")]
    pub(crate) tokens: Vec<String>,
    /// Whose credit; left out, that of the payee of [payment]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) payee: Option<String>,
    /// Send it here instead of to the payee
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

#[derive(Debug, Group)]
pub(crate) struct ChannelListArgs {
    /// The chain's name in the configuration; needed where there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,
    /// List the channels that pay others too
    #[arg(long)]
    pub(crate) all: bool,
    /// The most to list
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    pub(crate) limit: u32,
    /// List what follows this channel, the last of the page before
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
    /// Print one JSON array, with amounts in base units
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct ChannelShowArgs {
    /// The channel's identifier
    pub(crate) id: String,
    /// The chain's name in the configuration; needed where there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,
    /// Print JSON, with amounts in base units
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct ChannelClaimArgs {
    #[command(flatten)]
    pub(crate) which: ClaimedChannels,
    /// Leave channels that bring less: an amount such as "0.01 SALT", or a whole number of base units
    #[arg(long, value_name = "AMOUNT", default_value = "1")]
    pub(crate) min: String,
    /// With --all, claim from so many channels at the most: those that bring the most
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<u32>,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

/// How a transaction of the payee is sent.
#[derive(Debug, Group)]
pub(crate) struct SendArgs {
    /// Say what would be done, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// A file with the private key in hexadecimal, instead of SALT402_KEY
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The node that takes the transaction; left out, the first of the chain's, and for refunds all of them
    #[arg(long, env = "SALT402_RPC_URL", value_name = "URL")]
    pub(crate) rpc: Option<Url>,
    /// How long to wait for each transaction to be mined, in seconds
    #[arg(long, alias = "patience", default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// The chain's name in the configuration; needed where there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) chain: Option<String>,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

/// The channels to claim from.
#[derive(Debug, Group)]
#[group(required = true, multiple = false)]
pub(crate) struct ClaimedChannels {
    /// Their identifiers
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Every channel that a voucher was accepted of
    #[arg(long)]
    pub(crate) all: bool,
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

#[derive(Debug, Group)]
pub(crate) struct RefundArgs {
    /// The hash of the transaction that paid, with `:<place>` where it holds several payments; or the payment's reference
    #[arg(value_name = "HASH")]
    pub(crate) payment: String,
    /// How much: an amount such as "0.01 SALT", or a whole number of base units; left out, what of it was not given back yet
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) amount: Option<String>,
    /// Give back once more, where a part was given back before
    #[arg(long)]
    pub(crate) again: bool,
    /// Give back though it is more than was paid, or the payment is not final, or others have its reference, or it is not
    /// certain that nothing was given back before
    #[arg(long)]
    pub(crate) force: bool,
    /// Send nothing, and write down that this refund, which another machine sent and whose block left the chain, will never be
    /// mined again
    #[arg(long, value_name = "TRANSACTION", conflicts_with_all = ["amount", "again", "dry_run"])]
    pub(crate) void: Option<B256>,
    #[command(flatten)]
    pub(crate) send: SendArgs,
}

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

#[derive(Debug, Group)]
pub(crate) struct PayArgs {
    /// What to request
    #[arg(required_unless_present = "resume")]
    pub(crate) url: Option<Url>,
    /// The most to pay, such as "0.01 SALT" or a whole number of base units
    #[arg(long, value_name = "AMOUNT", required_unless_present = "resume")]
    pub(crate) max: Option<String>,
    /// The request's body, as JSON; @FILE reads a file, @- standard input
    #[arg(long, short, value_name = "JSON")]
    pub(crate) data: Option<String>,
    /// The request's method; POST where there is a body, else GET
    #[arg(long, short = 'X')]
    pub(crate) method: Option<String>,
    /// A file with the payer's private key in hexadecimal, instead of SALT402_KEY
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The network to pay on
    #[arg(long, default_value = "citrate", value_name = "NAME")]
    pub(crate) network: String,
    /// Nodes of that network, with commas between them: the first is asked first, a payment that it does not confirm is sent
    /// through the others too; left out, the network's public one
    #[arg(long, env = "SALT402_RPC_URL", value_name = "URL", value_delimiter = ',')]
    pub(crate) rpc: Vec<Url>,
    /// Pay only with this ERC-20 token instead of the native coin; --max is then in base units
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) token: Option<String>,
    /// Pay only this recipient
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) recipient: Option<String>,
    /// Pay only through this contract
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) contract: Option<String>,
    /// How long to go on showing the proof, in seconds
    #[arg(long, alias = "patience", default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// Show the proof of a payment made before, and pay nothing
    #[arg(long, value_name = "HASH", requires = "quote")]
    pub(crate) proof: Option<String>,
    /// The quote id of that payment
    #[arg(long, value_name = "ID", requires = "proof")]
    pub(crate) quote: Option<String>,
    /// Where to keep the payment's receipt, which is written before the payment is sent; left out, in the folder of receipts
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
    /// The folder of receipts; left out, salt402/receipts in XDG_STATE_HOME or ~/.local/state
    #[arg(long, env = "SALT402_RECEIPTS", value_name = "FOLDER")]
    pub(crate) receipts: Option<PathBuf>,
    /// Go on with a receipt: show its payment until it is answered, and pay nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "max", "data", "method", "key_file", "token",
        "recipient", "contract", "proof", "receipt", "again"])]
    pub(crate) resume: Option<PathBuf>,
    /// Pay anew, though the same request was paid for and its answer was not got
    #[arg(long)]
    pub(crate) again: bool,
    /// Write the answer to a file, which is there as a whole or not at all, instead of to standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The longest answer to take, in MiB; a longer one stays paid
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    pub(crate) max_answer_mib: u64,
    /// Print what it cost and how long each step took as JSON on standard error
    #[arg(long)]
    pub(crate) json: bool,
}
