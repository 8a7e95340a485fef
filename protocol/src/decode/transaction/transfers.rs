//! The `Transfer` logs of a transaction, and which of them belong to a payment.

use std::collections::{BTreeSet, HashMap, HashSet};

use alloy_primitives::{Address, B256, LogData, U256};
use alloy_sol_types::SolEvent as _;

use crate::decode::foreign::IToken;
use crate::decode::log::{content_hash, is};
use crate::values::id::hash_id;
use crate::values::network::ChainId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) token: Address,
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) value: U256,
}

/// A log with the signature of `Transfer`.
struct Logged {
    /// `None`: the log does not decode.
    transfer: Option<Transfer>,
    /// The number of equal logs before it.
    equal_before: u64,
}

pub(super) struct Transfers {
    /// By log index, every log with the signature of `Transfer`, of any contract.
    logged: HashMap<usize, Logged>,
    /// For each log index, the index of the nearest `Transfer` before it.
    nearest: Vec<Option<usize>>,
    used: HashSet<usize>,
    /// Transfers that belong to counted payments.
    paid: HashSet<usize>,
}

impl Transfers {
    pub(super) fn of(logs: &[(Address, &LogData)]) -> Self {
        let (mut logged, mut nearest) = (HashMap::new(), Vec::with_capacity(logs.len()));
        let mut equal: HashMap<(Address, &LogData), u64> = HashMap::new();
        let mut last = None;
        for (place, (token, content)) in logs.iter().enumerate() {
            nearest.push(last);
            if !is::<IToken::Transfer>(content) {
                continue;
            }
            let event = IToken::Transfer::decode_log_data_validate(content).ok();
            let transfer = event.map(|event| Transfer {
                token: *token,
                from: event.from,
                to: event.to,
                value: event.value,
            });
            let seen = equal.entry((*token, *content)).or_default();
            logged.insert(place, Logged { transfer, equal_before: *seen });
            *seen += 1;
            last = Some(place);
        }
        Self { logged, nearest, used: HashSet::new(), paid: HashSet::new() }
    }

    /// The transfer at a log index.
    pub(super) fn at(&self, place: usize) -> Option<Transfer> {
        self.logged.get(&place)?.transfer
    }

    /// The nearest transfer before a log, used or not. A contract that moves a token and then logs means this transfer.
    /// If another contract's transfer comes in between, there is no match.
    pub(super) fn before(&self, place: usize) -> Option<(usize, Transfer)> {
        let before = (*self.nearest.get(place)?)?;
        Some((before, self.at(before)?))
    }

    pub(super) fn is_used(&self, place: usize) -> bool {
        self.used.contains(&place)
    }

    /// Marks a transfer as used. `false`: another payment has used it.
    pub(super) fn use_up(&mut self, place: usize) -> bool {
        self.used.insert(place)
    }

    /// Uses the transfer directly before a log, if it equals the transfer that the log reports.
    pub(super) fn use_before(&mut self, place: usize, expected: Transfer) -> Option<usize> {
        let (before, transfer) = self.before(place)?;
        (transfer == expected && self.use_up(before)).then_some(before)
    }

    /// Marks a transfer as a counted payment.
    pub(super) fn pay(&mut self, place: usize) {
        self.paid.insert(place);
    }

    /// Token and receiver of each transfer that is no counted payment.
    pub(super) fn unaccounted(&self) -> BTreeSet<(Address, Address)> {
        let unpaid = self.logged.iter().filter(|(place, _)| !self.paid.contains(place));
        unpaid
            .filter_map(|(_, logged)| logged.transfer)
            .filter(|moved| !moved.value.is_zero() && moved.from != moved.to)
            .map(|moved| (moved.token, moved.to))
            .collect()
    }

    /// The id of the movement that a transfer makes.
    pub(super) fn movement(
        &self,
        chain: ChainId,
        transaction: B256,
        (token, content): (Address, &LogData),
        place: usize,
    ) -> B256 {
        let equal_before = self.logged.get(&place).map_or(0, |logged| logged.equal_before);
        let (content, nth) = (content_hash(content), equal_before.to_be_bytes());
        hash_id("salt402-movement-v1", chain, token, &[transaction.as_slice(), content.as_slice(), &nth])
    }
}
