//! The command line of `salt402 pay`.

use std::path::PathBuf;

use clap::Args as Group;
use url::Url;

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
