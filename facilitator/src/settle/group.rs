//! Which settlements go together in one transaction, and which go alone.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use salt402_chain::Call;
use salt402_store::SettlementRow;

use crate::authorization::Method;
use crate::settle::kept::Kept;
use crate::settle::task::{Task, Trouble};

/// What Multicall3 itself needs, in gas.
pub(super) const TOGETHER_GAS: u64 = 50_000;

/// A settlement that can be sent.
pub(super) struct Ready {
    pub(super) row: SettlementRow,
    pub(super) kept: Kept,
    pub(super) call: Call,
    /// The gas that it needs alone.
    pub(super) alone: u64,
    /// The gas limit that it needs.
    pub(super) gas: u64,
}

impl Ready {
    /// Whether it may go with others. An account with code can make a call fail or expensive after it was asked for its gas,
    /// and so does nothing to others.
    fn is_sociable(&self) -> bool {
        let authorization = &self.kept.authorization;
        matches!(authorization.method, Method::Eip3009 { .. } | Method::Permit2Exact { .. })
            && authorization.deployment().is_none()
            && !self.kept.payer_has_code
            && self.row.slots == 0
    }

    /// Whether two can be in one transaction: what the logs show must be of one of them only, and the index reads calls of one
    /// kind best.
    fn goes_with(&self, other: &Self) -> bool {
        let moves = |ready: &Self| {
            let claimed = &ready.row.claimed;
            (claimed.token, claimed.payer, claimed.payee, claimed.charge)
        };
        self.row.claimed.method == other.row.claimed.method && moves(self) != moves(other)
    }
}

impl Task {
    /// Which of them go together. Each group is one transaction.
    pub(super) async fn group(&mut self, ready: Vec<Ready>) -> Result<Vec<Vec<Ready>>, Trouble> {
        let most = self.options.batch.max(1);
        let together = most > 1
            && ready.iter().filter(|ready| ready.is_sociable()).count() > 1
            && self.has_multicall().await?;
        let limit = self.chain.node.profile().max_batch_gas;
        let mut groups: Vec<Vec<Ready>> = Vec::new();
        for one in ready {
            let fits = |group: &&mut Vec<Ready>| {
                let gas: u64 = group.iter().map(|other| other.gas).sum();
                group.len() < most
                    && gas.saturating_add(one.gas).saturating_add(TOGETHER_GAS) <= limit
                    && group.iter().all(|other| other.is_sociable() && other.goes_with(&one))
            };
            let place = if together && one.is_sociable() { groups.iter_mut().find(fits) } else { None };
            match place {
                Some(group) => group.push(one),
                None => groups.push(vec![one]),
            }
        }
        Ok(groups)
    }
}

/// The payers that had no code when they were verified, where there is more than one settlement. One that has got some since, as by
/// EIP-7702, could spend the gas of all that are in its transaction.
pub(super) fn payers_beside_others(asked: &[(SettlementRow, Kept, Call)]) -> BTreeSet<Address> {
    let beside = asked.iter().filter(|(_, kept, _)| asked.len() > 1 && !kept.payer_has_code);
    beside.map(|(_, kept, _)| kept.authorization.payer).collect()
}
