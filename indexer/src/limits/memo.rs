//! A bounded memory of answers. Everybody who asks for the same thing at once waits for one answer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

/// After a failure, an answer that was not good enough, or a question that everybody stopped waiting for, the question
/// is not asked again for this long. So nobody can make a node be asked as often as they like.
pub(crate) const REST: Duration = Duration::from_millis(900);

/// One answer per key: the one that is under way, or the last one while it still counts for the caller. Clones share
/// one memory.
pub(crate) struct Memo<K, V>(Arc<Inner<K, V>>);

struct Inner<K, V> {
    /// How many keys are remembered. If there are more, keys are dropped that nobody waits for and that may be asked
    /// again. First those whose answer is not worth keeping, then the others. If there are none, all are dropped.
    most: usize,
    worth: fn(&V) -> bool,
    // A std mutex, because nothing is awaited while it is held.
    entries: Mutex<HashMap<K, Entry<V>>>,
}

struct Entry<V> {
    /// When the last question began. After its end: when it ended.
    at: Instant,
    /// The question that began and has not ended. Only those who wait keep it alive.
    under_way: Option<WeakShared<BoxFuture<'static, V>>>,
    last: Option<V>,
    told: Told,
}

type Question<V> = Shared<BoxFuture<'static, V>>;

/// Whether somebody was told an answer, or is going to be told it first.
type Told = Arc<AtomicBool>;

/// What a caller is told.
#[derive(Debug)]
pub(crate) struct Answer<V> {
    pub(crate) value: V,
    /// Whether this caller is the first to be told the answer. Exactly one is: the caller who began the question or, if
    /// that one left, the next.
    pub(crate) first: bool,
    /// Whether it was there before it was asked for.
    pub(crate) known: bool,
}

/// Why a caller is told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untold {
    /// It was asked a moment ago, and everybody stopped waiting.
    Left,
    /// There is no room for one more question.
    NoRoom,
}

impl<V> Answer<V> {
    pub(crate) fn map<T>(self, of: impl FnOnce(V) -> T) -> Answer<T> {
        let Self { value, first, known } = self;
        Answer { value: of(value), first, known }
    }
}

impl<K, V> Clone for Memo<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Memo<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(most: usize) -> Self {
        Self::keeping(most, |_| false)
    }

    /// A memory that drops the answers that are worth keeping last.
    pub(crate) fn keeping(most: usize, worth: fn(&V) -> bool) -> Self {
        Self(Arc::new(Inner { most, worth, entries: Mutex::default() }))
    }

    /// The answer that is under way, or the last one if it `counts`, or else a new one if there is `room`. The room is
    /// held until the answer is there.
    ///
    /// With `to_the_end`, a question goes on when everybody stopped waiting. The next who asks is told its answer. So a
    /// caller who hangs up early does not keep it from being answered. Otherwise the question is dropped then.
    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        key: K,
        counts: impl Fn(&V) -> bool,
        room: impl FnOnce() -> Option<R>,
        to_the_end: bool,
        answer: impl Future<Output = V> + Send + 'static,
    ) -> Result<Answer<V>, Untold> {
        let mut unasked = Some((room, answer));
        loop {
            let (question, told, mine) = {
                let mut entries = self.lock();
                let entry = entries.get(&key);
                if let Some((question, told)) = entry.and_then(Entry::question) {
                    (question, told, false)
                } else if let Some(answer) = entry.and_then(|entry| entry.known(&counts)) {
                    return Ok(answer);
                } else if entry.is_some_and(|entry| entry.under_way.is_some() && entry.rests()) {
                    return Err(Untold::Left);
                } else {
                    // It is begun at most once, and the caller who began it is told its answer.
                    let (room, answer) = unasked.take().ok_or(Untold::Left)?;
                    let room = room().ok_or(Untold::NoRoom)?;
                    let (question, told) = self.begin(&mut entries, key.clone(), room, answer);
                    (question, told, true)
                }
            };
            if !mine {
                let value = question.await;
                if counts(&value) {
                    return Ok(Answer { value, first: !told.swap(true, Ordering::SeqCst), known: false });
                }
                continue;
            }
            if to_the_end {
                // It ends with the answers of the nodes, which have a time limit.
                tokio::spawn(question.clone());
            }
            let mut first = First(Some(told));
            let value = question.await;
            first.0 = None;
            return Ok(Answer { value, first: true, known: false });
        }
    }

    fn begin<R: Send + 'static>(
        &self,
        entries: &mut HashMap<K, Entry<V>>,
        key: K,
        room: R,
        answer: impl Future<Output = V> + Send + 'static,
    ) -> (Question<V>, Told) {
        self.make_room(entries, &key);
        let (this, of) = (self.clone(), key.clone());
        let question = async move {
            let _room = room;
            let value = answer.await;
            this.ended(&of, &value);
            value
        };
        let (question, told) = (question.boxed().shared(), Told::new(AtomicBool::new(true)));
        let (under_way, last) = (question.downgrade(), entries.remove(&key).and_then(|entry| entry.last));
        entries.insert(key, Entry { at: Instant::now(), under_way, last, told: Arc::clone(&told) });
        (question, told)
    }

    /// The last answer, whether or not it still counts.
    pub(crate) fn last(&self, key: &K) -> Option<V> {
        self.lock().get(key).and_then(|entry| entry.last.clone())
    }

    fn make_room(&self, entries: &mut HashMap<K, Entry<V>>, key: &K) {
        if entries.len() < self.0.most || entries.contains_key(key) {
            return;
        }
        let worth = |entry: &Entry<V>| entry.last.as_ref().is_some_and(self.0.worth);
        entries.retain(|_, entry| entry.rests() || entry.is_waited_for() || worth(entry));
        if entries.len() >= self.0.most {
            entries.retain(|_, entry| entry.rests() || entry.is_waited_for());
        }
        if entries.len() >= self.0.most {
            entries.clear();
        }
    }

    fn ended(&self, key: &K, value: &V) {
        if let Some(entry) = self.lock().get_mut(key) {
            (entry.at, entry.under_way, entry.last) = (Instant::now(), None, Some(value.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Entry<V>>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Clone> Entry<V> {
    /// The question that is under way, if somebody waits for it.
    fn question(&self) -> Option<(Question<V>, Told)> {
        Some((self.under_way.as_ref()?.upgrade()?, Arc::clone(&self.told)))
    }

    /// The last answer, if it counts.
    fn known(&self, counts: impl Fn(&V) -> bool) -> Option<Answer<V>> {
        let value = self.last.as_ref().filter(|last| counts(last))?.clone();
        Some(Answer { value, first: !self.told.swap(true, Ordering::SeqCst), known: true })
    }

    fn rests(&self) -> bool {
        self.at.elapsed() < REST
    }

    fn is_waited_for(&self) -> bool {
        self.under_way.as_ref().is_some_and(|question| question.upgrade().is_some())
    }
}

/// The caller who began a question. If that one leaves, another is told the answer first.
struct First(Option<Told>);

impl Drop for First {
    fn drop(&mut self) {
        if let Some(told) = &self.0 {
            told.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// A memory of how often it was asked, and what is told within 20 ms.
    struct Asked {
        memo: Memo<u32, u32>,
        times: Arc<AtomicU32>,
    }

    impl Asked {
        fn new(most: usize) -> Self {
            Self { memo: Memo::new(most), times: Arc::default() }
        }

        async fn ask(
            &self,
            key: u32,
            takes: Duration,
            to_the_end: bool,
            counts: bool,
        ) -> Result<Answer<u32>, Untold> {
            let times = Arc::clone(&self.times);
            let answer = async move {
                let answer = times.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::time::sleep(takes).await;
                answer
            };
            self.memo.ask(key, |_| counts, || Some(()), to_the_end, answer).await
        }
    }

    fn told(answer: Result<Answer<u32>, Untold>) -> (u32, bool, bool) {
        let Answer { value, first, known } = answer.unwrap();
        (value, first, known)
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_ask_at_once_are_told_one_answer_and_one_of_them_is_the_first() {
        let asked = Asked::new(10);
        let ask = || asked.ask(1, REST * 3, true, true);
        let (one, other) = tokio::join!(ask(), ask());
        assert_eq!((told(one), told(other)), ((1, true, false), (1, false, false)));
        assert_eq!(told(ask().await), (1, false, true));
        // An answer that counts for nobody is asked for again.
        assert_eq!(told(asked.ask(1, REST, true, false).await), (2, true, false));
        assert_eq!(asked.memo.last(&1), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn where_whoever_asked_first_has_left_the_next_is_the_first_to_be_told() {
        for later in [REST / 2, REST * 3] {
            let asked = Asked::new(10);
            let ask = || asked.ask(1, REST, true, true);
            assert!(tokio::time::timeout(Duration::from_millis(20), ask()).await.is_err());
            tokio::time::advance(later).await;
            let (one, other) = (told(ask().await), told(ask().await));
            assert_eq!((one.0, one.1, other.0, other.1), (1, true, 1, false), "{later:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_all_have_left_is_dropped_and_not_asked_again_at_once() {
        let asked = Asked::new(10);
        let ask = || asked.ask(1, REST * 9, false, true);
        assert!(tokio::time::timeout(Duration::from_millis(20), ask()).await.is_err());
        assert_eq!(ask().await.unwrap_err(), Untold::Left);
        tokio::time::advance(REST).await;
        assert_eq!(told(ask().await), (2, true, false));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_count_for_one_who_waited_is_asked_for_anew() {
        let memo: Memo<u32, u32> = Memo::new(10);
        let ask = |least: u32, says: u32| {
            let answer = async move {
                tokio::time::sleep(REST).await;
                says
            };
            memo.ask(1, move |value| *value >= least, || Some(()), true, answer)
        };
        let (low, high) = tokio::join!(ask(1, 1), ask(2, 2));
        assert_eq!((told(low).0, told(high)), (1, (2, true, false)));
        assert_eq!(told(ask(1, 9).await), (2, false, true));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_remembered_than_was_said() {
        let asked = Asked::new(10);
        for key in 0..100 {
            told(asked.ask(key, REST / 5, true, true).await);
            assert!(asked.memo.lock().len() <= 10);
        }
        let full: Memo<u32, u32> = Memo::new(1);
        let refused = full.ask(1, |_| true, || None::<()>, true, async { 1 }).await;
        assert_eq!((refused.unwrap_err(), full.last(&1)), (Untold::NoRoom, None));
    }
}
