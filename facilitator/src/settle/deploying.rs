//! Settlements that create their payer's contract first (ERC-6492).
//!
//! A factory that is called once more may use up all the gas, since creating what is there does. So a contract is created for one
//! settlement at a time, and for none once it is there.

use alloy_primitives::Address;
use salt402_chain::{NodeError, StateQuestion};
use salt402_store::SettlementState;

use crate::settle::kept::Kept;
use crate::settle::task::{Task, Trouble};

impl Task {
    /// A settlement as it is sent now: nothing is created that is there.
    pub(super) async fn as_of_now(&self, kept: Kept) -> Result<Kept, Trouble> {
        if kept.authorization.deployment().is_none() || !self.is_created(kept.authorization.payer).await? {
            return Ok(kept);
        }
        Ok(kept.without_deployment())
    }

    /// Whether there is code at a payer's address.
    pub(super) async fn is_created(&self, payer: Address) -> Result<bool, Trouble> {
        let asked = self.chain.node.state(&[StateQuestion::Code(payer)]).await?.into_iter().next();
        let missing = || NodeError::Malformed { what: "a batch came without its answers".to_owned() };
        Ok(!asked.ok_or_else(missing)??.is_empty())
    }

    /// Whether a payer's contract is created by a transaction that is on its way.
    pub(super) async fn is_being_created(&self, payer: Address) -> Result<bool, Trouble> {
        let open = self.store.open_slots(self.chain.chain).await?;
        let orders: Vec<u64> = open.into_iter().flat_map(|slot| slot.orders).collect();
        let rows = self.store.settlements_numbered(&orders).await?;
        let sent = rows.iter().filter(|row| row.state == SettlementState::Sent && row.claimed.payer == payer);
        Ok(sent.filter_map(Kept::of).any(|kept| kept.authorization.deployment().is_some()))
    }
}
