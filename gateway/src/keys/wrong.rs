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
    /// Whether a key of an address is looked up. It takes a token that [`WrongKeys::good`] gives back.
    pub(crate) fn admit(&self, client: Option<IpAddr>, key_hash: B256, now: Instant) -> Result<(), Problem> {
        let Some(client) = client else { return Ok(()) };
        if self.good.lock().unwrap_or_else(PoisonError::into_inner).known(&key_hash).is_some() {
            return Ok(());
        }
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.of_key(client).take(RATE, now).map_err(address_limited)
    }

    /// A key is good.
    pub(crate) fn good(&self, client: Option<IpAddr>, key_hash: B256) {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.known(&key_hash).is_some() {
            return;
        }
        good.of_key(key_hash);
        drop(good);
        if let Some(client) = client {
            let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            addresses.of_key(client).give_back(RATE);
        }
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
        wrong.admit(client, key(200), now).unwrap();
        wrong.good(client, key(200));
        for number in 0..20 {
            wrong.admit(client, key(number), now).unwrap();
        }
        assert!(wrong.admit(client, key(21), now).is_err());
        assert!(wrong.admit(client, key(200), now).is_ok(), "it was good lately");
        assert!(wrong.admit(Some("9.9.9.8".parse().unwrap()), key(21), now).is_ok(), "another address");
        assert!(wrong.admit(None, key(21), now).is_ok(), "nobody can be told apart");
    }
}
