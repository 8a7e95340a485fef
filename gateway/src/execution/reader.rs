//! Whoever reads a recording, from its start.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use bytes::Bytes;
use salt402_protocol::{Amount, Code, Problem};

use crate::execution::recording::{Answer, Ending, Head, Recording};
use crate::execution::spool::Place;

/// A reader of a recording. Dropping it lets the recording know.
#[derive(Debug)]
pub(crate) struct Reader {
    recording: Arc<Recording>,
    number: u64,
    offset: u64,
    /// Whether the end was given.
    ended: bool,
}

/// What there is to read.
#[derive(Debug)]
pub(crate) enum Given {
    /// A whole answer, which is on disk.
    Whole(Answer),
    /// A stream that goes on.
    Stream(Head, Reader),
    /// The answers to several requests of one payment.
    Several(Several),
}

/// The answers to several requests of one payment, which are on disk, and what became of those without one.
#[derive(Debug)]
pub(crate) struct Several {
    pub(crate) response: Response<Body>,
    /// Since when the last of them is kept, in milliseconds since 1970 UTC.
    pub(crate) kept_at_ms: u64,
    /// What those that are answered are worth of what was paid, in base units.
    pub(crate) served: Amount,
}

impl Given {
    /// A whole answer; `None` for a stream.
    #[cfg(test)]
    pub(crate) fn whole(self) -> Option<Answer> {
        match self {
            Self::Whole(answer) => Some(answer),
            Self::Stream(..) | Self::Several(_) => None,
        }
    }
}

impl Reader {
    /// One that begins at the start. Refused if the start is no longer there.
    pub(super) fn of(recording: &Arc<Recording>) -> Result<Self, Problem> {
        let number = recording.enter()?;
        Ok(Self { recording: Arc::clone(recording), number, offset: 0, ended: false })
    }

    /// Waits until there is something to read, or the run has failed before.
    pub(super) async fn given(self) -> Result<Given, Problem> {
        let recording = Arc::clone(&self.recording);
        loop {
            let written = recording.written.notified();
            tokio::pin!(written);
            written.as_mut().enable();
            {
                let state = recording.lock();
                match (&state.ending, &state.head) {
                    (Some(Ending::Answered(answer)), _) => return Ok(Given::Whole(answer.clone())),
                    // Nothing was given yet, so the status can still say so.
                    (Some(Ending::Failed(problem)), _) => return Err(problem.clone()),
                    (_, Some(head)) => {
                        let head = head.clone();
                        drop(state);
                        return Ok(Given::Stream(head, self));
                    }
                    (Some(Ending::Complete(_)), None) | (None, None) => {}
                }
            }
            written.await;
        }
    }

    /// Whether the last bytes were given.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The next bytes: at most those of one block. `None` at the end, and after an error, which is how it broke off.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Problem>> {
        if self.ended {
            return None;
        }
        let bytes = self.bytes().await;
        match &bytes {
            Some(Ok(bytes)) if !self.ended => {
                self.offset += bytes.len() as u64;
                self.recording.advance(self.number, self.offset);
            }
            _ => self.ended = true,
        }
        bytes
    }

    async fn bytes(&mut self) -> Option<Result<Bytes, Problem>> {
        loop {
            // It is told of everything that comes after this, also before it is awaited.
            let written = self.recording.written.notified();
            let place = {
                let state = self.recording.lock();
                match (state.spool.at(self.offset), &state.ending) {
                    (Some(place), _) => Some(place),
                    (None, Some(Ending::Complete(last))) => {
                        self.ended = true;
                        return (!last.is_empty()).then(|| Ok(last.clone()));
                    }
                    (None, Some(Ending::Failed(problem))) => return Some(Err(problem.clone())),
                    (None, Some(Ending::Answered(_))) => return None,
                    (None, None) => None,
                }
            };
            match place {
                None => written.await,
                Some(Place::Memory(bytes)) => return Some(Ok(bytes)),
                Some(Place::Gone) => return Some(Err(too_slow())),
                Some(Place::File(piece)) => {
                    let read = tokio::task::spawn_blocking(|| piece.read()).await;
                    // It may have been overwritten while it was read.
                    if !self.recording.lock().spool.has(self.offset) {
                        return Some(Err(too_slow()));
                    }
                    return Some(match read {
                        Ok(Ok(bytes)) => Ok(bytes),
                        Ok(Err(error)) => Err(unreadable(&error)),
                        Err(error) => Err(unreadable(&error.into())),
                    });
                }
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.recording.leave(self.number);
    }
}

fn too_slow() -> Problem {
    Problem::new(
        Code::OutcomeGone,
        "the answer is longer than what is kept, and what was not read in time is gone",
    )
}

fn unreadable(error: &std::io::Error) -> Problem {
    tracing::error!(%error, "what a run has written could not be read");
    Problem::new(Code::Internal, "the answer could not be read; show the same proof again")
}
