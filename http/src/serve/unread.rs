//! Requests that are answered before all of their body has come.
//!
//! hyper closes the connection of such a request after the answer, and does not say so in it. A client that keeps the connection sends
//! its next request into nothing, and does not know what became of it. So the answer says it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, Request, Response, header};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// Whether a body has come to its end. `None`: there was none.
#[derive(Clone, Debug)]
pub(super) struct Ended(Option<Arc<AtomicBool>>);

/// A body that notes its end.
struct Watched<B> {
    body: B,
    ended: Arc<AtomicBool>,
}

impl Ended {
    /// Watches the body of a request.
    pub(super) fn of<B>(request: Request<B>) -> (Request<Body>, Self)
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        if request.body().is_end_stream() {
            return (request.map(|_| Body::empty()), Self(None));
        }
        let ended = Arc::new(AtomicBool::new(false));
        let watch = Arc::clone(&ended);
        (request.map(|body| Body::new(Watched { body, ended: watch })), Self(Some(ended)))
    }

    /// Says in an answer that the connection ends with it, if it does.
    pub(super) fn tell(&self, response: &mut Response<Body>) {
        if self.0.as_ref().is_some_and(|ended| !ended.load(Ordering::Relaxed)) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.ended.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio_util::sync::CancellationToken;

    use crate::serve::limits::Limits;
    use crate::serve::listener::Listener;
    use crate::serve::serve;

    /// Sends `first`, reads an answer's head, and returns it.
    async fn ask(stream: &mut TcpStream, first: &str) -> String {
        stream.write_all(first.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    #[tokio::test]
    async fn an_answer_to_a_body_that_was_not_read_ends_its_connection_and_says_so() {
        let router = Router::new()
            .route("/refuse", post(|| async { StatusCode::UNSUPPORTED_MEDIA_TYPE }))
            .route("/read", post(|_: bytes::Bytes| async { StatusCode::NO_CONTENT }));
        let listener = Listener::tcp(([127, 0, 0, 1], 0).into()).await.unwrap();
        let Listener::Tcp(port) = &listener else { unreachable!() };
        let address = port.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve("test", listener, router, Limits::default(), stop.clone()));

        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "host: localhost\r\ncontent-length: 5\r\n\r\n";
        for _ in 0..2 {
            let read = ask(&mut stream, &format!("POST /read HTTP/1.1\r\n{head}12345")).await;
            assert!(read.starts_with("HTTP/1.1 204") && !read.contains("connection: close"), "{read}");
        }
        let bare =
            ask(&mut stream, "POST /refuse HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").await;
        assert!(bare.starts_with("HTTP/1.1 415") && !bare.contains("connection: close"), "{bare}");
        // The body has not come yet.
        let refused = ask(&mut stream, &format!("POST /refuse HTTP/1.1\r\n{head}")).await;
        assert!(refused.starts_with("HTTP/1.1 415") && refused.contains("connection: close"), "{refused}");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        stop.cancel();
        drop(stream);
        serving.await.unwrap();
    }
}
