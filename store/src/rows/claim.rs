//! Claims: what is asked for, what limits it, and what became of it.

use salt402_protocol::{Amount, B128, B256, ChainId, PaymentId, RequestDigest};

use crate::rows::account::NewCredit;

/// A payment, and the request that it is to be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewClaim {
    /// The payment.
    pub payment: PaymentId,
    /// Its chain.
    pub chain: ChainId,
    /// Its transaction.
    pub transaction: B256,
    /// The request that is to be granted. With `usage`, what the requests have in common.
    pub request: RequestDigest,
    /// Who claims. The same claimant with the same request gets the same claim again.
    pub claimant: String,
    /// Which process of the claimant asks. The claiming transaction checks it, so that only one of several processes
    /// runs what was paid for.
    pub holder: Holder,
    /// How many blocks must contain or follow the payment. 1 means its own block; 0 means the same. The claiming
    /// transaction checks it against the chain of that moment.
    pub confirmations: u64,
    /// What else must be true of the payer. The claiming transaction checks it.
    pub limits: ClaimLimits,
    /// Which of several requests this is. `None` if a payment pays for one request.
    pub usage: Option<NewUse>,
    /// What it buys, where that is a balance.
    pub credit: Option<Box<NewCredit>>,
    /// Now, in milliseconds since 1970 UTC.
    pub now_ms: u64,
}

/// What must be true of a payer before one of its payments is granted on. The default asks for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClaimLimits {
    /// How many blocks must contain or follow the payment while the payer has an open incident on its chain. 0 changes
    /// nothing; `u64::MAX` means never.
    pub after_loss: u64,
    /// How much may be granted to the payer on payments that are not final.
    pub exposure: Option<ExposureLimit>,
}

/// How much may be granted to one payer, in one asset of one chain, on payments that are not final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExposureLimit {
    /// The most, in base units, including the payment that is to be claimed.
    pub most: Amount,
    /// How many blocks must contain or follow a payment to make it final. Final payments do not count as exposure.
    pub final_at: u64,
}

/// One request of a payment that pays for several. The claim's own `request` is then what the requests have in common,
/// which the payment was quoted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewUse {
    /// The request that is to be granted. The same request is one use, however often it comes.
    pub request: RequestDigest,
    /// How many different requests the payment pays for; at least 1. The first use stores the number, and the stored
    /// one counts from then on.
    pub most: u32,
    /// Whether only an earlier use may be granted again, and no new one made.
    pub again_only: bool,
}

/// The result of a [`NewClaim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimResult {
    /// The payment is now used up for this request. That is on disk.
    First {
        /// When, in milliseconds since 1970 UTC.
        claimed_at_ms: u64,
    },
    /// The same claimant had claimed it for the same request.
    Again {
        /// When that was, in milliseconds since 1970 UTC.
        claimed_at_ms: u64,
    },
    /// The payment was claimed for another request or by another claimant, or a caller of the facilitator was told that it was
    /// settled.
    Taken,
    /// The same claimant has used the payment for as many other requests as it pays for.
    UsedUp {
        /// How many those are.
        uses: u64,
    },
    /// The payment is not on the chain: it never was, or its block left. This is checked first, so that a payment that
    /// is gone grants nothing, not even again.
    /// Its payee gave something of it back, or is about to: it buys nothing any more, also for whoever claimed it before.
    Refunded,
    /// It is not on the chain: never was, or its block left. Said before anything else, so that nothing is granted
    /// again on a payment that is gone.
    NotCanonical,
    /// The payment is unclaimed or claimed by this claimant. But another live process holds the claimant's name.
    HeldElsewhere(Lease),
    /// The payment is unclaimed, and its chain is halted until the operator acts. Whether the payment stays is not
    /// known.
    Halted,
    /// The payment has no claim in this database. But the database was restored from a backup, and the payment was
    /// mined before that: a claim that was made in between would be forgotten.
    BeforeRestore,
    /// The payment is unclaimed, and was to top up an account that there is not, or that takes no more.
    AccountClosed,
    /// The payment pays for several requests and was not used for this one, and no new use was wanted
    /// ([`NewUse::again_only`]).
    NotAgain,
    /// The payment is on the chain and not deep enough: for a claim, or for a further use of one.
    TooShallow {
        /// Its depth: 1 when the index stands at its block, 0 when that block is above a lower fork ([`Store::note_lower_fork`](crate::Store::note_lower_fork)).
        confirmations: u64,
    },
    /// The payment is unclaimed and would be deep enough, but its payer has an open incident.
    AfterLoss {
        /// Its depth.
        confirmations: u64,
    },
    /// The payment is unclaimed and deep enough, but too much was granted to its payer on payments that are not final.
    Exposed {
        /// Its depth.
        confirmations: u64,
        /// How much was granted, in base units.
        granted: Amount,
    },
}

/// A hold on a name, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub instance: B128,
    /// How often it was taken or renewed. While this number grows, the holder lives.
    pub renewals: u64,
}

/// Who asks under a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The instance that asks. `None` if the caller names none: it may use a name that nobody holds.
    pub instance: Option<B128>,
    /// A hold that counts no more, because it was not renewed for long enough.
    pub lapsed: Option<Lease>,
}

impl Holder {
    /// Whether a hold is another's, and counts.
    pub(crate) fn is_shut_out_by(&self, lease: &Lease) -> bool {
        Some(lease.instance) != self.instance && Some(*lease) != self.lapsed
    }
}
