//! How often payments of one account are granted. Limits that must never be exceeded are in the store instead.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::Address;
use salt402_http::{Bucket, Rate, Recent};
use salt402_protocol::{ChainId, Code, PaymentId};
use tokio::time::Instant;

/// How often payments of one account are granted. The default is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// How many.
    pub rate: Option<Rate>,
    /// The least time between two of them; zero for none.
    pub cool_down: Duration,
}

/// What is remembered of an account.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    bucket: Bucket,
    /// The payment that was let through last, and when.
    last: Option<(PaymentId, Instant)>,
}

/// A payer on a chain.
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
        Self { limits, known: Mutex::default() }
    }

    /// Lets a payment through, or says why not and for how long. `None` if nothing is counted: no limit is set, or a
    /// copy of the same request came before.
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

    /// Takes an admission back, because the payment was not granted.
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
