//! The state while a transaction is decoded: payments, used transfers, and unmatched logs.

use std::collections::{BTreeMap, HashSet};

use alloy_primitives::{Address, B256, LogData};

use crate::decode::permit2::Call;
use crate::decode::source::Source;
use crate::decode::transaction::transfers::Transfers;
use crate::payment::{Ambiguity, Payment, PaymentId};
use crate::values::id::hash_id;
use crate::values::network::ChainId;

/// A transaction with all its logs.
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a> {
    /// The transaction's hash.
    pub transaction: B256,
    /// Every log of the receipt, in order, of every contract.
    pub logs: &'a [(Address, &'a LogData)],
    /// The call, if [`needs_call`](super::needs_call) asks for it.
    pub call: Option<Call<'a>>,
}

pub(super) struct Found {
    pub(super) place: usize,
    pub(super) payment: Payment,
    pub(super) movement: B256,
}

pub(super) struct Reader<'a> {
    pub(super) chain: ChainId,
    pub(super) sources: &'a [Source],
    pub(super) whole: Whole<'a>,
    pub(super) transfers: Transfers,
    ids: HashSet<PaymentId>,
    pub(super) found: Vec<Found>,
    /// By log index, why a log cannot be matched. Independent of the order of the sources.
    unmatched: BTreeMap<usize, &'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(chain: ChainId, sources: &'a [Source], whole: Whole<'a>) -> Self {
        Self {
            chain,
            sources,
            whole,
            transfers: Transfers::of(whole.logs),
            ids: HashSet::new(),
            found: Vec::new(),
            unmatched: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, place: usize, transfer: usize, payment: Payment) {
        // A token that reports the same nonce twice is not believed the second time.
        if self.ids.insert(payment.id) {
            let log = self.whole.logs[transfer];
            let movement = self.transfers.movement(self.chain, self.whole.transaction, log, transfer);
            self.transfers.pay(transfer);
            self.found.push(Found { place, payment, movement });
        }
    }

    /// Records a log that may be a payment but cannot be matched.
    pub(super) fn add_unmatched(&mut self, place: usize, reason: &'static str) {
        self.unmatched.insert(place, reason);
    }

    pub(super) fn ambiguities(&self) -> Vec<Ambiguity> {
        self.unmatched.iter().map(|(place, reason)| self.ambiguity(*place, reason)).collect()
    }

    fn ambiguity(&self, place: usize, reason: &'static str) -> Ambiguity {
        let (contract, transaction) = (self.whole.logs[place].0, self.whole.transaction);
        let nth = self.whole.logs[..place].iter().filter(|log| log.0 == contract).count() as u64;
        let parts = [transaction.as_slice(), &nth.to_be_bytes()];
        Ambiguity {
            id: hash_id("salt402-ambiguity-v1", self.chain, contract, &parts),
            transaction,
            contract,
            reason,
        }
    }
}
