//! Limits the looks at receipts for each kind of asker, so that a node is not overloaded.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use alloy_primitives::B256;
use salt402_http::{Bucket, Rate};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The looks of each kind of asker: how many may be under way at once, and how many a second. With these limits the
/// queue at a slow node stays short.
pub(crate) const OF_KIND: Rate = Rate { burst: 40, per_minute: 1200 };
/// The looks for one quote. Anybody can get a quote for nothing.
const OF_QUOTE: Rate = Rate { burst: 10, per_minute: 20 };
/// The looks for one address.
const OF_ADDRESS: Rate = Rate { burst: 10, per_minute: 120 };
/// How many shares are remembered. If there are more, full ones are dropped.
const REMEMBERED: usize = 4096;

/// Who wants a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The index itself, for the operator.
    Operator,
    /// A caller with a quote that was given here.
    Quoted {
        /// The quote's reference.
        quote: B256,
        /// The address, if it is known. For an IPv6 client, its network.
        address: Option<IpAddr>,
    },
    /// Any caller with a hash.
    Anybody {
        /// The address, if it is known. For an IPv6 client, its network.
        address: Option<IpAddr>,
    },
}

impl Asker {
    fn quote(self) -> Option<B256> {
        match self {
            Self::Quoted { quote, .. } => Some(quote),
            Self::Operator | Self::Anybody { .. } => None,
        }
    }

    fn address(self) -> Option<IpAddr> {
        match self {
            Self::Quoted { address, .. } | Self::Anybody { address } => address,
            Self::Operator => None,
        }
    }
}

/// The share of each of many askers. A full share is dropped. The limits of the kinds also limit how many shares are
/// not full.
struct Shares<K> {
    rate: Rate,
    each: HashMap<K, Bucket>,
}

impl<K: Eq + Hash> Shares<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, each: HashMap::new() }
    }

    /// Whether an asker has a look left. An asker who cannot be told apart has no share and is limited only by the
    /// kind.
    fn has(&self, key: Option<&K>, now: Instant) -> bool {
        key.and_then(|key| self.each.get(key)).is_none_or(|bucket| bucket.wait(self.rate, now).is_zero())
    }

    fn charge(&mut self, key: Option<K>, now: Instant) {
        let Some(key) = key else { return };
        if self.each.len() >= REMEMBERED {
            self.each.retain(|_, bucket| !bucket.is_full(now));
        }
        // There is a token: this was checked a moment ago, under the same lock.
        let _ = self.each.entry(key).or_default().take(self.rate, now);
    }
}

/// The limit of a kind: how many looks are under way at once, and how many a second.
struct Kind {
    bucket: Bucket,
    /// The looks that are under way.
    room: Arc<Semaphore>,
}

impl Kind {
    fn new() -> Self {
        Self { bucket: Bucket::default(), room: Arc::new(Semaphore::new(OF_KIND.burst as usize)) }
    }

    fn take(&mut self, now: Instant) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.room).try_acquire_owned().ok()?;
        self.bucket.take(OF_KIND, now).ok()?;
        Some(room)
    }
}

/// How many looks are left, and for whom.
pub(crate) struct Limits {
    /// Looks at invented hashes take nothing from those who were quoted a price.
    quoted: Kind,
    anybody: Kind,
    operator: Kind,
    /// One quote or address does not take all looks of its kind.
    quotes: Shares<B256>,
    addresses: Shares<IpAddr>,
}

impl Default for Limits {
    fn default() -> Self {
        let (quotes, addresses) = (Shares::new(OF_QUOTE), Shares::new(OF_ADDRESS));
        Self { quoted: Kind::new(), anybody: Kind::new(), operator: Kind::new(), quotes, addresses }
    }
}

impl Limits {
    /// Room for one look, held while it is under way. `None` if there is none now.
    pub(crate) fn take(&mut self, asker: Asker, now: Instant) -> Option<OwnedSemaphorePermit> {
        let (quote, address) = (asker.quote(), asker.address());
        if !self.quotes.has(quote.as_ref(), now) || !self.addresses.has(address.as_ref(), now) {
            return None;
        }
        let kind = match asker {
            Asker::Operator => &mut self.operator,
            Asker::Quoted { .. } => &mut self.quoted,
            Asker::Anybody { .. } => &mut self.anybody,
        };
        let room = kind.take(now)?;
        self.quotes.charge(quote, now);
        self.addresses.charge(address, now);
        Some(room)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alloy_primitives::U256;

    use super::*;

    /// Anybody can get many quotes for nothing.
    #[tokio::test(start_paused = true)]
    async fn no_quote_and_no_address_takes_the_looks_of_others() {
        let mut limits = Limits::default();
        let mut number = 0;
        let mut taken = |limits: &mut Limits, times: u32, asker: &dyn Fn(u64) -> Asker| {
            let mut taken = 0;
            for _ in 0..times {
                number += 1;
                taken += u32::from(limits.take(asker(number), Instant::now()).is_some());
            }
            taken
        };
        let from = |last: u8| Some(IpAddr::from([203, 0, 113, last]));
        let one_quote = |_| Asker::Quoted { quote: B256::ZERO, address: None };
        assert_eq!(taken(&mut limits, 1000, &one_quote), OF_QUOTE.burst);
        let many_quotes = |number: u64| Asker::Quoted {
            quote: B256::left_padding_from(&number.to_be_bytes()),
            address: from(1),
        };
        assert_eq!(taken(&mut limits, 1000, &many_quotes), OF_ADDRESS.burst);
        assert_eq!(
            taken(&mut limits, 1000, &|_| Asker::Anybody { address: from(1) }),
            0,
            "whatever it shows"
        );
        // Another payer is still served, from any address.
        let payer = |quote, address| move |_: u64| Asker::Quoted { quote: B256::repeat_byte(quote), address };
        assert_eq!(taken(&mut limits, 1, &payer(1, from(2))), 1);
        assert_eq!(taken(&mut limits, 1, &payer(2, None)), 1);
        assert_eq!(taken(&mut limits, 1, &|_| Asker::Anybody { address: from(2) }), 1);
        assert_eq!(taken(&mut limits, 1, &|_| Asker::Operator), 1);
        // Shares fill again, slowly.
        tokio::time::advance(OF_QUOTE.each()).await;
        assert_eq!(taken(&mut limits, 1000, &one_quote), 1);
        let back = u32::try_from(OF_QUOTE.each().as_millis() / OF_ADDRESS.each().as_millis()).unwrap();
        assert_eq!(taken(&mut limits, 1000, &many_quotes), back);
        tokio::time::advance(OF_QUOTE.each() * OF_QUOTE.burst).await;
        limits.quotes.charge(None, Instant::now());
        assert_eq!(taken(&mut limits, 1000, &one_quote), OF_QUOTE.burst);
    }

    /// However many quotes are shown, no more shares are remembered than looks were taken.
    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_of_shares_is_bounded_by_what_may_be_taken() {
        let mut limits = Limits::default();
        for second in 0..600_u64 {
            for number in 0..100_u64 {
                let hash = B256::from(U256::from(second * 1000 + number));
                let asker = Asker::Quoted { quote: hash, address: None };
                limits.take(asker, Instant::now());
            }
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(limits.quotes.each.len() <= REMEMBERED);
        }
    }
}
