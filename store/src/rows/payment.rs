//! Payments as they are read: what a transaction paid, where, and whether it was used.

use salt402_protocol::{Amount, B256, ChainId, Payment, RequestDigest};

use crate::rows::block::Stand;

/// A transaction.
pub(crate) type Key = (ChainId, B256);

/// A payment and the block it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedPayment {
    /// The payment.
    pub payment: Payment,
    /// Its position among the payments of its transaction, in the order of their logs.
    pub position: u32,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// The time of its block, in seconds since 1970 UTC.
    pub block_timestamp: u64,
}

/// A payment as the index knows it, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedPayment {
    /// The payment and its block.
    pub placed: PlacedPayment,
    /// Whether its block is on the chain.
    pub canonical: bool,
    /// Blocks that contain or follow it: 1 when the index stands at its block. 0 if that block left the chain or is
    /// above a lower fork ([`Store::note_lower_fork`](crate::Store::note_lower_fork)).
    pub confirmations: u64,
    /// Its claim. A payment has at most one claim, in whatever block it is. All rows of the payment show it.
    pub claim: Option<ClaimRow>,
    /// What its payee gave back for its reference, in base units; `None` if nothing was, and nothing is on its way. Zero: it is
    /// on its way, or its block left the chain.
    pub refunded: Option<Amount>,
}

/// Who used a payment up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRow {
    /// The request that was granted.
    pub request: RequestDigest,
    /// Who claimed.
    pub claimant: String,
    /// When, in milliseconds since 1970 UTC.
    pub claimed_at_ms: u64,
}

/// The payments of a transaction, and where the index stood when they were read. Without payments, where the index
/// stood is not told.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) payments: Vec<IndexedPayment>,
    pub(crate) stand: Stand,
}
