//! What goes into a claim and comes out of it.

use salt402_chain::NodeError;
use salt402_protocol::edition::ChannelEdition;
use salt402_protocol::{Address, Amount, B256, Descriptor, U256, Voucher};

/// A channel, its last accepted voucher, and the accepted amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimable {
    /// The contract that holds the deposit.
    pub contract: Address,
    /// The channel's id in it.
    pub channel: B256,
    /// The channel's parameters.
    pub descriptor: Descriptor,
    /// The last accepted voucher. `None`: none was accepted. Such a channel can only be closed.
    pub voucher: Option<Voucher>,
    /// The total accepted over the channel's life, in base units. This total is claimed.
    pub spent: Amount,
}

/// Why nothing is done with a channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotClaimed {
    /// Everything accepted is claimed already, or the deposit is used up.
    #[error("nothing is left to claim: {claimed} of {spent} accepted base units are claimed")]
    Nothing {
        /// The claimed amount.
        claimed: Amount,
        /// The accepted amount.
        spent: Amount,
    },
    /// The amount is below the minimum.
    #[error("the claim would be {amount} base units, less than --min")]
    TooLittle {
        /// The amount that could be claimed.
        amount: Amount,
    },
    /// The contract knows no such open channel.
    #[error(
        "the channel is not open in the contract: it is closed, or its opening is not on the node's chain"
    )]
    NotOpen,
    /// The channel's payee is another account, and the key's may not act for it.
    #[error(
        "its payee is {payee}, and {account}, whose key was given, is neither the payee nor an operator of it: use \
         another key, or let the payee name this one with `salt402 channel operator set`"
    )]
    NotPayee {
        /// The channel's payee.
        payee: Address,
        /// The account of the given key.
        account: Address,
    },
    /// The contract would refuse the voucher, and the whole transaction with it.
    #[error("its voucher does not fit the channel: {0}")]
    Unsound(&'static str),
    /// The contract of the channel cannot do this for many.
    #[error("its contract is of the first edition, which closes no channels for this command: claim from it")]
    FirstEdition,
}

/// Why a transaction failed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The node did not answer, or did not take the transaction.
    #[error("nothing was sent: {0}")]
    Node(#[source] NodeError),
    /// The contract would refuse the call.
    #[error("nothing was sent, because the contract would refuse it: {0}")]
    Refused(#[source] NodeError),
    /// The contract does not answer like `SaltChannels`.
    #[error("{0} does not answer like SaltChannels: nothing was sent")]
    NoContract(Address),
    /// The node refused the transaction, and no block has it.
    #[error("the node did not take the transaction {transaction}: {error}")]
    NotTaken {
        /// The transaction's hash.
        transaction: B256,
        /// The node's error.
        #[source]
        error: NodeError,
    },
    /// The transaction was mined and reverted. The field is its hash.
    #[error("the transaction {0} reverted: it changed nothing")]
    Reverted(B256),
    /// The transaction was sent, and no block has it yet.
    #[error(
        "the transaction {transaction} was sent but is in no block after {seconds} s: it may still be mined"
    )]
    NotMined {
        /// The transaction's hash.
        transaction: B256,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl ClaimError {
    /// Whether the transaction may still be mined, or was mined without anyone knowing.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::NotTaken { .. } | Self::NotMined { .. })
    }
}

/// A mined transaction of many channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// The transaction's hash.
    pub transaction: B256,
    /// The height of the transaction's block.
    pub block_number: u64,
    /// The amount claimed from each channel, in base units.
    pub channels: Vec<(B256, Amount)>,
    /// The channels that were closed, with what went back to the payer of each, in base units.
    pub closed: Vec<(B256, Amount)>,
    /// The channels that the contract skipped, and why.
    pub skipped: Vec<(B256, &'static str)>,
    /// The part that could not be sent to the payee, in base units. The contract credits it to the payee.
    pub credited: Amount,
}

impl Claimed {
    /// The total claimed, in base units.
    pub fn amount(&self) -> Amount {
        sum(self.channels.iter().map(|(_, amount)| *amount))
    }
}

/// Why the contract would refuse a voucher in any state of the channel.
pub(super) fn refusal_reason(
    row: &Claimable,
    edition: ChannelEdition,
    chain: salt402_protocol::ChainId,
) -> Option<&'static str> {
    if edition.id(&row.descriptor, chain, row.contract) != Some(row.channel) {
        return Some("the channel's opening describes another channel");
    }
    let Some(voucher) = &row.voucher else {
        return (row.spent > Amount::ZERO).then_some("something was accepted, and no voucher is known");
    };
    if voucher.channel != row.channel {
        return Some("it is of another channel");
    }
    if row.spent > voucher.ceiling {
        return Some("the accepted amount exceeds the signed one");
    }
    let signer = voucher.signer_for(&row.descriptor, edition, chain, row.contract);
    if signer.is_none() || signer != row.descriptor.signer {
        return Some("it is not signed by the channel's key");
    }
    None
}

pub(super) fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    Amount(amounts.fold(U256::ZERO, |sum, amount| sum.saturating_add(amount.0)))
}
