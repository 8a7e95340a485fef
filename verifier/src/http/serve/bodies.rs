//! How much of requests' bodies is held at once, before anybody has paid.
//!
//! What is held is counted by capacity and not by what has arrived, and given back when the body is dropped. The first
//! bytes of each body are not counted, so that small requests get in while large ones fill the room: how many there are
//! is bounded by the connections.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use salt402_protocol::{Code, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;

/// What each body may hold beside the room that all share.
pub(crate) const FREE: usize = 4096;

/// The room of a request whose listener is not ours.
static ELSEWHERE: LazyLock<BodyRoom> = LazyLock::new(|| BodyRoom::new("elsewhere", &Limits::default()));

/// How a request's body is received. In a request's extensions, put there by [`super::serve`].
#[derive(Clone, Debug)]
pub struct BodyRoom {
    /// How long it may take to arrive.
    pub(crate) patience: Duration,
    /// How long it may take to go on.
    pub(crate) pause: Duration,
    listener: &'static str,
    bytes: Arc<Semaphore>,
}

impl BodyRoom {
    /// A listener's.
    pub(crate) fn new(listener: &'static str, limits: &Limits) -> Self {
        let bytes = limits.bodies_bytes.min(Semaphore::MAX_PERMITS);
        Self {
            patience: limits.body,
            pause: limits.body_pause,
            listener,
            bytes: Arc::new(Semaphore::new(bytes)),
        }
    }

    /// The room of a request.
    pub(crate) fn of(extensions: &axum::http::Extensions) -> Self {
        extensions.get::<Self>().unwrap_or(&ELSEWHERE).clone()
    }

    /// A place for a body of which nothing has arrived.
    pub(crate) fn place(&self) -> Place {
        Place { listener: self.listener, room: Arc::clone(&self.bytes), held: None }
    }
}

/// What a body holds of its listener's room; given back when dropped.
#[derive(Debug)]
pub struct Place {
    listener: &'static str,
    room: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Makes room for `bytes` in all, or says that there is none.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.saturating_sub(FREE).saturating_sub(held);
        let wanted = u32::try_from(more).ok();
        let Some(permit) = wanted.and_then(|more| Arc::clone(&self.room).try_acquire_many_owned(more).ok())
        else {
            metrics::counter!("salt402_bodies_refused_total", "listener" => self.listener).increment(1);
            let detail =
                "other requests fill the room for bodies: come back in a moment, or send a smaller one";
            return Err(Problem::new(Code::TooManyBodies, detail).retry_after(1000));
        };
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        metrics::gauge!("salt402_bodies_bytes", "listener" => self.listener).increment(more as f64);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        metrics::gauge!("salt402_bodies_bytes", "listener" => self.listener).decrement(held as f64);
    }
}
