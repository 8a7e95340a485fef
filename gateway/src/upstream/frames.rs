//! The body of an upstream's answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::upstream::connection::Connection;
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::pool::Pool;

/// Smaller pieces that are there at once are given as one, which costs less to pass on than each of them.
const JOINED: usize = 8 * 1024;

/// The body of an upstream's answer: its pieces as they come, without trailers. After an error it has ended.
///
/// Only pieces that are asked for are read: a slow reader slows the upstream. Dropped before its end, it closes the
/// connection, which stops the upstream.
pub(crate) struct Frames {
    body: Incoming,
    /// `None` once the answer has ended.
    connection: Option<Connection>,
    pool: Arc<Pool>,
    /// The longest pause of the upstream.
    between: Duration,
    /// Until when the present pause may last. It does not run while nobody reads.
    pause: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    /// Why it broke off behind the last piece that was given.
    broken: Option<hyper::Error>,
    failed: bool,
}

impl Frames {
    pub(super) fn new(body: Incoming, connection: Connection, pool: Arc<Pool>, between: Duration) -> Self {
        let connection = Some(connection);
        let (pause, broken) = (None, None);
        let mut frames =
            Self { body, connection, pool, between, pause, is_waiting: false, broken, failed: false };
        frames.release_at_end();
        frames
    }

    /// Gives the connection back if the answer was read to its end.
    fn release_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some(connection) = self.connection.take() {
            Pool::put(&self.pool, connection);
        }
    }

    fn fail(&mut self, failure: Failure) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        self.failed = true;
        self.connection = None;
        Poll::Ready(Some(Err(failure.into())))
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        if let Some(broken) = self.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        let mut look = |context: &mut Context<'_>| Pin::new(&mut self.body).poll_frame(context);
        match &mut self.connection {
            Some(connection) => connection.poll(context, look),
            None => look(context),
        }
    }

    /// What is there behind a short piece joins it.
    fn joined(&mut self, first: Bytes) -> Bytes {
        let mut joined = BytesMut::new();
        while first.len().max(joined.len()) < JOINED
            && let Some(connection) = &mut self.connection
        {
            match connection.poll_now(|context| Pin::new(&mut self.body).poll_frame(context)) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if joined.is_empty() {
                        joined.extend_from_slice(&first);
                    }
                    joined.extend_from_slice(&data);
                    self.release_at_end();
                }
                Poll::Ready(Some(Err(broken))) => {
                    self.broken = Some(broken);
                    break;
                }
                Poll::Ready(None) => self.release(),
                Poll::Pending => break,
            }
        }
        if joined.is_empty() { first } else { joined.freeze() }
    }

    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let until = Instant::now() + self.between;
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if !std::mem::replace(&mut self.is_waiting, true) {
            pause.as_mut().reset(until);
        }
        pause.as_mut().poll(context)
    }
}

impl Stream for Frames {
    type Item = Result<Bytes, UpstreamError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.failed {
            return Poll::Ready(None);
        }
        loop {
            let Poll::Ready(frame) = this.poll_body(context) else {
                return match this.poll_pause(context) {
                    Poll::Ready(()) => this.fail(Failure::Stalled),
                    Poll::Pending => Poll::Pending,
                };
            };
            this.is_waiting = false;
            match frame {
                // Trailers say nothing here.
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    this.release_at_end();
                    return Poll::Ready(Some(Ok(this.joined(data))));
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "an upstream's answer broke off");
                    return this.fail(Failure::BrokenOff);
                }
                None => {
                    this.release();
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        self.poll_next(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
