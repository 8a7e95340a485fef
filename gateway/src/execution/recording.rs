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
use salt402_protocol::{Code, Problem};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::execution::spool::{BLOCK, Place, Spool};

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
}

impl State {
    fn moved(&mut self) {
        if let Some(front) = self.readers.values().max() {
            self.front = *front;
        } else {
            self.left = Instant::now();
        }
    }
}

impl Recording {
    /// An empty one, of which at most `largest` bytes are kept, in a file in `folder`.
    pub(super) fn new(folder: Arc<PathBuf>, largest: u64) -> Self {
        let state = State {
            head: None,
            spool: Spool::new(folder, largest.max(2 * AHEAD)),
            ending: None,
            readers: HashMap::new(),
            next: 0,
            front: 0,
            left: Instant::now(),
            is_full: false,
        };
        let (written, read, present) = (Notify::new(), Notify::new(), Notify::new());
        Self { state: Mutex::new(state), largest, written, read, present }
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

    /// Waits until the run may write so many bytes more, and no more than a block, without being too far ahead.
    async fn room(&self, bytes: usize) {
        let bytes = bytes.min(BLOCK) as u64;
        loop {
            let moved = self.read.notified();
            {
                let mut state = self.lock();
                if state.spool.written() + bytes <= state.front + AHEAD {
                    return;
                }
                state.is_full = true;
            }
            // It counts from where it was made: `notify_waiters` tells it of what came since.
            moved.await;
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
