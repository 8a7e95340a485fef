//! The parts of a verifier, which its clones share.

use std::collections::BTreeMap;

use salt402_indexer::{Deployment, ReceiptLookup};
use salt402_protocol::{ChainId, Code, Problem, QuoteKeys};
use salt402_store::Store;
use tokio::sync::{Semaphore, watch};

use crate::incidents::replays::ReplayLog;
use crate::verify::account_limits::Accounts;
use crate::verify::claimant_lease::ClaimantLeases;
use crate::verify::freshness::Freshness;
use crate::verify::key_rates::KeyRates;
use crate::verify::policy::{ChainPolicy, Policy};
use salt402_store::IndexChanges;

/// A chain on which payments are verified.
pub struct VerifierChain {
    /// What is accepted on it.
    pub policy: ChainPolicy,
    /// How its index is doing.
    pub freshness: Freshness,
    /// Looks up payments that the index does not know.
    pub lookup: ReceiptLookup,
    /// Whether what is to be paid through is on it.
    pub deployment: watch::Receiver<Deployment>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    /// The keys that authenticate quotes.
    pub(crate) keys: QuoteKeys,
    pub(crate) accounts: Accounts,
    /// How often each API key is used.
    pub(crate) key_rates: KeyRates,
    pub(crate) policy: Policy,
    pub(crate) chains: BTreeMap<ChainId, VerifierChain>,
    pub(crate) changes: IndexChanges,
    /// One permit per request that may wait.
    pub(crate) waiters: Semaphore,
    /// One permit per waiting request that looks again at once.
    pub(crate) rechecks: Semaphore,
    pub(crate) replays: ReplayLog,
    pub(crate) leases: ClaimantLeases,
    /// The version told by `/v1/status`.
    pub(crate) version: String,
}

impl Inner {
    pub(crate) fn chain(&self, chain: ChainId) -> Result<&VerifierChain, Problem> {
        self.chains.get(&chain).ok_or_else(|| {
            let known: Vec<_> = self.chains.keys().map(ToString::to_string).collect();
            Problem::new(
                Code::UnknownChain,
                format!("{chain} is not followed here; known: {}", known.join(", ")),
            )
        })
    }

    /// The policies of the chains.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &ChainPolicy> {
        self.chains.values().map(|chain| &chain.policy)
    }

    /// Requests that wait for a payment.
    pub(crate) fn waiting(&self) -> u64 {
        self.policy.max_waiting.saturating_sub(self.waiters.available_permits()) as u64
    }
}
