//! Why a request was not paid or not answered.

use alloy_primitives::{Address, B256};
use salt402_chain::NodeError;
use salt402_protocol::details::DetailsError;
use salt402_protocol::{Amount, Asset, ChainId, Proof};

/// Why a request was not paid or not answered.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// The server could not be asked.
    #[error("the server could not be asked: {0}")]
    Http(#[source] reqwest::Error),
    /// A 402 in a dialect that this client does not know.
    #[error("the server asks for payment, but sends no X-Payment-Details that this client can read")]
    NoDetails,
    /// A 402 that contradicts itself.
    #[error(transparent)]
    Details(#[from] DetailsError),
    /// The details came in more than one header.
    #[error("the server sent X-Payment-Details more than once: not paid")]
    TwoDetails,
    /// More than the limit.
    #[error("the server asks for {asked} base units, the limit is {allowed}: not paid")]
    TooDear {
        /// What is asked.
        asked: Amount,
        /// What is allowed.
        allowed: Amount,
    },
    /// Another chain than the one to pay on.
    #[error("the server wants to be paid on {asked}, the node is on {allowed}: not paid")]
    OtherChain {
        /// What is asked.
        asked: ChainId,
        /// What is allowed.
        allowed: ChainId,
    },
    /// Another asset.
    #[error("the server wants to be paid in {asked}, the limit is in {allowed}: not paid")]
    OtherAsset {
        /// What is asked.
        asked: Asset,
        /// What is allowed.
        allowed: Asset,
    },
    /// Another payment contract.
    #[error("the server wants to be paid through {asked}, allowed is {allowed}: not paid")]
    OtherContract {
        /// What is asked.
        asked: Address,
        /// What is allowed.
        allowed: Address,
    },
    /// Another recipient.
    #[error("the server wants {asked} to be paid, allowed is {allowed}: not paid")]
    OtherRecipient {
        /// What is asked.
        asked: Address,
        /// What is allowed.
        allowed: Address,
    },
    /// Somewhere on the way the quote would end before the payment is mined.
    #[error("the quote ends in {left} s, too soon to be paid safely: ask again")]
    EndsTooSoon {
        /// Seconds left.
        left: u64,
    },
    /// No contract at the address that is to be paid through.
    #[error("there is no contract at {0} on this chain: money sent there would be lost; not paid")]
    NoContract(Address),
    /// The payment was not sent.
    #[error("the payment was not sent: {0}")]
    Wallet(#[source] NodeError),
    /// The payment contract was not allowed to take the token.
    #[error("the approval {transaction} did not come through: {what}; nothing was paid")]
    Approval {
        /// The approval's transaction.
        transaction: B256,
        /// What happened to it.
        what: &'static str,
    },
    /// Paid, and not answered.
    #[error(
        "paid with {proof}, but not answered: {reason}; the payment stays good: show the same proof again"
    )]
    Unanswered {
        /// What shows the payment.
        proof: Box<Proof>,
        /// What the server said last.
        reason: String,
    },
}
