//! What was verified under `upto` and is not settled yet: work is done on it meanwhile. Many of them on one balance must
//! not promise it many times.
//!
//! It is in memory and may forget: then too much is called valid, and settling checks it again.

use std::sync::{Mutex, PoisonError};

use alloy_primitives::{Address, U256};
use salt402_http::Recent;
use salt402_protocol::{ChainId, PaymentId};

use crate::authorization::{Authorization, Method};

/// The most that are remembered of one payer and token.
const MOST: usize = 1024;

/// What is held of payers' balances.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<Recent<(ChainId, Address, Address), Vec<Hold>>>);

#[derive(Clone, Copy, Debug)]
struct Hold {
    payment: PaymentId,
    amount: U256,
    /// The last second of the permit.
    until: U256,
}

impl Held {
    /// What other payments hold of a payer's balance, in base units of the token. `now` is in seconds since 1970.
    pub(crate) fn of_others(&self, authorization: &Authorization, now: u64) -> U256 {
        let own = authorization.id();
        self.with(authorization, |holds| {
            holds.retain(|hold| hold.until >= U256::from(now));
            let others = holds.iter().filter(|hold| hold.payment != own);
            others.fold(U256::ZERO, |sum, hold| sum.saturating_add(hold.amount))
        })
    }

    /// Holds the amount of a payment that was verified, if it is one of `upto`, until it is let go or has expired.
    pub(crate) fn hold(&self, authorization: &Authorization) {
        if !matches!(authorization.method, Method::Permit2Upto { .. }) {
            return;
        }
        let hold = Hold {
            payment: authorization.id(),
            amount: authorization.amount,
            until: authorization.valid_before,
        };
        self.with(authorization, |holds| {
            if holds.len() < MOST && holds.iter().all(|known| known.payment != hold.payment) {
                holds.push(hold);
            }
        });
    }

    /// Lets a payment go: it was settled, or whoever settles counts it.
    pub(crate) fn release(&self, authorization: &Authorization) {
        let own = authorization.id();
        self.with(authorization, |holds| holds.retain(|hold| hold.payment != own));
    }

    fn with<T>(&self, authorization: &Authorization, act: impl FnOnce(&mut Vec<Hold>) -> T) -> T {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(held.of_key((authorization.chain, authorization.token, authorization.payer)))
    }
}
