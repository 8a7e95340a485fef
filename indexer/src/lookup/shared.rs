//! Looks at receipts that all callers share, within the limits of a node.

use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::B256;
use tokio::time::Instant;

use crate::limits::memo::{Memo, REST};
use crate::lookup::asker::{Asker, Limits};
use crate::lookup::outcome::Look;
use crate::lookup::unaccounted::Unaccounted;
use crate::state::IndexError;

/// For how many hashes the look is remembered.
const REMEMBERED: usize = 4096;

/// What the callers of a shared look are told.
type Shown = Result<Look, Arc<IndexError>>;

/// What a look showed.
#[derive(Clone)]
struct Looked {
    /// When it ended.
    at: Instant,
    shown: Shown,
    /// What the newest look that read the whole receipt found besides its payments.
    unaccounted: Option<Arc<Unaccounted>>,
}

/// The looks that are under way, and the last one at each receipt. Clones share them.
#[derive(Clone)]
pub(crate) struct SharedLooks {
    memo: Memo<B256, Looked>,
    // A std mutex, because nothing is awaited while it is held.
    limits: Arc<Mutex<Limits>>,
}

impl Default for SharedLooks {
    fn default() -> Self {
        // There may be many looks at invented hashes. They do not push out what a receipt showed.
        let memo = Memo::keeping(REMEMBERED, |looked: &Looked| looked.unaccounted.is_some());
        Self { memo, limits: Arc::default() }
    }
}

impl SharedLooks {
    /// The result of the look that is under way, or of the last one, or of this one if its kind has room. A look that
    /// has just failed, or that everybody stopped waiting for, is not begun again at once.
    ///
    /// For `to_the_end` see [`Memo::ask`].
    pub(crate) async fn share(
        &self,
        transaction: B256,
        asker: Asker,
        to_the_end: bool,
        look: impl Future<Output = Result<(Look, Option<Unaccounted>), IndexError>> + Send + 'static,
    ) -> Shown {
        let this = self.clone();
        let look = async move {
            let before = this.unaccounted(transaction);
            let (shown, unaccounted) = match look.await {
                Ok((look, unaccounted)) => (Ok(look), unaccounted.map(Arc::new).or(before)),
                Err(error) => (Err(Arc::new(error)), before),
            };
            Looked { at: Instant::now(), shown, unaccounted }
        };
        let counts = |looked: &Looked| looked.at.elapsed() < REST;
        let room = || {
            let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
            limits.take(asker, Instant::now())
        };
        match self.memo.ask(transaction, counts, room, to_the_end, look).await {
            Ok(answer) if answer.known && answer.value.shown.is_err() => Ok(Look::Unknown),
            Ok(answer) => answer.value.shown,
            Err(_) => Ok(Look::Unknown),
        }
    }

    /// What the whole receipt of a transaction held besides its payments, if a look has read it.
    pub(crate) fn unaccounted(&self, transaction: B256) -> Option<Arc<Unaccounted>> {
        self.memo.last(&transaction).and_then(|looked| looked.unaccounted)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use alloy_primitives::U256;

    use super::*;
    use crate::lookup::asker::OF_KIND;

    const ANYBODY: Asker = Asker::Anybody { address: None };
    const QUOTED: Asker = Asker::Quoted { quote: B256::ZERO, address: None };

    #[tokio::test(start_paused = true)]
    async fn made_up_hashes_cannot_wear_a_node_out() {
        let looks = SharedLooks::default();
        let asked = Arc::new(AtomicU32::new(0));
        let look = async |number: u64, asker| {
            let counted = Arc::clone(&asked);
            let look = async move {
                counted.fetch_add(1, Ordering::SeqCst);
                Ok((Look::Nothing, None))
            };
            looks.share(B256::from(U256::from(number)), asker, true, look).await.unwrap()
        };
        for number in 0..10_000 {
            look(number, ANYBODY).await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), OF_KIND.burst);
        tokio::time::advance(Duration::from_secs(1)).await;
        for number in 10_000..20_000 {
            look(number, ANYBODY).await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), OF_KIND.burst + 20);
        // Those who were quoted a price have a share of their own, and so has the index.
        assert_eq!(look(20_001, QUOTED).await, Look::Nothing);
        assert_eq!(look(20_002, Asker::Operator).await, Look::Nothing);
        assert_eq!(look(20_003, ANYBODY).await, Look::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_receipt_held_is_known_until_a_later_look_reads_it_anew() {
        let looks = SharedLooks::default();
        let held = |ambiguous| Unaccounted::new((1, B256::ZERO), ambiguous, Default::default(), None);
        let known = || looks.unaccounted(B256::ZERO).map(|held| held.is_ambiguous());
        let look = async |shown| {
            let _ = looks.share(B256::ZERO, ANYBODY, true, async { shown }).await;
            tokio::time::advance(REST).await;
        };
        assert_eq!(known(), None);
        look(Ok((Look::Ambiguous, Some(held(true))))).await;
        assert_eq!(known(), Some(true));
        look(Ok((Look::Unknown, None))).await;
        look(Err(IndexError::NoGenesis)).await;
        assert_eq!(known(), Some(true), "what was not read changes nothing");
        look(Ok((Look::Found, Some(held(false))))).await;
        assert_eq!(known(), Some(false));
    }

    #[tokio::test(start_paused = true)]
    async fn looks_at_made_up_hashes_do_not_make_it_forget_what_a_receipt_held() {
        let looks = SharedLooks::default();
        let look = async |hash: u64, unaccounted| {
            let shown = async move { Ok((Look::Nothing, unaccounted)) };
            looks.share(B256::from(U256::from(hash)), Asker::Operator, true, shown).await.unwrap();
            tokio::time::advance(REST).await;
        };
        look(0, Some(Unaccounted::new((1, B256::ZERO), true, Default::default(), None))).await;
        for hash in 1..=2 * REMEMBERED as u64 {
            look(hash, None).await;
        }
        assert!(looks.unaccounted(B256::ZERO).is_some());
        assert!(looks.unaccounted(B256::from(U256::from(1))).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_looks_are_under_way_than_there_is_room_for_however_long_a_node_takes() {
        let looks = SharedLooks::default();
        let begins = async |number: u64, asker| {
            let look = looks.share(B256::from(U256::from(number)), asker, true, async {
                tokio::time::sleep(REST * 100).await;
                Ok((Look::Nothing, None))
            });
            let shown = tokio::time::timeout(Duration::from_millis(20), look).await;
            assert!(shown.as_ref().map_or(true, |shown| matches!(shown, Ok(Look::Unknown))));
            shown.is_err()
        };
        let mut begun = 0;
        for number in 0..400 {
            begun += u32::from(begins(number, ANYBODY).await);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert_eq!(begun, OF_KIND.burst, "each waits for the node, and for those before it");
        assert!(begins(1000, QUOTED).await, "those who were quoted a price have room of their own");
        tokio::time::advance(REST * 100).await;
        tokio::task::yield_now().await;
        assert!(begins(1001, ANYBODY).await, "and what has ended gives its room back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_outlives_those_who_hang_up_and_the_next_is_told_what_it_showed() {
        let looks = SharedLooks::default();
        let asked = Arc::new(AtomicU32::new(0));
        let look = || {
            let asked = Arc::clone(&asked);
            looks.share(B256::ZERO, ANYBODY, true, async move {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(REST).await;
                Ok((Look::Found, None))
            })
        };
        for _ in 0..60 {
            let _ = tokio::time::timeout(Duration::from_millis(20), look()).await;
        }
        assert_eq!(look().await.unwrap(), Look::Found);
        assert_eq!(asked.load(Ordering::SeqCst), 1, "those who hung up spent more than one look");
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_for_one_hash_are_told_what_one_look_shows() {
        let looks = SharedLooks::default();
        let asked = Arc::new(AtomicU32::new(0));
        let look = |found| {
            let asked = Arc::clone(&asked);
            looks.share(B256::ZERO, ANYBODY, false, async move {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(REST * 3).await;
                Ok((found, None))
            })
        };
        // The look takes longer than a hash rests.
        let late = async {
            tokio::time::sleep(REST * 2).await;
            look(Look::Nothing).await
        };
        let (first, second, late) = tokio::join!(look(Look::Found), look(Look::Nothing), late);
        assert_eq!([first, second, late].map(Result::unwrap), [Look::Found; 3]);
        // A moment after it.
        assert_eq!(look(Look::Nothing).await.unwrap(), Look::Found);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(REST).await;
        assert_eq!(look(Look::Nothing).await.unwrap(), Look::Nothing);
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_everybodys_and_one_who_leaves_takes_nothing_from_the_others() {
        let looks = SharedLooks::default();
        let fail = || {
            looks.share(B256::ZERO, ANYBODY, false, async {
                tokio::time::sleep(REST / 2).await;
                Err(IndexError::NoGenesis)
            })
        };
        let (one, other) = tokio::join!(fail(), fail());
        assert!(one.is_err() && other.is_err());
        assert_eq!(fail().await.unwrap(), Look::Unknown, "it was just tried");

        let slow = |found| {
            looks.share(B256::repeat_byte(1), ANYBODY, false, async move {
                tokio::time::sleep(REST).await;
                Ok((found, None))
            })
        };
        let mut leaves = Box::pin(slow(Look::Found));
        assert!(futures::poll!(&mut leaves).is_pending());
        let mut stays = Box::pin(slow(Look::Nothing));
        assert!(futures::poll!(&mut stays).is_pending());
        drop(leaves);
        assert_eq!(stays.await.unwrap(), Look::Found);

        // Everybody left: nothing is held, and the hash is tried again after its rest.
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let mut leaves = Box::pin(looks.share(B256::repeat_byte(2), ANYBODY, false, async move {
            let _holds = holds;
            std::future::pending().await
        }));
        assert!(futures::poll!(&mut leaves).is_pending());
        drop(leaves);
        assert_eq!(Arc::strong_count(&held), 1);
        let again = || looks.share(B256::repeat_byte(2), ANYBODY, false, async { Ok((Look::Found, None)) });
        assert_eq!(again().await.unwrap(), Look::Unknown, "it was just tried");
        tokio::time::advance(REST).await;
        assert_eq!(again().await.unwrap(), Look::Found);
    }
}
