//! What a chain's task last said of itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::Address;
use salt402_chain::AccountState;
use tokio::sync::watch;

/// How long somebody waits for a block that the node has.
const FOR_A_BLOCK: Duration = Duration::from_secs(1);

/// What a chain's task last said of itself.
#[derive(Debug)]
pub(super) struct Standing {
    /// A std mutex, because nothing is awaited while it is held.
    state: Mutex<State>,
    /// Up to which height it is written down what blocks settled. `None`: nothing is known yet.
    height: watch::Sender<Option<u64>>,
}

#[derive(Debug)]
struct State {
    /// Why nothing is settled. `None`: the task runs.
    ended: Option<&'static str>,
    accounts: Vec<AccountStanding>,
}

/// An account that sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct AccountStanding {
    pub(super) address: Address,
    /// What the node said of it last. `None`: nothing yet.
    pub(super) state: Option<AccountState>,
    /// Whether it can send now.
    pub(super) can_send: bool,
}

impl Standing {
    /// Before the first look, all of them can send: what is claimed then is on disk, and waits.
    pub(super) fn new(accounts: &[Address]) -> Self {
        let of = |address: &Address| AccountStanding { address: *address, state: None, can_send: true };
        let state = State { ended: None, accounts: accounts.iter().map(of).collect() };
        Self { state: Mutex::new(state), height: watch::Sender::new(None) }
    }

    /// What blocks up to this height settled was written down.
    pub(super) fn reached(&self, height: u64) {
        self.height.send_replace(Some(height));
    }

    /// Up to which height it is written down what blocks settled. `None`: it is not known yet.
    pub(super) fn height(&self) -> Option<u64> {
        *self.height.borrow()
    }

    /// Waits until a height is reached, and not for long.
    pub(super) async fn wait_for(&self, height: u64) {
        let mut reached = self.height.subscribe();
        let reached = reached.wait_for(|reached| *reached >= Some(height));
        let _ = tokio::time::timeout(FOR_A_BLOCK, reached).await;
    }

    /// How the accounts stand, said by a task that runs.
    pub(super) fn set(&self, accounts: Vec<AccountStanding>) {
        let mut state = self.state();
        // What is to be asked anew is still what was seen last.
        let known = |address| state.accounts.iter().find(|known| known.address == address);
        let accounts = accounts
            .into_iter()
            .map(|now| AccountStanding {
                state: now.state.or_else(|| known(now.address).and_then(|known| known.state)),
                ..now
            })
            .collect();
        *state = State { ended: None, accounts };
    }

    /// Notes that the task has ended. Nothing can be sent until one runs again and says how its accounts stand.
    pub(super) fn end(&self, why: &'static str) {
        self.state().ended = Some(why);
    }

    /// Why nothing is settled. `None`: the task runs.
    pub(super) fn complaint(&self) -> Option<&'static str> {
        self.state().ended
    }

    /// Whether an account can send now: the named one, or any.
    pub(super) fn can_send(&self, named: Option<Address>) -> bool {
        let state = self.state();
        let fits = |account: &AccountStanding| named.is_none_or(|named| named == account.address);
        state.ended.is_none() && state.accounts.iter().any(|account| account.can_send && fits(account))
    }

    pub(super) fn accounts(&self) -> Vec<AccountStanding> {
        self.state().accounts.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;

    use super::*;

    #[test]
    fn the_named_account_is_asked_for_and_none_sends_where_the_task_has_ended() {
        let (rich, poor) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let standing = Standing::new(&[rich, poor]);
        assert!(standing.can_send(Some(poor)), "it is not known yet");
        let seen = AccountState { mined: 3, pending: 3, balance: U256::from(7), base_fee: 1, tip: 1 };
        let of = |address, can_send, state| AccountStanding { address, state, can_send };
        standing.set(vec![of(rich, true, Some(seen)), of(poor, false, Some(seen))]);
        assert!(standing.can_send(None) && standing.can_send(Some(rich)));
        assert!(!standing.can_send(Some(poor)), "another one's coins do not help it");
        assert!(!standing.can_send(Some(Address::repeat_byte(3))), "a stranger");
        standing.end("a test");
        assert_eq!(standing.complaint(), Some("a test"));
        assert!(!standing.can_send(None));
        standing.set(vec![of(rich, true, None)]);
        assert_eq!((standing.complaint(), standing.can_send(Some(rich))), (None, true));
        assert_eq!(standing.accounts()[0].state, Some(seen), "as it was seen last");
    }
}
