//! The body of a request to an upstream.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// The body of a request to an upstream.
pub(crate) enum Payload {
    /// All of it. Only this is ever sent twice.
    Whole(Bytes),
    /// As a client sends it.
    Stream(Body),
}

/// What a client did while its body was passed on.
#[derive(Default)]
pub(super) struct Upload {
    /// It broke off.
    broken: AtomicBool,
    /// More of it is waited for.
    awaited: AtomicBool,
    /// It was not passed on to its end.
    open: AtomicBool,
}

impl Upload {
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Acquire)
    }
}

/// A [`Payload`] on its way.
pub(super) enum Outgoing {
    Whole(Bytes),
    Stream { body: Body, upload: Uploading },
}

/// Goes with a client's body while it is passed on.
pub(super) struct Uploading(Arc<Upload>);

impl Drop for Uploading {
    fn drop(&mut self) {
        self.0.open.store(false, Ordering::Release);
    }
}

impl Outgoing {
    /// A payload, and whoever is told of a client's part of it.
    pub(super) fn of(payload: Payload, upload: &Arc<Upload>) -> Self {
        match payload {
            Payload::Whole(bytes) => Self::Whole(bytes),
            Payload::Stream(body) => {
                upload.open.store(true, Ordering::Release);
                Self::Stream { body, upload: Uploading(Arc::clone(upload)) }
            }
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Stream { body, upload } => {
                let polled = Pin::new(body).poll_frame(context);
                upload.0.awaited.store(polled.is_pending(), Ordering::Release);
                if let Poll::Ready(Some(Err(_))) = polled {
                    upload.0.broken.store(true, Ordering::Release);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream { body, .. } => body.size_hint(),
        }
    }
}
