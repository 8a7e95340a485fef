//! What was verified under `upto` and is not settled yet: work is done on it meanwhile. Many of them on one balance must
//! not promise it many times. And whoever was told that one is good says what is charged, nobody else: another caller, who
//! may be its payer, would charge nothing.
//!
//! What never comes to be settled, as where a server fails at its work, holds the balance for a while only, and its payer can go on.
//! Who may settle it is known as long as it is valid.
//!
//! It is in memory and may forget: then too much is called valid, and settling checks it again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, U256};
use salt402_http::Recent;
use salt402_protocol::{ChainId, PaymentId};

use crate::authorization::Authorization;

/// The most that are remembered of one payer and token.
const MOST: usize = 1024;

/// What is held of payers' balances.
#[derive(Debug)]
pub(crate) struct Held {
    of: Mutex<Recent<(ChainId, Address, Address), Vec<Hold>>>,
    /// For how long one counts, in seconds.
    counts_for: u64,
}

#[derive(Clone, Debug)]
struct Hold {
    payment: PaymentId,
    amount: U256,
    /// Until when it counts, in seconds since 1970.
    counts_until: u64,
    /// The last second of the permit.
    until: U256,
    /// Who was told that it is good. `None`: callers have no names.
    caller: Option<Arc<str>>,
}

/// Why a payment is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotHeld {
    /// Others hold more than when it was judged.
    Changed,
    /// No more are remembered of this payer and token.
    Full,
    /// Another caller holds it.
    OfAnother,
}

impl Held {
    /// Nothing is held yet. What is verified is held for so long after it was verified last, and no longer than it is valid.
    pub(crate) fn new(counts_for: Duration) -> Self {
        Self { of: Mutex::default(), counts_for: counts_for.as_secs() }
    }

    /// What other payments hold of a payer's balance, in base units of the token. `now` is in seconds since 1970.
    pub(crate) fn of_others(&self, authorization: &Authorization, now: u64) -> U256 {
        let others = self.known(authorization, |holds| {
            holds.retain(|hold| hold.until >= U256::from(now));
            let own = (!holds.is_empty()).then(|| authorization.id());
            let others = holds.iter().filter(|hold| Some(hold.payment) != own);
            sum(others, now)
        });
        others.unwrap_or_default()
    }

    /// Holds the amount of a payment that was verified, if it is one of `upto`, until it is let go or has been held for long enough.
    /// `judged` is what others held of the balance when it was judged, and `now` is in seconds since 1970.
    pub(crate) fn hold(
        &self,
        authorization: &Authorization,
        caller: Option<&str>,
        judged: U256,
        now: u64,
    ) -> Result<(), NotHeld> {
        if !authorization.is_upto() {
            return Ok(());
        }
        let payment = authorization.id();
        let counts_until = now.saturating_add(self.counts_for);
        self.with(authorization, |holds| {
            let own = holds.iter().find(|known| known.payment == payment);
            if own.is_some_and(|own| own.caller.as_deref() != caller) {
                return Err(NotHeld::OfAnother);
            }
            if sum(holds.iter().filter(|hold| hold.payment != payment), now) > judged {
                return Err(NotHeld::Changed);
            }
            if let Some(own) = holds.iter_mut().find(|known| known.payment == payment) {
                own.counts_until = counts_until;
                return Ok(());
            }
            if holds.len() >= MOST {
                return Err(NotHeld::Full);
            }
            let (amount, until) = (authorization.amount, authorization.valid_before);
            holds.push(Hold { payment, amount, counts_until, until, caller: caller.map(Arc::from) });
            Ok(())
        })
    }

    /// Whether another caller was told that a payment is good.
    pub(crate) fn is_of_another(&self, authorization: &Authorization, caller: Option<&str>) -> bool {
        let is_another = |holds: &mut Vec<Hold>| {
            let own = authorization.id();
            holds.iter().any(|hold| hold.payment == own && hold.caller.as_deref() != caller)
        };
        authorization.is_upto() && self.known(authorization, is_another).unwrap_or_default()
    }

    /// Lets a payment go: it was settled, or whoever settles counts it.
    pub(crate) fn release(&self, authorization: &Authorization) {
        self.known(authorization, |holds| {
            let own = authorization.id();
            holds.retain(|hold| hold.payment != own);
        });
    }

    /// Nothing is remembered of whoever was only asked about: forged payers would push out those that hold something.
    fn known<T>(&self, authorization: &Authorization, act: impl FnOnce(&mut Vec<Hold>) -> T) -> Option<T> {
        let mut held = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        held.known(&key(authorization)).map(act)
    }

    fn with<T>(&self, authorization: &Authorization, act: impl FnOnce(&mut Vec<Hold>) -> T) -> T {
        let mut held = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        act(held.of_key(key(authorization)))
    }
}

/// What is held, in base units, where it counts.
fn sum<'a>(holds: impl Iterator<Item = &'a Hold>, now: u64) -> U256 {
    holds
        .filter(|hold| hold.counts_until >= now)
        .fold(U256::ZERO, |sum, hold| sum.saturating_add(hold.amount))
}

fn key(authorization: &Authorization) -> (ChainId, Address, Address) {
    (authorization.chain, authorization.token, authorization.payer)
}
