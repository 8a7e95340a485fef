//! How often API keys are used.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use salt402_http::{Bucket, Rate, Recent};
use salt402_protocol::AccountId;
use salt402_store::Account;
use tokio::time::Instant;

/// How often each key is used, in memory. It may forget, and then allows too much.
#[derive(Default)]
pub(crate) struct KeyRates(Mutex<Recent<AccountId, Bucket>>);

impl KeyRates {
    /// Takes one of so many requests a minute, or says how long there is none.
    pub(crate) fn take(&self, account: &Account, now: Instant) -> Result<(), Duration> {
        let Some(rate) = rate(account) else { return Ok(()) };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).of_key(account.id).take(rate, now)
    }

    /// Gives one back that was not used.
    pub(crate) fn give_back(&self, account: &Account) {
        let Some(rate) = rate(account) else { return };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).of_key(account.id).give_back(rate);
    }
}

fn rate(account: &Account) -> Option<Rate> {
    let most = account.limits.requests_per_minute?;
    Some(Rate { per_minute: most.max(1), burst: most.max(1) })
}
