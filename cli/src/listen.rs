//! A router on its sockets, until the end.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use axum::Router;
use salt402_http::{Limits, Listener};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The place where a part listens.
pub(crate) struct Endpoint {
    /// Its name in messages and metrics, which is also the name of its table in the configuration.
    pub(crate) part: &'static str,
    /// Its port.
    pub(crate) address: SocketAddr,
    /// Its socket in the file system with its permissions, if it has one.
    pub(crate) socket: Option<(PathBuf, u32)>,
    /// How much its clients may take.
    pub(crate) limits: Limits,
}

/// A part's listeners, bound.
pub(crate) struct Bound {
    part: &'static str,
    tcp: Listener,
    unix: Option<Listener>,
    limits: Limits,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        match &self.socket {
            Some((path, mode)) => write!(f, " and {} (mode {mode:04o})", path.display()),
            None => Ok(()),
        }
    }
}

impl Endpoint {
    /// Binds. An error names the part and its address.
    pub(crate) async fn bind(self) -> anyhow::Result<Bound> {
        let Self { part, address, socket, limits } = self;
        let tcp = Listener::tcp(address).await.with_context(|| {
            format!("{part} cannot listen on {address}: choose another address in [{part}]")
        })?;
        let unix = match &socket {
            Some((path, mode)) => {
                let unix = Listener::unix(path, *mode);
                Some(unix.with_context(|| format!("{part} cannot listen on its socket, [{part}] socket"))?)
            }
            None => None,
        };
        let socket = socket.map(|(path, _)| path.display().to_string());
        tracing::info!(%address, socket, "{part} listens");
        Ok(Bound { part, tcp, unix, limits })
    }
}

impl Bound {
    /// Serves in tasks of its own, until `stop`. `router` makes the router of each listener, and is told whether the
    /// listener is the socket in the file system.
    pub(crate) fn serve(
        self,
        tasks: &mut JoinSet<anyhow::Result<()>>,
        router: impl Fn(bool) -> Router,
        stop: &CancellationToken,
    ) {
        let Self { part, tcp, unix, limits } = self;
        for (listener, inside) in [(Some(tcp), false), (unix, true)] {
            let Some(listener) = listener else { continue };
            let (router, limits, stop) = (router(inside), limits.clone(), stop.clone());
            tasks.spawn(async move {
                salt402_http::serve(part, listener, router, limits, stop).await;
                Ok(())
            });
        }
    }
}
