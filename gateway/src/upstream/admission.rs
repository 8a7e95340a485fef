//! How many requests an upstream is sent at once, and how many more may wait for their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use salt402_protocol::{Code, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// When to ask again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// What an upstream may be sent at once. Clones share their places.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// How many are in, running and waiting.
    inside: Arc<AtomicUsize>,
    /// `None`: there is no limit.
    places: Option<Arc<Places>>,
}

/// How many requests an upstream has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// How many are there, running and waiting.
    pub(crate) inside: usize,
    /// How many run at once; 0 if there is no limit.
    pub(crate) at_once: usize,
}

#[derive(Debug)]
struct Places {
    limit: usize,
    at_once: Arc<Semaphore>,
    /// How many may wait, and how many more do not wait yet.
    queue: Arc<Semaphore>,
}

/// A place. Dropped, it is free for the next.
#[derive(Debug)]
pub(crate) struct Permit {
    _place: Option<OwnedSemaphorePermit>,
    _inside: Inside,
}

/// Whoever is in, running or waiting.
#[derive(Debug)]
struct Inside(Arc<AtomicUsize>);

impl Inside {
    fn of(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// At most `at_once` requests at once, with at most `queue` that wait. Zero at once is no limit.
    pub(crate) fn new(at_once: usize, queue: usize) -> Self {
        let places = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        let places = (at_once > 0)
            .then(|| Arc::new(Places { limit: at_once, at_once: places(at_once), queue: places(queue) }));
        Self { inside: Arc::default(), places }
    }

    /// How many requests it has now.
    pub(crate) fn load(&self) -> Load {
        let at_once = self.places.as_ref().map_or(0, |places| places.limit);
        Load { inside: self.inside.load(Ordering::Relaxed), at_once }
    }

    /// Why nothing more is taken on, if that is so. It is asked before a price is told and before a payment is used up.
    pub(crate) fn full(&self) -> Option<Problem> {
        let places = self.places.as_ref()?;
        if places.at_once.available_permits() > 0 || places.queue.available_permits() > 0 {
            return None;
        }
        let detail = "as many requests run and wait as the server takes on, so nothing is sold for a moment: ask again; \
                      whoever has paid does not pay again, and shows the same proof again";
        Some(Problem::new(Code::AtCapacity, detail).retry_after(RETRY_MS))
    }

    /// Waits for a place. What is paid for is never turned away here, so the queue may be longer than it should be by
    /// those who were let in at the same moment.
    pub(crate) async fn enter(&self) -> Permit {
        let inside = Inside::of(&self.inside);
        let Some(places) = &self.places else { return Permit { _place: None, _inside: inside } };
        if let Ok(place) = Arc::clone(&places.at_once).try_acquire_owned() {
            return Permit { _place: Some(place), _inside: inside };
        }
        let _waiting = Arc::clone(&places.queue).try_acquire_owned();
        // The semaphore is never closed.
        Permit { _place: Arc::clone(&places.at_once).acquire_owned().await.ok(), _inside: inside }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn so_many_run_so_many_wait_and_others_are_told_before_they_pay() {
        let admission = Admission::new(2, 1);
        let first = admission.enter().await;
        let _second = admission.enter().await;
        assert!(admission.full().is_none(), "one may wait");
        let mut third = Box::pin(admission.enter());
        assert!(third.as_mut().now_or_never().is_none());
        let full = admission.full().unwrap();
        assert_eq!((full.code, full.status, full.retry_after_ms), (Code::AtCapacity, 503, Some(RETRY_MS)));
        // Who paid in the same moment waits all the same.
        let mut fourth = Box::pin(admission.enter());
        assert!(fourth.as_mut().now_or_never().is_none());
        drop(first);
        let third = third.await;
        assert!(admission.full().is_none(), "its place in the queue is free");
        drop(third);
        drop(fourth.await);
        // Who leaves while waiting leaves the queue.
        let _again = admission.enter().await;
        let mut waits = Box::pin(admission.enter());
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(admission.full().is_some());
        assert_eq!(admission.load(), Load { inside: 3, at_once: 2 }, "running and waiting");
        drop(waits);
        assert!(admission.full().is_none());
        assert_eq!(admission.load().inside, 2);
    }

    #[tokio::test]
    async fn without_a_limit_nobody_waits() {
        let admission = Admission::new(0, 0);
        let held: Vec<_> = futures::future::join_all((0..100).map(|_| admission.enter())).await;
        assert!(admission.full().is_none());
        assert_eq!(admission.load(), Load { inside: 100, at_once: 0 });
        drop(held);
        assert_eq!(admission.load().inside, 0);
    }
}
