//! What one run has written so far, and who reads it.
//!
//! ```text
//! run ──pieces──▶ recording ──from its start──▶ reader
//!                    │    └──────────────────▶ reader, who came later
//!                    └── at its end ──▶ the store
//! ```
//!
//! A run writes as it goes and is stopped when nobody reads it any more. It is at most [`AHEAD`] bytes ahead of the
//! reader who is furthest. A reader who is slower costs nothing more: what it has not taken is in a file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use salt402_protocol::{Amount, Code, Problem};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::execution::spool::{BLOCK, Place, Spool};
use crate::tab::{NotGiven, Piece, Tab};

/// For how long a run waits for its readers, whatever they take meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// The header that names the model that answered, where it was chosen after the payment.
pub(crate) const MODEL_HEADER: &str = "x-salt402-model";
pub(super) const CONTENT_TYPE: &str = "content-type";

/// How many bytes a run may be ahead of the reader who is furthest.
pub(super) const AHEAD: u64 = 64 * 1024;

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    /// The model that answered, where it was chosen after the payment.
    pub(crate) model: Option<String>,
}

impl Head {
    /// The head of an answer in JSON.
    pub(crate) fn json() -> Self {
        Self { status: 200, content_type: "application/json".into(), model: None }
    }

    /// Its headers, as they are kept.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![(CONTENT_TYPE.to_owned(), self.content_type.clone())];
        headers.extend(self.model.clone().map(|model| (MODEL_HEADER.to_owned(), model)));
        headers
    }

    /// Whether it is the head of a stream of events.
    pub(crate) fn is_events(&self) -> bool {
        self.content_type.starts_with("text/event-stream")
    }

    /// The head of a stream of events.
    pub(crate) fn events() -> Self {
        Self { status: 200, content_type: "text/event-stream; charset=utf-8".into(), model: None }
    }
}

/// A whole answer that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Bytes,
    /// Since when, in milliseconds since 1970 UTC.
    pub(crate) kept_at_ms: u64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// With a whole answer, or there was one before.
    Answered(Answer),
    /// With the last piece of a stream. The outcome is on disk.
    Complete(Bytes),
    /// Without an answer, or in the middle of it.
    Failed(Problem),
}

/// What one run has written so far.
#[derive(Debug)]
pub(crate) struct Recording {
    /// A std mutex, because nothing is awaited while it is held.
    state: Mutex<State>,
    /// The most bytes that are kept.
    largest: u64,
    /// How many bytes a second its readers must take while the run waits for them. 0: any.
    least_rate: u64,
    /// Something was written, or the run has ended.
    pub(super) written: Notify,
    /// A reader has gone on, and the run waits for that.
    read: Notify,
    /// A reader has come or left.
    present: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) head: Option<Head>,
    pub(super) spool: Spool,
    pub(super) ending: Option<Ending>,
    /// How far each reader is.
    readers: HashMap<u64, u64>,
    /// The number of the next reader.
    next: u64,
    /// How far the reader who is furthest is, or the last one was.
    front: u64,
    /// Since when nobody reads.
    left: Instant,
    /// The run waits until the readers have gone on.
    is_full: bool,
    /// How long the run has waited for its readers.
    waited: Duration,
    /// Whether it waits for them no more.
    hurries: bool,
}

impl State {
    fn moved(&mut self) {
        if let Some(front) = self.readers.values().max() {
            self.front = *front;
        } else {
            self.left = Instant::now();
        }
    }

    /// Until when a wait for the readers goes on that has begun then. `None`: until they go on, or have left.
    fn waits_until(&self, least_rate: u64, started: Instant) -> Option<Instant> {
        // Whoever does not read at all has left.
        let earned = self.front.checked_div(least_rate).filter(|_| !self.readers.is_empty())?;
        let earned = PATIENCE + Duration::from_secs(earned);
        Some(started + earned.saturating_sub(self.waited))
    }
}

/// Waits until the readers have gone on. `false`: they are waited for no more.
async fn within(until: Option<Instant>, moved: impl Future<Output = ()>) -> bool {
    let Some(until) = until else {
        moved.await;
        return true;
    };
    let moved = tokio::time::timeout_at(until, moved).await.is_ok();
    if !moved {
        metrics::counter!("salt402_gateway_streams_hurried_total").increment(1);
    }
    moved
}

impl Recording {
    /// An empty one, of which at most `largest` bytes are kept, in a file in `folder`. While its run waits for readers, they must take
    /// `least_rate` bytes a second.
    pub(super) fn new(folder: Arc<PathBuf>, largest: u64, least_rate: u64) -> Self {
        let state = State {
            head: None,
            spool: Spool::new(folder, largest.max(2 * AHEAD)),
            ending: None,
            readers: HashMap::new(),
            next: 0,
            front: 0,
            left: Instant::now(),
            is_full: false,
            waited: Duration::ZERO,
            hurries: false,
        };
        let (written, read, present) = (Notify::new(), Notify::new(), Notify::new());
        Self { state: Mutex::new(state), largest, least_rate, written, read, present }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in another reader, who begins at the start, and numbers it. Refused if the start is no longer there.
    pub(super) fn enter(&self) -> Result<u64, Problem> {
        let mut state = self.lock();
        if state.spool.written() > self.largest {
            return Err(too_long_to_keep());
        }
        let number = state.next;
        state.next += 1;
        state.readers.insert(number, 0);
        state.moved();
        drop(state);
        self.present.notify_waiters();
        // The run may have waited for nobody.
        self.read.notify_waiters();
        Ok(number)
    }

    /// A reader has taken everything before a place.
    pub(super) fn advance(&self, reader: u64, offset: u64) {
        let mut state = self.lock();
        state.readers.insert(reader, offset);
        state.moved();
        // Nobody is woken for nothing: this is done for each piece.
        let is_full = std::mem::take(&mut state.is_full);
        drop(state);
        if is_full {
            self.read.notify_waiters();
        }
    }

    /// A reader does not go on.
    pub(super) fn leave(&self, reader: u64) {
        let mut state = self.lock();
        state.readers.remove(&reader);
        state.moved();
        drop(state);
        self.present.notify_waiters();
    }

    /// Ends it, unless it has ended.
    pub(super) fn end(&self, ending: Ending) {
        self.lock().ending.get_or_insert(ending);
        self.written.notify_waiters();
    }

    /// Waits until nobody has read for so long.
    pub(super) async fn left_for(&self, grace: Duration) {
        loop {
            let moved = self.present.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let until = {
                let state = self.lock();
                state.readers.is_empty().then(|| state.left + grace)
            };
            match until {
                None => moved.await,
                Some(until) if until <= Instant::now() => return,
                Some(until) => tokio::select! {
                    () = moved => {}
                    () = tokio::time::sleep_until(until) => {}
                },
            }
        }
    }

    /// Waits until some reader has taken all that was written. `false`: its readers are too slow.
    async fn caught_up(&self) -> bool {
        let started = Instant::now();
        loop {
            let moved = self.read.notified();
            let until = {
                let mut state = self.lock();
                if state.spool.written() <= state.front {
                    state.waited += started.elapsed();
                    return true;
                }
                state.is_full = true;
                state.waits_until(self.least_rate, started)
            };
            if !within(until, moved).await {
                return false;
            }
        }
    }

    /// Waits until the run may write so many bytes more, and no more than a block, without being too far ahead. Readers who are too
    /// slow are waited for no more: what they have not taken is in the file, as far as it has room.
    async fn room(&self, bytes: usize) {
        let (bytes, started) = (bytes.min(BLOCK) as u64, Instant::now());
        loop {
            // It is told of everything that comes after this, also before it is awaited.
            let moved = self.read.notified();
            let until = {
                let mut state = self.lock();
                if state.hurries || state.spool.written() + bytes <= state.front + AHEAD {
                    state.waited += started.elapsed();
                    return;
                }
                state.is_full = true;
                state.waits_until(self.least_rate, started)
            };
            if !within(until, moved).await {
                self.lock().hurries = true;
            }
        }
    }

    /// Waits until its answer has begun.
    pub(super) async fn begun(&self) {
        loop {
            let written = self.written.notified();
            tokio::pin!(written);
            written.as_mut().enable();
            if self.lock().head.is_some() {
                return;
            }
            written.await;
        }
    }

    /// Everything that was written, with what comes last. `None` if that is more than what is kept. Blocks.
    pub(super) fn all(&self, last: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
        let length = self.length(last);
        if length > self.largest {
            return Ok(None);
        }
        let mut all = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        loop {
            let place = self.lock().spool.at(all.len() as u64);
            match place {
                None => break,
                Some(Place::Memory(bytes)) => all.extend_from_slice(&bytes),
                Some(Place::File(piece)) => all.extend_from_slice(&piece.read()?),
                Some(Place::Gone) => return Ok(None),
            }
        }
        all.extend_from_slice(last);
        Ok(Some(all))
    }

    /// How long everything is that was written, with what comes last.
    pub(super) fn length(&self, last: &[u8]) -> u64 {
        self.lock().spool.written().saturating_add(last.len() as u64)
    }
}

/// What a run writes to. Dropping it says nothing; the run's result does.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(pub(super) Arc<Recording>, Option<Arc<str>>);

impl Recorder {
    pub(super) fn new(recording: Arc<Recording>) -> Self {
        Self(recording, None)
    }

    /// The same for a model that was chosen, which the head will name.
    pub(crate) fn of_model(&self, model: &str) -> Self {
        Self(Arc::clone(&self.0), Some(model.into()))
    }

    /// Whether readers were told the head, so that nobody else can answer any more.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.lock().head.is_some()
    }

    /// Writes the head, which readers are told, with the first piece at hand. Another head changes nothing.
    pub(crate) fn head(&self, head: impl FnOnce() -> Head) {
        let mut state = self.0.lock();
        if state.head.is_some() {
            return;
        }
        state.head = Some(Head { model: self.1.as_deref().map(str::to_owned), ..head() });
        drop(state);
        self.0.written.notify_waiters();
    }

    /// Gives a piece of a stream that is paid as it goes: once some reader has what came before, it is paid for and on disk.
    ///
    /// # Errors
    /// It is not given: it could not be, or its readers are too slow, so that the stream ends.
    pub(crate) async fn give(&self, tab: &Tab, cost: Amount, bytes: &Bytes) -> Result<(), NotGiven> {
        if !self.0.caught_up().await {
            let rate = self.0.least_rate;
            return Err(tab.stop(&format!("it was read more slowly than {rate} bytes a second")));
        }
        let keeps = self.0.length(bytes) <= self.0.largest;
        let headers = self.0.lock().head.as_ref().map(Head::headers).unwrap_or_default();
        tab.give(Piece { bytes, headers, cost, keeps }).await
    }

    /// Writes a piece, which readers get at once. Waits while the readers are too far behind.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) async fn write(&self, mut bytes: Bytes) -> std::io::Result<()> {
        while !bytes.is_empty() {
            self.0.room(bytes.len()).await;
            let flush = self.0.lock().spool.add(&mut bytes);
            self.0.written.notify_waiters();
            if let Some(flush) = flush {
                let file = tokio::task::spawn_blocking(|| flush.write()).await??;
                self.0.lock().spool.flushed(file);
            }
        }
        Ok(())
    }
}

pub(super) fn too_long_to_keep() -> Problem {
    Problem::new(
        Code::OutcomeGone,
        "this payment's request was run, and its answer was longer than what is kept, so it is given once",
    )
}
