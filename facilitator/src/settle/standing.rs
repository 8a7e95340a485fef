//! What a chain's task last said of itself.

use std::sync::{Mutex, PoisonError};

use alloy_primitives::Address;
use salt402_chain::AccountState;

/// What a chain's task last said of itself.
#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<(bool, Accounts)>);

/// Accounts with what the node said of each last.
type Accounts = Vec<(Address, Option<AccountState>)>;

impl Standing {
    pub(super) fn set(&self, can_send: bool, accounts: Accounts) {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What is to be asked anew is still what was seen last.
        let accounts = accounts
            .into_iter()
            .map(|(address, state)| {
                let known = standing.1.iter().find(|(known, _)| *known == address);
                (address, state.or_else(|| known.and_then(|(_, state)| *state)))
            })
            .collect();
        *standing = (can_send, accounts);
    }

    pub(super) fn can_send(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn accounts(&self) -> Accounts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}
