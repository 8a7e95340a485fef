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
    /// The payment could not be prepared, so none was sent.
    #[error("nothing was paid, as the payment could not be prepared: {0}")]
    Wallet(#[source] NodeError),
    /// No node was named.
    #[error("no node is known to pay through: nothing was paid")]
    NoNode,
    /// There is no key to sign with.
    #[error("there is no key to pay with: nothing was paid")]
    NoKey,
    /// There is no limit to pay within.
    #[error("the server asks for payment, and no limit was given: nothing was paid")]
    NoLimit,
    /// The receipt of the payment could not be kept, so it was not sent.
    #[error("the payment's receipt cannot be written, so nothing was sent and nothing paid: {0}")]
    NotKept(#[source] std::io::Error),
    /// A receipt whose request cannot be sent.
    #[error("the receipt's request is none: its method or its address is wrong")]
    NoRequest,
    /// Another transaction of the account has the payment's nonce for good.
    #[error(
        "{transaction} paid nothing and never will: another transaction of the account took its place (nonce {nonce}) and \
         is final; the same request can be paid for anew"
    )]
    Replaced {
        /// The transaction that was to pay.
        transaction: B256,
        /// Its nonce.
        nonce: u64,
    },
    /// An answer longer than it may be.
    #[error(
        "the answer is longer than {most} bytes; the payment stays good, and a larger answer can be asked for"
    )]
    AnswerTooLong {
        /// The most that was allowed.
        most: u64,
    },
    /// The payment contract was not allowed to take the token.
    #[error("the approval {transaction} did not come through: {what}; nothing was paid")]
    Approval {
        /// The approval's transaction.
        transaction: B256,
        /// What happened to it.
        what: String,
    },
    /// Paid, or maybe paid, and not answered.
    #[error(
        "the payment {proof} is signed and was or may be made, and is not answered: {reason}; do not pay again, it stays \
         good: show the same proof again"
    )]
    Unanswered {
        /// What shows the payment.
        proof: Box<Proof>,
        /// What the server said last.
        reason: String,
    },
}
