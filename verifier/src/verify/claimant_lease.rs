//! Claimants' names that others hold, and how long each lease was seen without a renewal.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use salt402_protocol::api::{LeaseRequest, LeaseResponse, Verdict};
use salt402_protocol::{B128, Code, Problem};
use salt402_store::{Holder, Lease, Store};
use tokio::time::Instant;

use crate::verify::refusals::internal;

/// How often a lease is to be renewed.
const RENEW: Duration = Duration::from_secs(5);
/// After this time without a renewal, as this process sees it, a lease counts no more.
const LAPSE: Duration = Duration::from_secs(15);
/// How many names are remembered at most.
const NAMES: usize = 1024;
/// Longest name of a claimant, in characters.
const LONGEST_NAME: usize = 128;

/// The leases that kept somebody out, and since when each has not changed. Times are by this process's own steady
/// clock, so that setting another clock takes no name away from a live process.
#[derive(Debug, Default)]
pub(crate) struct ClaimantLeases(Mutex<HashMap<String, (Lease, Instant)>>);

impl ClaimantLeases {
    /// Takes a claimant's name for an instance, or renews its lease. Of several processes under one name, only one has
    /// it.
    ///
    /// # Errors
    /// [`Code::IdentityInUse`] while another instance has it.
    pub(crate) async fn lease(
        &self,
        store: &Store,
        request: &LeaseRequest,
    ) -> Result<LeaseResponse, Problem> {
        check_name(&request.claimant)?;
        if request.claimant.is_empty() {
            return Err(Problem::new(Code::InvalidRequest, "claimant: a name is needed to be held"));
        }
        let lapsed = self.holder(&request.claimant, None).lapsed;
        let held = store.hold(request.claimant.clone(), request.instance, lapsed).await;
        match held.map_err(internal)? {
            None => Ok(LeaseResponse { renew_within_ms: millis(RENEW) }),
            Some(lease) => {
                self.note(&request.claimant, lease);
                Err(Problem::new(Code::IdentityInUse, in_use()).retry_after(millis(RENEW)))
            }
        }
    }

    /// The caller under a name.
    pub(crate) fn holder(&self, claimant: &str, instance: Option<B128>) -> Holder {
        Holder { instance, lapsed: self.lapsed(claimant, Instant::now()) }
    }

    /// Notes a lease that kept somebody out.
    pub(crate) fn note(&self, claimant: &str, lease: Lease) {
        self.note_at(claimant, lease, Instant::now());
    }

    /// The lease on a name if it counts no more.
    fn lapsed(&self, claimant: &str, now: Instant) -> Option<Lease> {
        // A std mutex, because nothing is awaited while it is held.
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(claimant).filter(|(_, since)| now.duration_since(*since) >= LAPSE).map(|(lease, _)| *lease)
    }

    fn note_at(&self, claimant: &str, lease: Lease, now: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.get(claimant).is_some_and(|(known, _)| *known == lease) {
            return;
        }
        if seen.len() >= NAMES {
            seen.clear();
        }
        seen.insert(claimant.to_owned(), (lease, now));
    }
}

/// Refuses a claimant's name that is too long to be stored.
pub(crate) fn check_name(claimant: &str) -> Result<(), Problem> {
    if claimant.chars().count() > LONGEST_NAME {
        let detail = format!("claimant: at most {LONGEST_NAME} characters");
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    Ok(())
}

/// The answer for a process that does not have the name. A payer is served by the process that has it.
pub(crate) fn held_elsewhere() -> Verdict {
    Verdict::Pending { code: Code::IdentityInUse, detail: in_use(), retry_after_ms: millis(RENEW) }
}

fn in_use() -> String {
    format!(
        "another live process has this identity (a copied folder?), and only one may run what is paid for: nothing was used up, \
         show the same proof again; a process that ended leaves it free after {} s",
        LAPSE.as_secs()
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use salt402_protocol::B128;

    use super::*;

    #[test]
    fn c12_a_hold_counts_no_more_once_it_was_seen_to_stand_still_for_long_enough() {
        let (leases, now) = (ClaimantLeases::default(), Instant::now());
        let lease = |renewals| Lease { instance: B128::ZERO, renewals };
        let after = |seconds| now + Duration::from_secs(seconds);
        leases.note_at("name", lease(1), now);
        leases.note_at("name", lease(1), after(14));
        assert_eq!((leases.lapsed("name", after(14)), leases.lapsed("other", after(99))), (None, None));
        assert_eq!(leases.lapsed("name", after(15)), Some(lease(1)));
        // It was renewed after all, so the time starts again.
        leases.note_at("name", lease(2), after(16));
        assert_eq!(leases.lapsed("name", after(30)), None);
        assert_eq!(leases.lapsed("name", after(31)), Some(lease(2)));
    }
}
