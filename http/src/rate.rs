//! How often something may happen: token buckets, in memory and bounded.
//!
//! A limit may forget and then allows too much; it never refuses too much. So it needs no disk, and what was used
//! least lately is forgotten when there are too many to remember.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Accounts or addresses that are remembered at least; twice as many at most.
const REMEMBERED: usize = 32_768;

/// How often something may happen: so many times at once, and so many a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many a minute in the long run; at least 1.
    pub per_minute: u32,
    /// How many at once after a pause; at least 1.
    pub burst: u32,
}

/// A bucket of tokens, as the moment at which it is full again. `None` is a full one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket(Option<Instant>);

impl Rate {
    /// The time in which one token comes back.
    pub fn each(self) -> Duration {
        Duration::from_secs(60) / self.per_minute.max(1)
    }
}

impl Bucket {
    /// How long until there is a token; zero where there is one.
    pub fn wait(self, rate: Rate, now: Instant) -> Duration {
        let missing = self.0.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now));
        missing.saturating_sub(rate.each() * (rate.burst.max(1) - 1))
    }

    /// Takes a token, or says how long until there is one.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let wait = self.wait(rate, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.0 = Some(self.0.map_or(now, |full_at| full_at.max(now)) + rate.each());
        Ok(())
    }

    /// Whether every token that was taken is back.
    pub fn is_full(self, now: Instant) -> bool {
        self.0.is_none_or(|full_at| full_at <= now)
    }

    /// Puts a token back that was taken for nothing.
    pub fn give_back(&mut self, rate: Rate) {
        self.0 = self.0.and_then(|at| at.checked_sub(rate.each()));
    }
}

/// A map that holds so many and forgets what was not asked for lately.
#[derive(Debug)]
pub struct Recent<K, V> {
    young: HashMap<K, V>,
    /// Those that were young before; a look makes one young again.
    old: HashMap<K, V>,
    most: usize,
}

impl<K: Eq + Hash, V: Default> Default for Recent<K, V> {
    /// An empty one, which remembers 32,768 at least.
    fn default() -> Self {
        Self::of(REMEMBERED)
    }
}

impl<K: Eq + Hash, V: Default> Recent<K, V> {
    fn of(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most: most.max(1) }
    }

    /// What is known of a key. Where nothing is, nothing is forgotten for it.
    pub fn known(&mut self, key: &K) -> Option<&mut V> {
        self.young.get_mut(key).or_else(|| self.old.get_mut(key))
    }

    /// What is known of a key; its default where nothing is, and from then on.
    pub fn of_key(&mut self, key: K) -> &mut V {
        if !self.young.contains_key(&key) && self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        match self.young.entry(key) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(empty) => {
                let known = old.remove(empty.key()).unwrap_or_default();
                empty.insert(known)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_minute: 60, burst: 3 };

    fn second(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn a_bucket_gives_a_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.take(RATE, start), Ok(()));
        }
        assert_eq!(bucket.take(RATE, start), Err(second(1)));
        let almost = start + second(1) - Duration::from_millis(1);
        assert_eq!(bucket.take(RATE, almost), Err(Duration::from_millis(1)));
        assert_eq!(bucket.take(RATE, start + second(1)), Ok(()));
        assert_eq!(bucket.take(RATE, start + second(1)), Err(second(1)));
        // A long pause fills it, and no more than that.
        let later = start + second(3600);
        let taken = (0..10).filter(|_| bucket.take(RATE, later).is_ok()).count();
        assert_eq!(taken, 3);
        assert!(!bucket.is_full(later + second(2)) && bucket.is_full(later + second(3)));
    }

    #[test]
    fn what_was_not_used_lately_is_forgotten_and_never_more_is_kept() {
        let mut recent: Recent<u32, u32> = Recent::of(10);
        for key in 0..1000 {
            *recent.of_key(key) += 1;
            *recent.of_key(0) += 1;
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert_eq!(*recent.of_key(0), 1001, "it was used all the time");
        assert_eq!(*recent.of_key(5), 0, "it was not");
        for key in 2000..4000 {
            assert_eq!(recent.known(&key), None);
        }
        assert_eq!(recent.known(&0), Some(&mut 1001), "a look for others makes nobody forgotten");
    }
}
