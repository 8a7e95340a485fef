//! An account that sends: its next nonce, and whether it may send now.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, U256};
use salt402_chain::{Account, AccountState, Call};
use salt402_store::Slot;

use crate::settle::lock::SignerLock;

/// How often a node may show transactions of an account that are not ours before they are taken for made up.
const PATIENCE: u32 = 30;

/// The gas limit of a transaction that only uses a nonce up. An account with delegated code may need more than a transfer.
const FILLER_GAS: u64 = 50_000;

/// One account of a chain's task.
pub(super) struct Signer {
    pub(super) account: Arc<Account>,
    pub(super) _lock: SignerLock,
    /// The nonce of its next slot. `None` until the chain and the database said it.
    pub(super) next: Option<u64>,
    /// A slot whose nonce another's transaction has. Nothing is sent meanwhile.
    pub(super) overtaken: Option<Slot>,
    /// What the node said of it last. `None`: it is to be asked.
    pub(super) state: Option<AccountState>,
    /// How often the node showed transactions of it that are not ours.
    pub(super) strangers: u32,
}

impl Signer {
    pub(super) fn new(account: Arc<Account>, lock: SignerLock) -> Self {
        Self { account, _lock: lock, next: None, overtaken: None, state: None, strangers: 0 }
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

    /// Whether transactions that are not ours may still come before its next one. After a while they are taken for made up.
    pub(super) fn waits_for_strangers(&mut self, next: u64) -> bool {
        let shown = self.state.is_some_and(|state| state.pending > next);
        self.strangers = if shown { self.strangers.saturating_add(1) } else { 0 };
        shown && self.strangers < PATIENCE
    }
}

/// A transaction that only uses a nonce up.
pub(super) fn filler(account: Address) -> Call {
    Call { to: account, value: U256::ZERO, data: Bytes::new(), gas_limit: Some(FILLER_GAS) }
}
