//! An account that sends: its next nonce, and whether it may send now.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, U256};
use salt402_chain::{Account, AccountState, Call};
use salt402_store::Slot;

use crate::settle::lock::SignerLock;

/// For how many blocks a node may show transactions of an account that are not ours before they are taken for made up.
const PATIENCE: u64 = 30;

/// The gas limit of a transaction that only uses a nonce up. An account with delegated code may need more than a transfer.
const FILLER_GAS: u64 = 50_000;

/// One account of a chain's task.
pub(super) struct Signer {
    pub(super) account: Arc<Account>,
    /// Shared with whoever starts the next task, so that it is never let go in between.
    pub(super) _lock: Arc<SignerLock>,
    /// The nonce of its next slot. `None` until the chain and the database said it.
    pub(super) next: Option<u64>,
    /// A slot whose nonce another's transaction has. Nothing is sent meanwhile.
    pub(super) overtaken: Option<Slot>,
    /// What the node said of it last. `None`: it is to be asked.
    pub(super) state: Option<AccountState>,
    /// The height at which the node showed transactions of it first that are not ours.
    pub(super) strangers: Option<u64>,
}

impl Signer {
    pub(super) fn new(account: Arc<Account>, lock: Arc<SignerLock>) -> Self {
        Self { account, _lock: lock, next: None, overtaken: None, state: None, strangers: None }
    }

    pub(super) fn address(&self) -> Address {
        self.account.address()
    }

    /// Whether it can send another transaction that may cost this much, in base units of the native coin.
    pub(super) fn can_send(&self, cost: U256) -> bool {
        self.next.is_some()
            && self.overtaken.is_none()
            && self.state.is_some_and(|state| state.balance >= cost)
    }

    /// Whether transactions that are not ours may still come before its next one. After some blocks they are taken for made up.
    pub(super) fn waits_for_strangers(&mut self, next: u64, height: u64) -> bool {
        if self.state.is_none_or(|state| state.pending <= next) {
            self.strangers = None;
            return false;
        }
        height < self.strangers.get_or_insert(height).saturating_add(PATIENCE)
    }
}

/// A transaction that only uses a nonce up.
pub(super) fn filler(account: Address) -> Call {
    Call { to: account, value: U256::ZERO, data: Bytes::new(), gas_limit: Some(FILLER_GAS) }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::ChainId;

    use super::*;
    use crate::settle::lock;

    #[test]
    fn strangers_transactions_are_waited_for_by_blocks_and_not_by_looks() {
        let folder = tempfile::tempdir().unwrap();
        let account = Arc::new(Account::from_key(&"11".repeat(32)).unwrap());
        let lock = Arc::new(lock::take(folder.path(), ChainId::CITRATE, account.address()).unwrap());
        let mut signer = Signer::new(account, lock);
        let shows =
            |pending| Some(AccountState { mined: 5, pending, balance: U256::ZERO, base_fee: 1, tip: 1 });
        signer.state = shows(6);
        for _ in 0..1_000 {
            assert!(signer.waits_for_strangers(5, 100), "another's transaction is replaced");
        }
        assert!(signer.waits_for_strangers(5, 129));
        assert!(!signer.waits_for_strangers(5, 130), "a node that makes them up stops everything");
        // It begins anew once they are gone.
        signer.state = shows(5);
        assert!(!signer.waits_for_strangers(5, 131));
        signer.state = shows(6);
        assert!(signer.waits_for_strangers(5, 132));
    }
}
