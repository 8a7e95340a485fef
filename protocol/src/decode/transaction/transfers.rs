//! The transfers of tokens that a transaction logged, and which of them a payment has used up.

use std::collections::{BTreeSet, HashMap, HashSet};

use alloy_primitives::{Address, B256, LogData, U256};
use alloy_sol_types::SolEvent as _;

use crate::decode::foreign::IToken;
use crate::decode::log::{content_hash, is};
use crate::values::name::name;
use crate::values::network::ChainId;

/// A token's `Transfer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) token: Address,
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) value: U256,
}

/// A log with the signature of a transfer.
struct Logged {
    /// `None` where it does not decode.
    transfer: Option<Transfer>,
    /// How many equal logs stand before it.
    equal_before: u64,
}

pub(super) struct Transfers {
    /// By place, every log with the signature of a transfer, of whatever contract.
    logged: HashMap<usize, Logged>,
    /// For each place, the place of the nearest of them before it.
    nearest: Vec<Option<usize>>,
    used: HashSet<usize>,
    /// Those that are payments which count.
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

    /// The transfer at a place.
    pub(super) fn at(&self, place: usize) -> Option<Transfer> {
        self.logged.get(&place)?.transfer
    }

    /// The transfer that stands nearest before a log, used up or not: whoever logs right after it moved money means this
    /// one. A transfer of another contract in between means that it was not.
    pub(super) fn before(&self, place: usize) -> Option<(usize, Transfer)> {
        let before = (*self.nearest.get(place)?)?;
        Some((before, self.at(before)?))
    }

    pub(super) fn is_used(&self, place: usize) -> bool {
        self.used.contains(&place)
    }

    /// Uses a transfer up; `false` where a payment has done so.
    pub(super) fn use_up(&mut self, place: usize) -> bool {
        self.used.insert(place)
    }

    /// Uses up the transfer right before a log, if it is the one that the log tells of.
    pub(super) fn use_before(&mut self, place: usize, told: Transfer) -> Option<usize> {
        let (before, transfer) = self.before(place)?;
        (transfer == told && self.use_up(before)).then_some(before)
    }

    /// Says that a transfer is a payment that counts.
    pub(super) fn pay(&mut self, place: usize) {
        self.paid.insert(place);
    }

    /// Which tokens reached whom without a payment that counts: token and receiver.
    pub(super) fn unaccounted(&self) -> BTreeSet<(Address, Address)> {
        let unpaid = self.logged.iter().filter(|(place, _)| !self.paid.contains(place));
        unpaid
            .filter_map(|(_, logged)| logged.transfer)
            .filter(|moved| !moved.value.is_zero() && moved.from != moved.to)
            .map(|moved| (moved.token, moved.to))
            .collect()
    }

    /// The name of the movement that a transfer is.
    pub(super) fn movement(
        &self,
        chain: ChainId,
        transaction: B256,
        (token, content): (Address, &LogData),
        place: usize,
    ) -> B256 {
        let equal_before = self.logged.get(&place).map_or(0, |logged| logged.equal_before);
        let (content, nth) = (content_hash(content), equal_before.to_be_bytes());
        name("salt402-movement-v1", chain, token, &[transaction.as_slice(), content.as_slice(), &nth])
    }
}
