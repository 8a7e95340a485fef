//! What a connection waits for, and until when.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::serve::limits::Limits;

/// What a connection does. Bytes of a client end [`Phase::Idle`], a whole head begins [`Phase::Serving`], the end of an
/// answer begins [`Phase::Idle`] again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between two requests.
    Idle(Instant),
    /// A head has begun, and is not whole.
    Head(Instant),
    /// A request is with the router, or its answer on the way. Its body and its answer have bounds of their own.
    Serving,
}

/// A connection's phase, shared by what reads it and what serves it.
#[derive(Clone, Debug)]
pub(super) struct Deadlines(Arc<Mutex<Phase>>);

impl Deadlines {
    /// A connection that has just begun: its first head is due.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Phase::Head(Instant::now()))))
    }

    pub(super) fn phase(&self) -> Phase {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn serve(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Phase::Serving;
    }

    fn served(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Phase::Idle(Instant::now());
    }

    fn heard(&self) {
        let mut phase = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*phase, Phase::Idle(_)) {
            *phase = Phase::Head(Instant::now());
        }
    }

    /// Returns when the client has taken too long, and with what.
    pub(super) async fn overdue(&self, limits: &Limits) -> Overdue {
        loop {
            let (deadline, what) = match self.phase() {
                Phase::Idle(since) => (since + limits.idle, Overdue::Idle),
                Phase::Head(since) => (since + limits.head, Overdue::Head),
                // The next phase begins now at the earliest.
                Phase::Serving => {
                    tokio::time::sleep(limits.head.min(limits.idle)).await;
                    continue;
                }
            };
            if Instant::now() >= deadline {
                return what;
            }
            // Woken early enough for the shortest deadline that a change of phase may bring.
            let shortest = Instant::now() + limits.head.max(Duration::from_millis(1));
            tokio::time::sleep_until(deadline.min(shortest)).await;
        }
    }
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    Idle,
    Head,
}

/// A stream that notes when its client speaks.
pub(super) struct Heard<S> {
    pub(super) stream: S,
    pub(super) deadlines: Deadlines,
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.deadlines.heard();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Notes the end of an answer, however it ends.
pub(super) struct Served(pub(super) Deadlines);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.served();
    }
}

/// An answer's body that notes its end.
pub(super) struct TimedBody {
    pub(super) body: Body,
    pub(super) _served: Served,
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
