//! Vouchers: what is asked for, what became of it, and what was accepted of a channel.

use salt402_protocol::{
    Address, Amount, Asset, B256, ChainId, Descriptor, PaymentId, RequestDigest, Voucher,
};

use crate::rows::block::Stretch;
use crate::rows::claim::{Holder, Lease};

/// A voucher that is to pay for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVoucher {
    /// The chain of its channel.
    pub chain: ChainId,
    /// The contract whose vouchers are taken.
    pub contract: Address,
    /// Contracts whose vouchers were taken before, each with who signed this one if its channel is there.
    pub past: Vec<(Address, Address)>,
    /// The voucher.
    pub voucher: Voucher,
    /// Whose key signed it, as its signature says.
    pub signer: Address,
    /// Who must be able to claim from the channel.
    pub payee: Address,
    /// What the channel must be in.
    pub asset: Asset,
    /// What the request costs, in base units.
    pub price: Amount,
    /// The request that is to be granted.
    pub request: RequestDigest,
    /// Who claims: the same name and the same request get the same grant again.
    pub claimant: String,
    /// Which process of the claimant asks.
    pub holder: Holder,
    /// Blocks that must contain or follow the deposits that cover the voucher.
    pub confirmations: u64,
    /// The same while the payer has an open incident over a lost payment; 0 makes no difference, `u64::MAX` is never.
    pub after_loss: u64,
    /// When the channel must have been opened at the earliest for a new grant, in seconds since 1970 UTC; 0 for ever.
    pub opened_from: u64,
    /// Who may be named by the channel as its operator for a new grant. None is always right.
    pub operators: Vec<Address>,
    /// The least exit delay that the channel must have for a new grant, in seconds; 0 for any.
    pub least_exit_delay: u64,
    /// By how much the newest block may be older than the index itself, and ahead of the clock, in milliseconds. `None`
    /// where blocks come only when there is something to put into them, so that an old one says nothing.
    pub late_ms: Option<u64>,
    /// Now, in milliseconds since 1970 UTC.
    pub now_ms: u64,
}

/// What became of a [`NewVoucher`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoucherResult {
    /// It pays for the request. `first` is true once, and then it is on disk.
    Granted(Box<VoucherGrant>),
    /// Nothing of the channel's opening is on the chain: not yet, or no more.
    UnknownChannel,
    /// The channel is of this contract, of which nothing new is granted any more.
    PastContract(Address),
    /// The channel names this operator, which is not ours and could close it without a voucher.
    StrangeOperator(Address),
    /// The channel names no key, so its payer can change its mind about what it signed.
    NoSigner,
    /// The channel's vouchers are signed by another.
    WrongSigner(Address),
    /// The channel pays another.
    WrongPayee(Address),
    /// The channel is in another asset.
    WrongAsset(Asset),
    /// The channel's exit delay, which is so many seconds, is shorter than the operator takes.
    LeavesTooSoon(u64),
    /// Another live process holds the claimant's name.
    HeldElsewhere(Lease),
    /// The chain is halted until the operator acts.
    Halted,
    /// The channel was opened before the database was restored from a backup: what was used of it since the backup was
    /// taken is not known.
    BeforeRestore,
    /// The channel was opened before [`NewVoucher::opened_from`].
    BeforeDatabase,
    /// The channel is closed.
    Closed,
    /// The payee is about to close it.
    Closing,
    /// The payer may have left by something that is not in the index yet.
    NotCurrent(NotCurrent),
    /// The payer leaves at this time, in seconds since 1970 UTC, or later.
    Exiting(u64),
    /// More is signed than is in the channel, which is so much, in base units.
    AboveDeposit(Amount),
    /// The deposits cover it, and are not deep enough.
    TooShallow {
        /// The channel's depth: 1 when the index stands at the block of its opening.
        confirmations: u64,
        /// How many are needed.
        needed: u64,
    },
    /// Such a voucher was accepted before, for another request.
    Used(VoucherAccount),
    /// Its ceiling is not above that of the last one, or not by the price.
    TooLow(VoucherAccount),
}

/// Why what is stored of a channel may not be how it stands. Time, or the operator, ends each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCurrent {
    /// The index was last known to stand at its node's head too long ago, or that is not known.
    Old {
        /// How long ago, in milliseconds; `None` where it was never, or the clock was set back since.
        age_ms: Option<u64>,
        /// The most that is taken of this channel, in milliseconds.
        most_ms: u64,
    },
    /// The node is heard of, and shows no block that is young enough: it may have lost touch with its chain.
    StandsStill {
        /// How old the newest block of the index is by its own time, in milliseconds; `None` where that is not known, or is
        /// ahead of the clock.
        age_ms: Option<u64>,
        /// The most that is taken of this channel, in milliseconds.
        most_ms: u64,
    },
    /// The index is so many blocks behind its node's head, and catches up.
    Behind(u64),
    /// Not all of these blocks was read for the channel's contract, which was followed later than they were.
    Unread(Stretch),
    /// The index does not follow the channel's contract.
    NotFollowed,
}

/// What was accepted and used of a channel, in base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoucherAccount {
    /// The highest ceiling that was accepted.
    pub ceiling: Amount,
    /// What the requests so far cost together.
    pub spent: Amount,
}

/// A grant on a voucher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherGrant {
    /// Its name.
    pub payment: PaymentId,
    /// The contract of its channel.
    pub contract: Address,
    /// Whether it was made now.
    pub first: bool,
    /// When it was made, in milliseconds since 1970 UTC; `None` where none was made, because none was asked for.
    pub claimed_at_ms: Option<u64>,
    /// What the request cost, in base units.
    pub price: Amount,
    /// The account after it.
    pub account: VoucherAccount,
    /// The channel.
    pub descriptor: Descriptor,
    /// Where the channel was opened.
    pub opening: Opening,
    /// All that was ever deposited, as the index has it, in base units.
    pub deposit: Amount,
}

/// Where a channel was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The transaction.
    pub transaction: B256,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// The time of its block, in seconds since 1970 UTC; 0 where that is not known.
    pub block_timestamp: u64,
    /// Blocks that contain or follow it; 0 while it is above a lower fork ([`Store::note_lower_fork`](crate::Store::note_lower_fork)).
    pub confirmations: u64,
}

/// A channel's last voucher and its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherRow {
    /// The contract.
    pub contract: Address,
    /// The last voucher, which has the highest ceiling.
    pub voucher: Voucher,
    /// The account.
    pub account: VoucherAccount,
}

/// What was accepted by vouchers on a chain, in one asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoucherTotals {
    /// The asset.
    pub asset: Asset,
    /// What was accepted and not claimed, of channels that are open, in base units.
    pub unclaimed: Amount,
    /// What of all that was accepted may not be paid any more, in base units.
    pub at_risk: Amount,
    /// How many channels that is of.
    pub channels_at_risk: u64,
}

/// What something adds to the totals: an amount in an asset.
pub(crate) type Share = (Asset, Amount);
