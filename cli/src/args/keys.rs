//! The command line of `salt402 keys`.

use clap::{Args as Group, Subcommand};
use salt402_protocol::{AccountId, B256};

use crate::config_path::ConfigPath;

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make an API key, with what is in its balance, and print it once
    Create(KeysCreateArgs),
    /// List the accounts of API keys, by their ids
    List(KeysListArgs),
    /// Show all of one: its balance, its limits, and what happened to it
    Show(KeysShowArgs),
    /// Credit something to one
    TopUp(KeysTopUpArgs),
    /// Set what the key of one may do; what is left out is without a limit from then on
    Limit(KeysLimitArgs),
    /// Revoke the key of one: nothing is drawn of it any more
    ///
    /// What is in its balance stays there. `salt402 keys refund` takes it out.
    Revoke(KeysRevokeArgs),
    /// Take something out of a balance, before it is given back by `salt402 refund`
    ///
    /// What is taken out cannot be drawn any more. Nothing is sent. With --payment the account is blocked for that payment no more,
    /// after it was given back or has left the chain.
    Refund(KeysRefundArgs),
}

/// What a key may do.
#[derive(Debug, Group)]
pub(crate) struct KeyLimitArgs {
    /// How many requests a minute
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) per_minute: Option<u32>,
    /// How much a day (UTC), such as "1 SALT"
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) per_day: Option<String>,
    /// A model or service that it is for; again for more. Left out: all
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Vec<String>,
    /// A path that it is for, such as /v1/chat/completions; again for more. Left out: all
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Vec<String>,
    /// For how many days from now it is good
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) days: Option<u32>,
}

#[derive(Debug, Group)]
pub(crate) struct KeysCreateArgs {
    /// What is in its balance, such as "5 SALT"
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) amount: String,
    /// Whose it is, in words
    #[arg(long, default_value = "")]
    pub(crate) label: String,
    /// A plan of the configuration, whose limits it has where none are given here
    #[arg(long)]
    pub(crate) plan: Option<String>,
    #[command(flatten)]
    pub(crate) limits: KeyLimitArgs,
    /// Who makes it and why, for the record
    #[arg(long, default_value = "")]
    pub(crate) note: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct KeysListArgs {
    /// Only those after this one
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) after: Option<AccountId>,
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
pub(crate) struct KeysShowArgs {
    /// The account
    pub(crate) account: AccountId,
    /// How much of its history to show
    #[arg(long, default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) limit: u32,
    /// Print JSON, with amounts in base units
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct KeysTopUpArgs {
    /// The account
    pub(crate) account: AccountId,
    /// How much, such as "5 SALT"
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) amount: String,
    /// Who does it and why, for the record
    #[arg(long)]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct KeysLimitArgs {
    /// The account
    pub(crate) account: AccountId,
    #[command(flatten)]
    pub(crate) limits: KeyLimitArgs,
    /// Who does it and why, for the record
    #[arg(long)]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct KeysRevokeArgs {
    /// The account
    pub(crate) account: AccountId,
    /// Who does it and why, for the record
    #[arg(long)]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}

#[derive(Debug, Group)]
pub(crate) struct KeysRefundArgs {
    /// The account
    pub(crate) account: AccountId,
    /// How much is taken out, such as "5 SALT"; left out, all that is free
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) amount: Option<String>,
    /// The id of the payment that it was bought with
    #[arg(long, value_name = "ID")]
    pub(crate) payment: Option<B256>,
    /// Who does it and why, for the record
    #[arg(long)]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) at: ConfigPath,
}
