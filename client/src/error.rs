//! Why a request was not paid or not answered.

use alloy_primitives::{Address, B256};
use salt402_chain::NodeError;
use salt402_protocol::details::DetailsError;
use salt402_protocol::{Amount, Asset, ChainId, Proof};

/// Why a request was not paid or not answered.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// The request to the server failed.
    #[error("the request to the server failed: {0}")]
    Http(#[source] reqwest::Error),
    /// The 402 has no payment details that this client knows.
    #[error("the server asks for payment, but sends no X-Payment-Details header")]
    NoDetails,
    /// The 402 contradicts itself.
    #[error(transparent)]
    Details(#[from] DetailsError),
    /// Several headers hold payment details.
    #[error("the server sent X-Payment-Details more than once: not paid")]
    TwoDetails,
    /// The price is above the limit.
    #[error("the server asks for {asked} base units, but the limit is {allowed}: not paid")]
    TooDear {
        /// The price.
        asked: Amount,
        /// The limit.
        allowed: Amount,
    },
    /// The 402 asks for another chain.
    #[error("the server asks for payment on {asked}, but the node is on {allowed}: not paid")]
    OtherChain {
        /// The chain in the 402.
        asked: ChainId,
        /// The allowed chain.
        allowed: ChainId,
    },
    /// The 402 asks for another asset.
    #[error("the server asks for payment in {asked}, but the limit is in {allowed}: not paid")]
    OtherAsset {
        /// The asset in the 402.
        asked: Asset,
        /// The allowed asset.
        allowed: Asset,
    },
    /// The 402 names another payment contract.
    #[error("the server asks for payment through {asked}, but only {allowed} is allowed: not paid")]
    OtherContract {
        /// The contract in the 402.
        asked: Address,
        /// The allowed contract.
        allowed: Address,
    },
    /// The 402 names another recipient.
    #[error("the server asks to pay {asked}, but only {allowed} is allowed: not paid")]
    OtherRecipient {
        /// The recipient in the 402.
        asked: Address,
        /// The allowed recipient.
        allowed: Address,
    },
    /// The quote would expire before the payment is mined.
    #[error("the quote expires in {left} s, too soon to pay it safely: ask again")]
    EndsTooSoon {
        /// The seconds until the quote expires.
        left: u64,
    },
    /// The payment contract's address has no code.
    #[error("there is no contract at {0} on this chain: money sent there would be lost; not paid")]
    NoContract(Address),
    /// The payment could not be prepared. Nothing was sent.
    #[error("nothing was paid, because the payment could not be prepared: {0}")]
    Wallet(#[source] NodeError),
    /// No node is configured.
    #[error("no node is configured: nothing was paid")]
    NoNode,
    /// No key is configured.
    #[error("no key is configured: nothing was paid")]
    NoKey,
    /// No limit is configured.
    #[error("the server asks for payment, but no limit is set: nothing was paid")]
    NoLimit,
    /// The receipt of the payment could not be stored, so the payment was not sent.
    #[error("the payment's receipt cannot be written, so nothing was paid: {0}")]
    NotKept(#[source] std::io::Error),
    /// The receipt's request is invalid.
    #[error("the receipt's request is invalid: its method or URL is wrong")]
    NoRequest,
    /// Another transaction of the account has finally used the payment's nonce.
    #[error(
        "{transaction} paid nothing and never will: another transaction of the account used its nonce ({nonce}) and is \
         final; the same request can be paid again"
    )]
    Replaced {
        /// The transaction of the payment.
        transaction: B256,
        /// The payment's nonce.
        nonce: u64,
    },
    /// The payment was not mined within its quote's time. It finally moved no money.
    #[error(
        "{transaction} paid nothing and never will: its quote ended at {deadline} (seconds since 1970 UTC), and the payment \
         contract refuses it since (DeadlinePassed); the same request can be paid again"
    )]
    DeadlinePassed {
        /// The transaction of the payment.
        transaction: B256,
        /// The deadline, in seconds since 1970 UTC.
        deadline: u64,
    },
    /// The payment was mined and finally reverted.
    #[error(
        "{transaction} paid nothing and never will: it was mined and reverted, before its deadline; look at the transaction for \
         the reason before you pay the same request again"
    )]
    Reverted {
        /// The transaction of the payment.
        transaction: B256,
    },
    /// The payment contract has no function with a deadline.
    #[error(
        "the contract at {0} has no function that pays until a deadline: it is not this version's SaltPay; nothing was sent, \
         because a payment that is mined after its quote would be lost; ask the operator to deploy the present SaltPay"
    )]
    NoDeadline(Address),
    /// The answer is longer than the limit.
    #[error("the answer is longer than {most} bytes; the payment stays good: ask again with a higher limit")]
    AnswerTooLong {
        /// The limit in bytes.
        most: u64,
    },
    /// The token allowance for the payment contract could not be set.
    #[error("the approval {transaction} failed: {what}; nothing was paid")]
    Approval {
        /// The transaction of the approval.
        transaction: B256,
        /// What happened to it.
        what: String,
    },
    /// The payment was or may have been made, and the request was not answered.
    #[error(
        "the payment {proof} was or may have been made, but the request was not answered: {reason}; do not pay again: \
         the payment stays good, so show the same proof again"
    )]
    Unanswered {
        /// The proof of the payment.
        proof: Box<Proof>,
        /// The server's last answer.
        reason: String,
    },
}
