//! The contracts whose events are followed.

use alloy_primitives::{Address, B256};
use alloy_sol_types::SolEvent;

use crate::contracts::ISaltPay;

/// A contract that is followed: which, what it is, and since when there may be something to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Whose events count.
    pub contract: Address,
    /// How its events are read.
    pub kind: SourceKind,
    /// The first block that may hold one of them.
    pub start_block: u64,
}

/// How a contract's events are read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceKind {
    /// `SaltPay`: each `Payment` event is a payment.
    SaltPay,
}

impl Source {
    /// The signatures of the events that are asked for, as first topics.
    pub fn events(&self) -> Vec<B256> {
        match self.kind {
            SourceKind::SaltPay => vec![ISaltPay::Payment::SIGNATURE_HASH],
        }
    }
}
