//! Claims: what is asked for, what limits it, and what became of it.

use salt402_protocol::{Amount, B128, B256, ChainId, PaymentId, RequestDigest};

/// A payment that is to be used up for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewClaim {
    /// The payment.
    pub payment: PaymentId,
    /// Its chain.
    pub chain: ChainId,
    /// Its transaction.
    pub transaction: B256,
    /// The request that is to be granted; with `usage`, what its requests have in common.
    pub request: RequestDigest,
    /// Who claims: the same name and the same request get the same claim again.
    pub claimant: String,
    /// Which process of the claimant asks. Checked in the same transaction: of several one runs what is paid for.
    pub holder: Holder,
    /// Blocks that must contain or follow the payment; 1 is its own block, and less is the same. Checked in the
    /// transaction that claims, against the chain as it is then.
    pub confirmations: u64,
    /// What else must hold of the payer. Checked in the same transaction.
    pub limits: ClaimLimits,
    /// Which of several requests this is; `None` where a payment pays for one.
    pub usage: Option<NewUse>,
    /// Now, in milliseconds since 1970 UTC.
    pub now_ms: u64,
}

/// What must hold of a payer before a payment of its is granted. The default asks for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClaimLimits {
    /// Blocks that must contain or follow the payment while the payer has an open incident on its chain; 0 makes no
    /// difference, `u64::MAX` is never.
    pub after_loss: u64,
    /// How much may be granted to the payer on payments that are not final.
    pub exposure: Option<ExposureLimit>,
}

/// How much may be granted to one payer, in one asset of one chain, on payments that are not final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExposureLimit {
    /// The most, in base units, the payment that is to be claimed among it.
    pub most: Amount,
    /// Blocks that must contain or follow a payment for it to be final; it is no exposure then.
    pub final_at: u64,
}

/// One of the requests that a payment for several requests pays for. The claim's own `request` is then what they have
/// in common, and what the payment was quoted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewUse {
    /// The request that is to be granted. The same request is one use, however often it comes.
    pub request: RequestDigest,
    /// How many different requests the payment pays for; at least 1. It is written down with the first, and what is
    /// written down counts from then on.
    pub most: u32,
    /// Whether only a use that was made before is to be given again, and none made.
    pub again_only: bool,
}

/// What became of a [`NewClaim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimResult {
    /// The payment is now used up for this request, and that is on disk.
    First {
        /// When, in milliseconds since 1970 UTC.
        claimed_at_ms: u64,
    },
    /// The same claimant had claimed it for the same request.
    Again {
        /// When that was, in milliseconds since 1970 UTC.
        claimed_at_ms: u64,
    },
    /// Another request, or another claimant, had claimed it.
    Taken,
    /// The same claimant had claimed it, for as many other requests as it pays for.
    UsedUp {
        /// How many those are.
        uses: u64,
    },
    /// Its payee gave something of it back, or is about to: it buys nothing any more, also for whoever claimed it before.
    Refunded,
    /// It is not on the chain: never was, or its block left. Said before anything else, so that nothing is granted
    /// again on a payment that is gone.
    NotCanonical,
    /// It is unclaimed or claimed by this claimant, but another live process holds the claimant's name.
    HeldElsewhere(Lease),
    /// It is unclaimed, and its chain is halted until the operator acts: whether the payment stays is not known.
    Halted,
    /// It has no claim in this database, but the database was put back from a backup and the payment was mined before
    /// that: a claim made in between would be forgotten.
    BeforeRestore,
    /// It is claimed for several requests and not for this one yet, and none was to be made ([`NewUse::again_only`]).
    NotAgain,
    /// It is unclaimed and on the chain, but not deep enough; or claimed for several requests, and not deep enough for a
    /// further one.
    TooShallow {
        /// Its depth: 1 when the index stands at its block, 0 when that block is above a lower fork ([`Store::note_lower_fork`](crate::Store::note_lower_fork)).
        confirmations: u64,
    },
    /// It is unclaimed and deep enough for others, but not while its payer has an open incident.
    AfterLoss {
        /// Its depth.
        confirmations: u64,
    },
    /// It is unclaimed and deep enough, but too much was granted to its payer on payments that are not final.
    Exposed {
        /// Its depth.
        confirmations: u64,
        /// How much was granted, in base units.
        granted: Amount,
    },
}

/// A hold on a name, as it stands at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub instance: B128,
    /// How often it was taken or renewed. While this grows, the holder lives.
    pub renewals: u64,
}

/// Who asks under a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The instance that asks. `None` of callers that tell none: they may use a name that nobody holds.
    pub instance: Option<B128>,
    /// A hold that was seen to stand still for long enough, and counts no more.
    pub lapsed: Option<Lease>,
}

impl Holder {
    /// Whether a hold is another's, and counts.
    pub(crate) fn is_shut_out_by(&self, lease: &Lease) -> bool {
        Some(lease.instance) != self.instance && Some(*lease) != self.lapsed
    }
}
