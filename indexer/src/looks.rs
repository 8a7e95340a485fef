//! Looks at receipts, each shared by all who want it, and no more of them than a node can bear.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::IndexError;
use crate::missing::Look;

/// How long what a look showed is what others are told, and the same hash is not looked up again.
const REST: Duration = Duration::from_millis(900);
/// Hashes that are remembered as looked up; beyond it the oldest are forgotten.
const REMEMBERED: usize = 4096;
/// Look-ups of each kind of asker: so many at once and under way, and so many a second. A node that is slow, or may be asked
/// seldom, has no longer queue than that before the next who asks.
const BURST: u32 = 40;
const PER_SECOND: u32 = 20;

type Shown = Result<Look, Arc<IndexError>>;
type Looking = Shared<BoxFuture<'static, Shown>>;

/// The looks that are under way or were a moment ago. Clones are one.
#[derive(Clone)]
pub(crate) struct Looks {
    // A std mutex, because nothing is awaited while it is held.
    limits: Arc<Mutex<Limits>>,
}

impl Default for Looks {
    fn default() -> Self {
        Self { limits: Arc::new(Mutex::new(Limits::new(Instant::now()))) }
    }
}

impl Looks {
    /// What a look shows: the one that is under way, the one that was, or this one if there is room for it among those of
    /// its kind.
    ///
    /// With `to_the_end` it goes on when the last who waits for it has gone away: whoever asks next is told what it
    /// showed, and hanging up early spends looks without hindering them. Otherwise it is dropped then, and holds nothing
    /// of the node's any more.
    pub(crate) async fn share(
        &self,
        transaction: B256,
        asker: Asker,
        to_the_end: bool,
        look: impl Future<Output = Result<Look, IndexError>> + Send + 'static,
    ) -> Shown {
        // Not in the match itself, whose arms lock again.
        let taken = self.lock().take(transaction, asker, Instant::now());
        let looking = match taken {
            Taken::Look(room) => {
                let this = self.clone();
                let look = async move {
                    let _room = room;
                    let shown = look.await.map_err(Arc::new);
                    this.lock().shown(transaction, shown.as_ref().ok().copied());
                    shown
                };
                let looking = look.boxed().shared();
                self.lock().begun(transaction, &looking);
                if to_the_end {
                    // There are no more of these than there is room for, and each ends with the node's answers.
                    tokio::spawn(looking.clone());
                }
                looking
            }
            Taken::Wait(looking) => looking,
            Taken::Known(look) => return Ok(look),
            Taken::Refused => return Ok(Look::Unknown),
        };
        looking.await
    }

    fn lock(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who wants a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// One who shows a quote that was given here, or who looks on the operator's behalf.
    Quoted,
    /// Anybody with a hash.
    Anybody,
}

/// So many looks at once and under way, and so many a second.
struct Bucket {
    tokens: u32,
    refilled: Instant,
    /// For those under way.
    room: Arc<Semaphore>,
}

impl Bucket {
    fn take(&mut self, now: Instant) -> Option<OwnedSemaphorePermit> {
        let each = Duration::from_secs(1) / PER_SECOND;
        let due = now.duration_since(self.refilled).as_nanos() / each.as_nanos();
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        if due > 0 {
            self.tokens = self.tokens.saturating_add(due).min(BURST);
            self.refilled = now;
        }
        let room =
            if self.tokens > 0 { Arc::clone(&self.room).try_acquire_owned().ok()? } else { return None };
        self.tokens -= 1;
        Some(room)
    }
}

/// What whoever wants a look gets.
enum Taken {
    /// One of their own, for as long as it is under way.
    Look(OwnedSemaphorePermit),
    /// The one that is under way.
    Wait(Looking),
    /// What the last one showed, a moment ago.
    Known(Look),
    /// None: it was just tried, or too many others are.
    Refused,
}

/// A hash that was looked up.
struct Looked {
    /// When that began; when it ended, once it has.
    at: Instant,
    state: State,
}

enum State {
    /// Begun. Held by those who wait, and by nobody else.
    UnderWay(Option<WeakShared<BoxFuture<'static, Shown>>>),
    /// It ended; `None` where it failed.
    Ended(Option<Look>),
}

/// Which hash may be looked up when.
struct Limits {
    /// Those of made-up hashes take nothing from those who were quoted a price.
    quoted: Bucket,
    anybody: Bucket,
    looked: HashMap<B256, Looked>,
}

impl Limits {
    fn new(now: Instant) -> Self {
        let room = || Arc::new(Semaphore::new(BURST as usize));
        let full = || Bucket { tokens: BURST, refilled: now, room: room() };
        Self { quoted: full(), anybody: full(), looked: HashMap::new() }
    }

    fn take(&mut self, transaction: B256, asker: Asker, now: Instant) -> Taken {
        if let Some(looked) = self.looked.get(&transaction) {
            let rests = looked.rests(now);
            match &looked.state {
                State::UnderWay(looking) => {
                    if let Some(looking) = looking.as_ref().and_then(WeakShared::upgrade) {
                        return Taken::Wait(looking);
                    }
                }
                State::Ended(Some(look)) if rests => return Taken::Known(*look),
                State::Ended(_) => {}
            }
            if rests {
                return Taken::Refused;
            }
        }
        let bucket = match asker {
            Asker::Quoted => &mut self.quoted,
            Asker::Anybody => &mut self.anybody,
        };
        let Some(room) = bucket.take(now) else { return Taken::Refused };
        if self.looked.len() >= REMEMBERED {
            self.looked.retain(|_, looked| looked.rests(now) || looked.is_waited_for());
            if self.looked.len() >= REMEMBERED {
                self.looked.clear();
            }
        }
        self.looked.insert(transaction, Looked { at: now, state: State::UnderWay(None) });
        Taken::Look(room)
    }

    fn begun(&mut self, transaction: B256, looking: &Looking) {
        if let Some(Looked { state: state @ State::UnderWay(_), .. }) = self.looked.get_mut(&transaction) {
            *state = State::UnderWay(looking.downgrade());
        }
    }

    fn shown(&mut self, transaction: B256, look: Option<Look>) {
        if let Some(looked) = self.looked.get_mut(&transaction) {
            *looked = Looked { at: Instant::now(), state: State::Ended(look) };
        }
    }
}

impl Looked {
    fn rests(&self, now: Instant) -> bool {
        now.duration_since(self.at) < REST
    }

    fn is_waited_for(&self) -> bool {
        matches!(&self.state, State::UnderWay(Some(looking)) if looking.upgrade().is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use alloy_primitives::U256;

    use super::*;

    fn takes(limits: &mut Limits, hash: B256) -> bool {
        matches!(limits.take(hash, Asker::Anybody, Instant::now()), Taken::Look(_))
    }

    #[tokio::test(start_paused = true)]
    async fn made_up_hashes_cannot_wear_a_node_out() {
        let mut limits = Limits::new(Instant::now());
        let hash = |index: u64| B256::left_padding_from(&index.to_be_bytes());
        let mut allowed = 0;
        for index in 0..10_000 {
            allowed += u32::from(takes(&mut limits, hash(index)));
        }
        assert_eq!(allowed, BURST);
        tokio::time::advance(Duration::from_secs(1)).await;
        for index in 10_000..20_000 {
            allowed += u32::from(takes(&mut limits, hash(index)));
        }
        assert_eq!(allowed, BURST + PER_SECOND);
        assert!(limits.looked.len() <= REMEMBERED);
        // Whoever was quoted a price has a share of their own.
        let paid = limits.take(B256::repeat_byte(0xaa), Asker::Quoted, Instant::now());
        assert!(matches!(paid, Taken::Look(_)));
        assert!(!takes(&mut limits, B256::repeat_byte(0xbb)));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_looks_are_under_way_than_there_is_room_for_however_long_a_node_takes() {
        let looks = Looks::default();
        let begins = async |number: u64, asker| {
            let look = looks.share(B256::from(U256::from(number)), asker, true, async {
                tokio::time::sleep(REST * 100).await;
                Ok(Look::Nothing)
            });
            let shown = tokio::time::timeout(Duration::from_millis(20), look).await;
            assert!(shown.as_ref().map_or(true, |shown| matches!(shown, Ok(Look::Unknown))));
            shown.is_err()
        };
        let mut begun = 0;
        for number in 0..400 {
            begun += u32::from(begins(number, Asker::Anybody).await);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert_eq!(begun, BURST, "each waits for the node, and for those before it");
        assert!(begins(1000, Asker::Quoted).await, "those who were quoted a price have room of their own");
        tokio::time::advance(REST * 100).await;
        tokio::task::yield_now().await;
        assert!(begins(1001, Asker::Anybody).await, "and what has ended gives its room back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_outlives_those_who_hang_up_and_the_next_is_told_what_it_showed() {
        let looks = Looks::default();
        let asked = Arc::new(AtomicU32::new(0));
        let look = || {
            let asked = Arc::clone(&asked);
            looks.share(B256::ZERO, Asker::Anybody, true, async move {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(REST).await;
                Ok(Look::Found)
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
        let looks = Looks::default();
        let asked = Arc::new(AtomicU32::new(0));
        let look = |found| {
            let asked = Arc::clone(&asked);
            looks.share(B256::ZERO, Asker::Anybody, false, async move {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(REST * 3).await;
                Ok(found)
            })
        };
        // While it is under way, longer than a hash rests.
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
        let looks = Looks::default();
        let fail = || {
            looks.share(B256::ZERO, Asker::Anybody, false, async {
                tokio::time::sleep(REST / 2).await;
                Err(IndexError::NoGenesis)
            })
        };
        let (one, other) = tokio::join!(fail(), fail());
        assert!(one.is_err() && other.is_err());
        assert_eq!(fail().await.unwrap(), Look::Unknown, "it was just tried");

        let slow = |found| {
            looks.share(B256::repeat_byte(1), Asker::Anybody, false, async move {
                tokio::time::sleep(REST).await;
                Ok(found)
            })
        };
        let mut leaves = Box::pin(slow(Look::Found));
        assert!(futures::poll!(&mut leaves).is_pending());
        let mut stays = Box::pin(slow(Look::Nothing));
        assert!(futures::poll!(&mut stays).is_pending());
        drop(leaves);
        assert_eq!(stays.await.unwrap(), Look::Found);

        // All left: nothing is held, and the hash is tried again when it has rested.
        let mut leaves = Box::pin(
            looks.share(B256::repeat_byte(2), Asker::Anybody, false, async { std::future::pending().await }),
        );
        assert!(futures::poll!(&mut leaves).is_pending());
        drop(leaves);
        assert!(!looks.lock().looked[&B256::repeat_byte(2)].is_waited_for());
        tokio::time::advance(REST).await;
        assert_eq!(
            looks
                .share(B256::repeat_byte(2), Asker::Anybody, false, async { Ok(Look::Found) })
                .await
                .unwrap(),
            Look::Found
        );
    }
}
