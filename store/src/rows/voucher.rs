//! Vouchers: what is asked for, what became of it, and what was accepted of a channel.

use salt402_protocol::{
    Address, Amount, Asset, B256, ChainId, Descriptor, PaymentId, RequestDigest, Voucher,
};

use crate::rows::account::NewCredit;
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
    /// The asset that the channel must have.
    pub asset: Asset,
    /// What the request costs, in base units; with `by_use`, the most that it may cost.
    pub price: Amount,
    /// Whether what was used is charged afterwards, by [`Store::capture`](crate::Store::capture). Until then the price is reserved, and
    /// nothing of it can be claimed.
    pub by_use: bool,
    /// With `by_use`, how much it must allow at least, in base units: then the grant is over what it allows, up to the price. `None`: it
    /// must allow all of the price.
    pub at_least: Option<Amount>,
    /// The grant that it raises. `None`: it is for a grant of its own.
    pub raises: Option<PaymentId>,
    /// The request that is to be granted.
    pub request: RequestDigest,
    /// Who claims. The same claimant with the same request gets the same grant again.
    pub claimant: String,
    /// Which process of the claimant asks.
    pub holder: Holder,
    /// How many blocks must contain or follow the deposits that cover the voucher.
    pub confirmations: u64,
    /// The same while the payer has an open incident over a lost payment. 0 changes nothing; `u64::MAX` means never.
    pub after_loss: u64,
    /// The channel must have been opened at this time or later for a new grant, in seconds since 1970 UTC. 0 allows any
    /// time.
    pub opened_from: u64,
    /// The operators that the channel may name for a new grant. It may always name none.
    pub operators: Vec<Address>,
    /// The shortest exit delay that a channel may have for a new grant, in seconds. 0 allows any.
    pub least_exit_delay: u64,
    /// By how much the newest block may be older than the index, or ahead of the clock, in milliseconds. `None` on a
    /// chain that makes blocks only for transactions: there, an old block says nothing.
    pub late_ms: Option<u64>,
    /// What it buys, where that is a balance.
    pub credit: Option<Box<NewCredit>>,
    /// Now, in milliseconds since 1970 UTC.
    pub now_ms: u64,
}

/// The result of a [`NewVoucher`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoucherResult {
    /// The voucher pays for the request. `first` is true once, and then the grant is on disk.
    Granted(Box<VoucherGrant>),
    /// No block of the chain holds the channel's opening: not yet, or no more.
    UnknownChannel,
    /// The channel is of this contract, of which nothing new is granted any more.
    PastContract(Address),
    /// The channel names this operator, which is not ours and could close it without a voucher.
    StrangeOperator(Address),
    /// The channel names no signing key, so its payer could later deny what it signed.
    NoSigner,
    /// The channel's vouchers are signed by another.
    WrongSigner(Address),
    /// The channel pays another.
    WrongPayee(Address),
    /// The channel is in another asset.
    WrongAsset(Asset),
    /// The channel's exit delay, in seconds, is shorter than the operator accepts.
    LeavesTooSoon(u64),
    /// Another live process holds the claimant's name.
    HeldElsewhere(Lease),
    /// It was to top up an account that there is not, or that takes no more.
    AccountClosed,
    /// The chain is halted until the operator acts.
    Halted,
    /// The channel was opened before the database was restored from a backup. How much of it was used since the backup
    /// is not known.
    BeforeRestore,
    /// The channel was opened before [`NewVoucher::opened_from`].
    BeforeDatabase,
    /// The channel is closed.
    Closed,
    /// The payee is about to close it.
    Closing,
    /// The payer may have left the channel, and the index may not know it yet.
    NotCurrent(NotCurrent),
    /// The payer can leave at this time, in seconds since 1970 UTC.
    Exiting(u64),
    /// The voucher is for more than the channel's deposit, which is this much, in base units.
    AboveDeposit(Amount),
    /// The deposits cover it, and are not deep enough.
    TooShallow {
        /// The depth of the channel's opening: 1 when the index stands at its block.
        confirmations: u64,
        /// How many are needed.
        needed: u64,
    },
    /// Such a voucher was accepted before, for another request.
    Used(VoucherAccount),
    /// The voucher's ceiling is not above that of the last one, or not by as much as the price.
    TooLow(VoucherAccount),
    /// The same of one that need not allow all of the price.
    AllowsTooLittle {
        /// What was accepted of the channel.
        account: Box<VoucherAccount>,
        /// How much more it must allow at least, in base units.
        more: Amount,
    },
    /// It was to raise a grant on a voucher of this channel.
    OtherChannel(B256),
    /// It was to raise what is no grant under way that vouchers raise.
    NotUnderWay,
}

/// Why the stored state of a channel may be out of date. Time or the operator ends each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCurrent {
    /// The index was at its node's head too long ago, or nobody knows when.
    Old {
        /// How long ago, in milliseconds. `None` if it never was, or if the clock was set back since.
        age_ms: Option<u64>,
        /// The longest time that is accepted for this channel, in milliseconds.
        most_ms: u64,
    },
    /// The node answers and shows no recent block. It may have lost touch with its chain.
    StandsStill {
        /// The age of the newest indexed block by its own time, in milliseconds. `None` if the time is not known or is
        /// ahead of the clock.
        age_ms: Option<u64>,
        /// The longest time that is accepted for this channel, in milliseconds.
        most_ms: u64,
    },
    /// The index is this many blocks behind its node's head and is catching up.
    Behind(u64),
    /// Some of these blocks were not read yet for the channel's contract, which was added later.
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
    /// The most that requests under way may cost together, of which it is not known yet what was used.
    pub reserved: Amount,
}

impl VoucherAccount {
    /// What cannot be used for another request: what was spent and what is reserved.
    pub fn used(&self) -> Amount {
        Amount(self.spent.0.saturating_add(self.reserved.0))
    }
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
    /// When it was made, in milliseconds since 1970 UTC. `None` if it was only looked at and not made.
    pub claimed_at_ms: Option<u64>,
    /// What the request cost, in base units; with `by_use`, the most that it may cost.
    pub price: Amount,
    /// Whether what was used is charged afterwards.
    pub by_use: bool,
    /// What the request may cost at the most, in base units, where further vouchers may raise the price. `None`: nothing raises it.
    pub most: Option<Amount>,
    /// The account after it.
    pub account: VoucherAccount,
    /// The channel.
    pub descriptor: Descriptor,
    /// Where the channel was opened.
    pub opening: Opening,
    /// Everything that was ever deposited, as far as the index knows, in base units.
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
    /// The time of its block, in seconds since 1970 UTC. 0 if it is not known.
    pub block_timestamp: u64,
    /// Blocks that contain or follow it. 0 while it is above a lower fork
    /// ([`Store::note_lower_fork`](crate::Store::note_lower_fork)).
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
    /// Accepted and not yet claimed, in channels that are open, in base units.
    pub unclaimed: Amount,
    /// Accepted, and may never be paid, in base units.
    pub at_risk: Amount,
    /// The number of these channels.
    pub channels_at_risk: u64,
}

/// What something adds to the totals: an asset, and an amount of it.
pub(crate) type Share = (Asset, Amount);
