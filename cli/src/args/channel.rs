//! The command line of `salt402 channel`.

use clap::{Args as Group, Subcommand, ValueEnum};
use url::Url;

use crate::args::send::SendArgs;
use crate::config_path::ConfigPath;

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
