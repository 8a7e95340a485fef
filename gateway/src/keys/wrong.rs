//! Who shows keys that are not good: so many from one address, and then no key of it is looked up that was not good lately.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use salt402_http::{Bucket, Rate, Recent, address_limited};
use salt402_protocol::{B256, Problem};
use tokio::time::Instant;

/// How many keys that are not good one address may show.
const RATE: Rate = Rate { per_minute: 20, burst: 20 };

/// What is remembered. The mutexes are std's, because nothing is awaited while they are held.
#[derive(Default)]
pub(crate) struct WrongKeys {
    addresses: Mutex<Recent<IpAddr, Bucket>>,
    /// Keys that were good.
    good: Mutex<Recent<B256, ()>>,
}

impl WrongKeys {
    /// Whether a key of an address is looked up. What is said of it then is told to what this returns.
    pub(crate) fn admit(
        &self,
        client: Option<IpAddr>,
        key_hash: B256,
        now: Instant,
    ) -> Result<Tried<'_>, Problem> {
        let is_good = || self.good.lock().unwrap_or_else(PoisonError::into_inner).known(&key_hash).is_some();
        let counted = client.filter(|_| !is_good());
        if let Some(client) = counted {
            let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            addresses.of_key(client).take(RATE, now).map_err(address_limited)?;
        }
        Ok(Tried { wrong: self, counted, key_hash })
    }
}

/// A key that is looked up. Only what is told to be wrong is counted: of a key that could not be looked up nobody knows.
#[must_use]
pub(crate) struct Tried<'w> {
    wrong: &'w WrongKeys,
    /// Whose token it holds. `None`: it needed none.
    counted: Option<IpAddr>,
    key_hash: B256,
}

impl Tried<'_> {
    /// It is good.
    pub(crate) fn good(self) {
        self.wrong.good.lock().unwrap_or_else(PoisonError::into_inner).of_key(self.key_hash);
    }

    /// It is not.
    pub(crate) fn wrong(mut self) {
        self.counted = None;
    }
}

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        let Some(client) = self.counted else { return };
        let mut addresses = self.wrong.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.of_key(client).give_back(RATE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tries_so_many_keys_and_good_ones_stay_good() {
        let wrong = WrongKeys::default();
        let client = Some("9.9.9.9".parse().unwrap());
        let now = Instant::now();
        let key = B256::with_last_byte;
        wrong.admit(client, key(200), now).unwrap().good();
        for number in 0..20 {
            wrong.admit(client, key(number), now).unwrap().wrong();
        }
        assert!(wrong.admit(client, key(21), now).is_err());
        assert!(wrong.admit(client, key(200), now).is_ok(), "it was good lately");
        assert!(wrong.admit(Some("9.9.9.8".parse().unwrap()), key(21), now).is_ok(), "another address");
        assert!(wrong.admit(None, key(21), now).is_ok(), "nobody can be told apart");
    }

    #[test]
    fn requests_at_once_with_a_good_key_and_keys_that_could_not_be_looked_up_lock_nobody_out() {
        let wrong = WrongKeys::default();
        let client = Some("9.9.9.9".parse().unwrap());
        let now = Instant::now();
        let good = B256::with_last_byte(200);
        let at_once: Vec<_> = (0..20).map(|_| wrong.admit(client, good, now).unwrap()).collect();
        at_once.into_iter().for_each(Tried::good);
        // The verifier could not be asked, or its client left.
        for _ in 0..40 {
            drop(wrong.admit(client, B256::with_last_byte(1), now).unwrap());
        }
        for number in 0..20 {
            let tried = wrong.admit(client, B256::with_last_byte(number), now);
            assert!(tried.is_ok(), "{number} wrong keys came of this address");
            tried.into_iter().for_each(Tried::wrong);
        }
        assert!(wrong.admit(client, B256::with_last_byte(21), now).is_err());
    }
}
