//! Limits on how often: token buckets for accounts and addresses, in memory and bounded.
//!
//! A limit may forget and then allows too much; it never refuses too much. So it needs no disk, and what was used
//! least lately is forgotten when there are too many to remember. What must never be exceeded is in the store.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::Address;
use salt402_protocol::{ChainId, Code, PaymentId};
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

/// How often payments of one account are granted. The default is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// How many.
    pub rate: Option<Rate>,
    /// The least time between two of them; zero for none.
    pub cool_down: Duration,
}

/// A bucket of tokens, as the moment at which it is full again. `None` is a full one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket(Option<Instant>);

impl Rate {
    /// The time in which one token comes back.
    fn each(self) -> Duration {
        Duration::from_secs(60) / self.per_minute.max(1)
    }
}

impl Bucket {
    /// Takes a token, or says how long until there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let full_at = self.0.map_or(now, |at| at.max(now));
        let allowed = rate.each() * (rate.burst.max(1) - 1);
        let missing = full_at.duration_since(now);
        if missing > allowed {
            return Err(missing - allowed);
        }
        self.0 = Some(full_at + rate.each());
        Ok(())
    }

    fn give_back(&mut self, rate: Rate) {
        self.0 = self.0.and_then(|at| at.checked_sub(rate.each()));
    }
}

/// A map that holds so many and forgets what was not asked for lately.
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    /// Those that were young before; a look makes one young again.
    old: HashMap<K, V>,
    most: usize,
}

impl<K: Eq + Hash, V: Default> Recent<K, V> {
    pub(crate) fn new() -> Self {
        Self::of(REMEMBERED)
    }

    fn of(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most: most.max(1) }
    }

    pub(crate) fn of_key(&mut self, key: K) -> &mut V {
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

/// What is remembered of an account.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    bucket: Bucket,
    /// The payment that was let through last, and when.
    last: Option<(PaymentId, Instant)>,
}

/// Whose payment, on which chain.
type Payer = (ChainId, Address);

/// Keeps accounts to their limits.
pub(crate) struct Accounts {
    limits: AccountLimits,
    /// A std mutex, because nothing is awaited while it is held.
    known: Mutex<Recent<Payer, Account>>,
}

/// A payment that was let through, until it is known whether it is granted.
#[derive(Debug)]
pub(crate) struct Admission {
    payer: Payer,
    payment: PaymentId,
    before: Option<(PaymentId, Instant)>,
}

impl Accounts {
    pub(crate) fn new(limits: AccountLimits) -> Self {
        Self { limits, known: Mutex::new(Recent::new()) }
    }

    /// Lets a payment through, or says why not and for how long. `None` where there is nothing to count: no limit is
    /// set, or a copy of the same request is before it.
    pub(crate) fn admit(
        &self,
        payer: Payer,
        payment: PaymentId,
        now: Instant,
    ) -> Result<Option<Admission>, (Code, Duration)> {
        let AccountLimits { rate, cool_down } = self.limits;
        if rate.is_none() && cool_down.is_zero() {
            return Ok(None);
        }
        let mut known = self.known();
        let account = known.of_key(payer);
        let before = account.last;
        if let Some((last, at)) = before {
            if last == payment {
                return Ok(None);
            }
            let since = now.saturating_duration_since(at);
            if since < cool_down {
                return Err((Code::CoolDown, cool_down - since));
            }
        }
        if let Some(rate) = rate {
            account.bucket.take(rate, now).map_err(|wait| (Code::AccountLimited, wait))?;
        }
        account.last = Some((payment, now));
        Ok(Some(Admission { payer, payment, before }))
    }

    /// Takes an admission back: the payment was not granted.
    pub(crate) fn withdraw(&self, admission: Admission) {
        let Admission { payer, payment, before } = admission;
        let mut known = self.known();
        let account = known.of_key(payer);
        if let Some(rate) = self.limits.rate {
            account.bucket.give_back(rate);
        }
        if account.last.is_some_and(|(last, _)| last == payment) {
            account.last = before;
        }
    }

    fn known(&self) -> MutexGuard<'_, Recent<Payer, Account>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::B256;

    use super::*;

    const RATE: Rate = Rate { per_minute: 60, burst: 3 };
    const PAYER: Payer = (ChainId::CITRATE, Address::ZERO);

    fn payment(number: u8) -> PaymentId {
        PaymentId(B256::repeat_byte(number))
    }

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
        assert_eq!(bucket.take(RATE, start + second(1)), Ok(()));
        assert_eq!(bucket.take(RATE, start + second(1)), Err(second(1)));
        // A long pause fills it, and no more than that.
        let later = start + second(3600);
        let taken = (0..10).filter(|_| bucket.take(RATE, later).is_ok()).count();
        assert_eq!(taken, 3);
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
    }

    #[test]
    fn payments_of_an_account_keep_their_distance_and_copies_are_one() {
        let accounts = Accounts::new(AccountLimits { rate: None, cool_down: second(10) });
        let start = Instant::now();
        let admitted = accounts.admit(PAYER, payment(1), start).unwrap();
        assert!(admitted.is_some());
        assert!(accounts.admit(PAYER, payment(1), start).unwrap().is_none(), "a copy of the same");
        let refused = accounts.admit(PAYER, payment(2), start + second(4)).unwrap_err();
        assert_eq!(refused, (Code::CoolDown, second(6)));
        let other = (ChainId::CITRATE, Address::repeat_byte(1));
        assert!(accounts.admit(other, payment(2), start).is_ok());
        assert!(accounts.admit(PAYER, payment(2), start + second(10)).unwrap().is_some());
    }

    #[test]
    fn a_payment_that_was_not_granted_does_not_count() {
        let limits = AccountLimits { rate: Some(Rate { burst: 1, ..RATE }), cool_down: second(10) };
        let accounts = Accounts::new(limits);
        let start = Instant::now();
        for number in 1..100 {
            let admitted = accounts.admit(PAYER, payment(number), start).unwrap().unwrap();
            accounts.withdraw(admitted);
        }
        assert!(accounts.admit(PAYER, payment(100), start).unwrap().is_some());
        assert_eq!(accounts.admit(PAYER, payment(101), start).unwrap_err().0, Code::CoolDown);
        let rate = Accounts::new(AccountLimits { cool_down: Duration::ZERO, ..limits });
        assert!(rate.admit(PAYER, payment(1), start).is_ok());
        assert_eq!(rate.admit(PAYER, payment(2), start).unwrap_err(), (Code::AccountLimited, second(1)));
    }
}
