//! Looks at receipts, each shared by all who want it, and no more of them than a node can bear.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
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
/// Look-ups for one quote, which is to be had for nothing: so many at once, and one more in such a time.
const OF_QUOTE: Rate = Rate { burst: 10, each: Duration::from_secs(3) };
/// Look-ups for one address.
const OF_ADDRESS: Rate = Rate { burst: 10, each: Duration::from_millis(500) };

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
    /// Who looks on the operator's behalf.
    Operator,
    /// One who shows a quote that was given here.
    Quoted {
        /// The quote's reference.
        quote: B256,
        /// From where, if that is known; of an IPv6 client, its network.
        address: Option<IpAddr>,
    },
    /// Anybody with a hash.
    Anybody {
        /// From where, if that is known; of an IPv6 client, its network.
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

/// So many at once, and one more in each such time.
#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    each: Duration,
}

/// The share that one of many has. A full one is forgotten; what all take together is bounded by the buckets, and so are
/// those that are not full.
struct Shares<K> {
    rate: Rate,
    /// When each is full again.
    full_at: HashMap<K, Instant>,
}

impl<K: Eq + Hash> Shares<K> {
    fn new(rate: Rate) -> Self {
        Self { rate, full_at: HashMap::new() }
    }

    /// Whether one has something left. Who cannot be told apart has no share, and is not held to one.
    fn has(&self, key: Option<&K>, now: Instant) -> bool {
        let taken = key.and_then(|key| self.full_at.get(key)).map(|at| at.saturating_duration_since(now));
        taken.is_none_or(|taken| taken <= self.rate.each * (self.rate.burst - 1))
    }

    fn charge(&mut self, key: Option<K>, now: Instant) {
        let Some(key) = key else { return };
        if self.full_at.len() >= REMEMBERED {
            self.full_at.retain(|_, at| *at > now);
        }
        let at = self.full_at.entry(key).or_insert(now);
        *at = (*at).max(now) + self.rate.each;
    }
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
    operator: Bucket,
    /// Nor does anybody take all that there is for its kind.
    quotes: Shares<B256>,
    addresses: Shares<IpAddr>,
    looked: HashMap<B256, Looked>,
}

impl Limits {
    fn new(now: Instant) -> Self {
        let room = || Arc::new(Semaphore::new(BURST as usize));
        let full = || Bucket { tokens: BURST, refilled: now, room: room() };
        let (quotes, addresses) = (Shares::new(OF_QUOTE), Shares::new(OF_ADDRESS));
        let (quoted, anybody, operator) = (full(), full(), full());
        Self { quoted, anybody, operator, quotes, addresses, looked: HashMap::new() }
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
        let (quote, address) = (asker.quote(), asker.address());
        if !self.quotes.has(quote.as_ref(), now) || !self.addresses.has(address.as_ref(), now) {
            return Taken::Refused;
        }
        let bucket = match asker {
            Asker::Operator => &mut self.operator,
            Asker::Quoted { .. } => &mut self.quoted,
            Asker::Anybody { .. } => &mut self.anybody,
        };
        let Some(room) = bucket.take(now) else { return Taken::Refused };
        self.quotes.charge(quote, now);
        self.addresses.charge(address, now);
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

    const ANYBODY: Asker = Asker::Anybody { address: None };
    const QUOTED: Asker = Asker::Quoted { quote: B256::ZERO, address: None };

    fn takes(limits: &mut Limits, hash: B256) -> bool {
        matches!(limits.take(hash, ANYBODY, Instant::now()), Taken::Look(_))
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
        let paid = limits.take(B256::repeat_byte(0xaa), QUOTED, Instant::now());
        assert!(matches!(paid, Taken::Look(_)));
        assert!(!takes(&mut limits, B256::repeat_byte(0xbb)));
    }

    /// A quote is to be had for nothing, and many of them as easily.
    #[tokio::test(start_paused = true)]
    async fn no_quote_and_no_address_takes_the_looks_of_others() {
        let mut limits = Limits::new(Instant::now());
        let mut number = 0;
        let mut taken = |limits: &mut Limits, times: u32, asker: &dyn Fn(u64) -> Asker| {
            let mut taken = 0;
            for _ in 0..times {
                number += 1;
                let hash = B256::left_padding_from(&u64::to_be_bytes(number));
                taken +=
                    u32::from(matches!(limits.take(hash, asker(number), Instant::now()), Taken::Look(_)));
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
        // Whoever else has paid is looked for, from wherever.
        let payer = |quote, address| move |_: u64| Asker::Quoted { quote: B256::repeat_byte(quote), address };
        assert_eq!(taken(&mut limits, 1, &payer(1, from(2))), 1);
        assert_eq!(taken(&mut limits, 1, &payer(2, None)), 1);
        assert_eq!(taken(&mut limits, 1, &|_| Asker::Anybody { address: from(2) }), 1);
        assert_eq!(taken(&mut limits, 1, &|_| Asker::Operator), 1);
        // Shares fill again, slowly.
        tokio::time::advance(OF_QUOTE.each).await;
        assert_eq!(taken(&mut limits, 1000, &one_quote), 1);
        let back = u32::try_from(OF_QUOTE.each.as_millis() / OF_ADDRESS.each.as_millis()).unwrap();
        assert_eq!(taken(&mut limits, 1000, &many_quotes), back);
        tokio::time::advance(OF_QUOTE.each * OF_QUOTE.burst).await;
        limits.quotes.charge(None, Instant::now());
        assert_eq!(taken(&mut limits, 1000, &one_quote), OF_QUOTE.burst);
    }

    /// However many quotes are shown, those that are remembered are no more than the looks that they took.
    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_of_shares_is_bounded_by_what_may_be_taken() {
        let mut limits = Limits::new(Instant::now());
        for second in 0..600_u64 {
            for number in 0..100_u64 {
                let hash = B256::from(U256::from(second * 1000 + number));
                let asker = Asker::Quoted { quote: hash, address: None };
                limits.take(hash, asker, Instant::now());
            }
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(limits.quotes.full_at.len() <= REMEMBERED);
        }
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
            begun += u32::from(begins(number, ANYBODY).await);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert_eq!(begun, BURST, "each waits for the node, and for those before it");
        assert!(begins(1000, QUOTED).await, "those who were quoted a price have room of their own");
        tokio::time::advance(REST * 100).await;
        tokio::task::yield_now().await;
        assert!(begins(1001, ANYBODY).await, "and what has ended gives its room back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_outlives_those_who_hang_up_and_the_next_is_told_what_it_showed() {
        let looks = Looks::default();
        let asked = Arc::new(AtomicU32::new(0));
        let look = || {
            let asked = Arc::clone(&asked);
            looks.share(B256::ZERO, ANYBODY, true, async move {
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
            looks.share(B256::ZERO, ANYBODY, false, async move {
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
            looks.share(B256::repeat_byte(2), ANYBODY, false, async { std::future::pending().await }),
        );
        assert!(futures::poll!(&mut leaves).is_pending());
        drop(leaves);
        assert!(!looks.lock().looked[&B256::repeat_byte(2)].is_waited_for());
        tokio::time::advance(REST).await;
        assert_eq!(
            looks.share(B256::repeat_byte(2), ANYBODY, false, async { Ok(Look::Found) }).await.unwrap(),
            Look::Found
        );
    }
}
