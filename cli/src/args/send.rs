//! How a transaction of the payee is sent, and the command line of `salt402 refund`.

use std::path::PathBuf;

use clap::Args as Group;
use salt402_protocol::B256;
use url::Url;

use crate::config_path::ConfigPath;

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
