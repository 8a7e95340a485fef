//! One connection to an upstream, and what went over it.
//!
//! hyper-util's own pool is not used: it does not tell whether a byte of an answer came before a connection ended. A
//! paid request is sent a second time only where none came.
//!
//! A connection is moved by whoever waits for something of it, in that task: so nobody else has to be woken for each piece
//! of an answer. One that is kept is looked at when it is taken out again.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Builder, SendRequest};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service as _;

use crate::upstream::payload::Outgoing;

/// The longest head of an answer, in bytes. Heads have at most 100 headers, which is hyper's own limit.
const LONGEST_HEAD: usize = 64 * 1024;

/// How connections to one upstream are made.
#[derive(Clone)]
pub(super) enum Connector {
    /// Over TCP.
    Plain(HttpConnector),
    /// Over TLS.
    Tls(HttpsConnector<HttpConnector>),
}

impl Connector {
    pub(super) fn plain() -> Self {
        Self::Plain(tcp())
    }

    /// The errors are those of the trusted certificates, which the system may lack.
    pub(super) fn tls() -> std::io::Result<Self> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let builder = HttpsConnectorBuilder::new().with_provider_and_platform_verifier(provider)?;
        let mut tcp = tcp();
        tcp.enforce_http(false);
        Ok(Self::Tls(builder.https_only().enable_http1().wrap_connector(tcp)))
    }

    /// A new connection.
    pub(super) async fn connect(&mut self, upstream: Uri) -> Result<Connection, BoxError> {
        let stream = match self {
            Self::Plain(connector) => {
                std::future::poll_fn(|context| connector.poll_ready(context)).await?;
                MaybeHttpsStream::Http(connector.call(upstream).await?)
            }
            Self::Tls(connector) => {
                std::future::poll_fn(|context| connector.poll_ready(context)).await?;
                connector.call(upstream).await?
            }
        };
        Connection::over(stream).await.map_err(Into::into)
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp
}

type Driving = http1::Connection<TokioIo<Counted<TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>>>, Outgoing>;

/// A connection that carries one request at a time. Dropped, it is closed.
pub(super) struct Connection {
    sender: SendRequest<Outgoing>,
    driver: Driver,
    traffic: Arc<Traffic>,
    /// How many bytes had arrived when the last request began.
    read_before: u64,
}

/// Who moves a connection's bytes.
enum Driver {
    /// Whoever waits for something of it.
    Caller(Box<Driving>),
    /// A task of its own, which ends with the connection.
    Task,
    /// Nobody: it has ended.
    Ended,
}

/// Why a request was not answered.
pub(super) struct Unanswered {
    /// The reason, for the log.
    pub(super) error: hyper::Error,
    /// The request, if nothing of it was sent.
    pub(super) unsent: Option<Box<Request<Outgoing>>>,
}

impl Connection {
    async fn over(stream: MaybeHttpsStream<TokioIo<TcpStream>>) -> hyper::Result<Self> {
        let traffic = Arc::new(Traffic::new());
        let counted = Counted { stream: TokioIo::new(stream), traffic: Arc::clone(&traffic) };
        let (sender, driving) =
            Builder::new().max_header_size(LONGEST_HEAD).handshake(TokioIo::new(counted)).await?;
        Ok(Self { sender, driver: Driver::Caller(Box::new(driving)), traffic, read_before: 0 })
    }

    /// Whether a request can be sent: the last answer has ended, and the upstream has not closed it since, as far as is
    /// known here. Nobody is woken for what comes later, so this is asked again before it is used.
    pub(super) fn is_usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        matches!(self.driver, Driver::Caller(_)) && self.sender.is_ready()
    }

    /// Sends a request. [`Connection::poll`] brings the head of its answer.
    pub(super) fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> impl Future<Output = Result<Response<Incoming>, Unanswered>> + use<> {
        self.read_before = self.traffic.read.load(Ordering::Acquire);
        self.traffic.note_written();
        let answer = self.sender.try_send_request(request);
        async move {
            answer.await.map_err(|mut failed| Unanswered {
                unsent: failed.take_message().map(Box::new),
                error: failed.into_error(),
            })
        }
    }

    /// Looks for something that this connection brings, and moves the connection until it is there.
    pub(super) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        mut look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if matches!(self.driver, Driver::Task) {
            return look(context);
        }
        let mut found = self.poll_now(&mut look);
        if found.is_pending() {
            self.drive(context);
            found = look(&mut Context::from_waker(Waker::noop()));
        }
        found
    }

    /// The same, of what is there now. Nobody is woken for what comes later.
    pub(super) fn poll_now<T>(&mut self, mut look: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        // What it brings need not wake whoever is here already.
        let mut nobody = Context::from_waker(Waker::noop());
        let found = look(&mut nobody);
        if found.is_ready() {
            return found;
        }
        self.drive(&mut nobody);
        look(&mut nobody)
    }

    fn drive(&mut self, context: &mut Context<'_>) {
        let Driver::Caller(driving) = &mut self.driver else { return };
        if let Poll::Ready(ended) = Pin::new(driving).poll(context) {
            note_end(ended);
            self.driver = Driver::Ended;
        }
    }

    /// Moves it in a task of its own from here on, whether anybody waits for something of it or not.
    pub(super) fn move_by_itself(&mut self) {
        match std::mem::replace(&mut self.driver, Driver::Task) {
            Driver::Caller(driving) => drop(tokio::spawn(async move { note_end(driving.await) })),
            other => self.driver = other,
        }
    }

    /// Whether nothing has arrived since the last request began.
    pub(super) fn is_silent(&self) -> bool {
        self.traffic.read.load(Ordering::Acquire) == self.read_before
    }

    /// When something was last sent.
    pub(super) fn last_written(&self) -> Instant {
        self.traffic.last_written()
    }
}

fn note_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to an upstream ended");
    }
}

/// What went over a connection.
struct Traffic {
    begun: Instant,
    /// How many bytes arrived.
    read: AtomicU64,
    /// When something was last sent, in microseconds since it was begun.
    written_at: AtomicU64,
}

impl Traffic {
    fn new() -> Self {
        Self { begun: Instant::now(), read: AtomicU64::new(0), written_at: AtomicU64::new(0) }
    }

    fn note_written(&self) {
        let since = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.written_at.store(since, Ordering::Release);
    }

    fn last_written(&self) -> Instant {
        self.begun + Duration::from_micros(self.written_at.load(Ordering::Acquire))
    }
}

/// A stream that counts its traffic.
struct Counted<S> {
    stream: S,
    traffic: Arc<Traffic>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let arrived = buffer.filled().len().saturating_sub(before) as u64;
        this.traffic.read.fetch_add(arrived, Ordering::AcqRel);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        this.traffic.note_written();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, slices))?;
        this.traffic.note_written();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
