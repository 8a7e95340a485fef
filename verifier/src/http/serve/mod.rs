//! A router on a socket, in front of clients that may be slow, many or hostile.
//!
//! ```text
//!            over a limit: 503 and gone
//! listener ──────────▶ gate ──────────▶ connection task ──▶ router
//!                       one place for        │
//!                       each connection      └── watch: head, idle and write deadlines
//! ```
//!
//! Every wait for a client has an end: for a request's head, its body, the next request on a connection, and for the
//! client to take an answer. What a waiting client holds is bounded by the head's length and the number of connections.

mod bodies;
mod connection;
mod gate;
mod limits;
mod unix;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use salt402_protocol::{Code, Problem};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::bodies::FREE;
pub use self::bodies::{BodyRoom, Place};
use self::connection::Connection;
use self::gate::{Full, Gate, Pass};
pub use self::limits::Limits;
pub use self::unix::{UnixSocket, UnixSocketError};

/// How long connections may go on after the end was announced.
const GRACE: Duration = Duration::from_secs(20);
/// How long a refused client may take to read why, and how many may do so at once; beyond it they are only closed.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELLS: usize = 64;
/// The pause after an accept that failed for want of file descriptors or memory.
const BREATH: Duration = Duration::from_millis(50);

/// What connections come from.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A socket in the file system. Whoever may write to it may connect; there are no addresses to count by.
    Unix(UnixSocket),
}

/// A connection of either kind.
pub(crate) type Stream = Either<TcpStream, UnixStream>;

impl Listener {
    /// A TCP port.
    pub async fn tcp(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self::Tcp)
    }

    /// A socket in the file system, for the users that `mode` lets write to it (such as `0o660`).
    pub fn unix(path: &Path, mode: u32) -> Result<Self, UnixSocketError> {
        UnixSocket::bind(path, mode).map(Self::Unix)
    }

    async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers are small and written whole: waiting to fill a packet only costs time.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY could not be set");
                }
                Ok((Either::Left(stream), Some(peer)))
            }
            Self::Unix(socket) => Ok((Either::Right(socket.accept().await?), None)),
        }
    }
}

/// Serves until `stop`, then lets open requests end, for twenty seconds at most. `name` is the listener's in metrics.
pub async fn serve(
    name: &'static str,
    listener: Listener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let gate = Gate::new(name, &limits);
    let room = BodyRoom::new(name, &limits);
    let farewells = Gate::new(name, &Limits { connections: FAREWELLS, ..Limits::default() });
    let cut = CancellationToken::new();
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // The client was gone again, or this process has no descriptors left: others will close theirs.
                tracing::warn!(listener = name, %error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        match gate.enter(peer.map(|peer| peer.ip().to_canonical())) {
            Ok(pass) => {
                let (router, limits, room) = (router.clone(), limits.clone(), room.clone());
                let connection = Connection { name, peer, router, limits, room };
                let (stop, cut) = (stop.clone(), cut.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = connection.run(stream, stop) => {}
                        () = cut.cancelled() => {}
                    }
                    drop(pass);
                });
            }
            Err(full) => {
                metrics::counter!("salt402_connections_refused_total", "listener" => name, "reason" => full.reason())
                    .increment(1);
                if let Ok(pass) = farewells.enter(None) {
                    tasks.spawn(refuse(stream, full, pass));
                }
            }
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!(
            listener = name,
            "connections were still open after {} s and are cut",
            GRACE.as_secs()
        );
        cut.cancel();
        tasks.wait().await;
    }
}

/// Says why a connection is not served, and closes it. The client's own words are read and thrown away for a moment:
/// closed over unread bytes, a TCP socket takes back what was just written.
async fn refuse(mut stream: Stream, full: Full, _pass: Pass) {
    let problem = Problem::new(Code::TooManyConnections, full.detail()).retry_after(1000);
    let farewell = async {
        stream.write_all(&connection::bare_response(&problem)).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}
