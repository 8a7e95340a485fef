//! What connections come from: a port, or a socket in the file system.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_util::either::Either;

use crate::serve::unix::{UnixSocket, UnixSocketError};

/// What connections come from.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A socket in the file system. Whoever may write to it may connect; there are no addresses to count by.
    Unix(UnixSocket),
}

/// A connection of either kind.
pub(super) type Stream = Either<TcpStream, UnixStream>;

impl Listener {
    /// A TCP port.
    pub async fn tcp(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self::Tcp)
    }

    /// A socket in the file system, for the users that `mode` lets write to it (such as `0o660`).
    pub fn unix(path: &Path, mode: u32) -> Result<Self, UnixSocketError> {
        UnixSocket::bind(path, mode).map(Self::Unix)
    }

    pub(super) async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
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
