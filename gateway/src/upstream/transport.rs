//! Requests to one upstream, over connections that are kept for a while.
//!
//! Nothing is read from the environment, and no redirect is followed. Where a kept connection was closed before any
//! byte of an answer came, the upstream had most likely closed it before the request: the same request is sent once
//! more over a new connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::http::uri::{Authority, InvalidUri, PathAndQuery, Scheme};
use axum::http::{HeaderValue, Method, Request, Response, Uri, Version, header, request, uri};
use bytes::Bytes;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use crate::upstream::connection::{Connection, Connector};
use crate::upstream::failure::{Failure, UpstreamError};
use crate::upstream::frames::Frames;
use crate::upstream::payload::{Outgoing, Payload, Upload};
use crate::upstream::pool::Pool;

/// How long an upstream may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For a connection, with its name and TLS.
    pub connect: Duration,
    /// For the head of its answer, after the last byte of the request was sent.
    pub first_byte: Duration,
    /// Between two pieces of its answer.
    pub between: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(120),
            between: Duration::from_secs(60),
        }
    }
}

/// Why no request can ever be sent to an upstream.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Its address says more or less than where it is.
    #[error(
        "an upstream's address is http:// or https://, a host and perhaps a port and a path, without a user, a query or a \
         fragment"
    )]
    Address,
    /// Its address has a host or a path that no request can name.
    #[error("an upstream's address cannot be written into a request: {0}")]
    Unwritable(#[from] InvalidUri),
    /// Its key cannot stand in a header.
    #[error("an upstream's key has only visible ASCII")]
    Key,
    /// The certificates that TLS trusts cannot be read.
    #[error("the certificates to trust cannot be read: {0}; install the system's package of certificates")]
    Certificates(#[from] std::io::Error),
}

/// The way to one upstream. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Transport(Arc<Inner>);

struct Inner {
    /// Where to connect.
    address: Uri,
    host: HeaderValue,
    /// What stands before the path of each request, without a slash at its end.
    beginning: String,
    connector: Connector,
    deadlines: Deadlines,
    pool: Arc<Pool>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transport({})", self.0.address)
    }
}

/// A request that was not answered.
struct Broken {
    error: UpstreamError,
    /// The same request, if none of it was sent.
    unsent: Option<Box<Request<Outgoing>>>,
    /// Whether the connection was closed and nothing had arrived.
    silent: bool,
}

impl Transport {
    /// The way to the upstream at `base`. What `base` has as a path stands before the path of each request.
    pub(crate) fn new(base: &Url, deadlines: Deadlines) -> Result<Self, TransportError> {
        let says_more = !base.username().is_empty()
            || base.password().is_some()
            || base.query().is_some()
            || base.fragment().is_some();
        let (host, scheme) = match (base.host_str(), base.scheme()) {
            (Some(host), "http") if !says_more => (host, Scheme::HTTP),
            (Some(host), "https") if !says_more => (host, Scheme::HTTPS),
            _ => return Err(TransportError::Address),
        };
        let named = base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let authority: Authority = named.parse()?;
        let beginning = base.path().trim_end_matches('/').to_owned();
        format!("{beginning}/").parse::<PathAndQuery>()?;
        let connector = if scheme == Scheme::HTTPS { Connector::tls()? } else { Connector::plain() };
        let mut parts = uri::Parts::default();
        parts.scheme = Some(scheme);
        parts.authority = Some(authority);
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        let address = Uri::from_parts(parts).map_err(|_| TransportError::Address)?;
        let host = HeaderValue::from_str(&named).map_err(|_| TransportError::Address)?;
        let pool = Arc::default();
        Ok(Self(Arc::new(Inner { address, host, beginning, connector, deadlines, pool })))
    }

    /// Sends a request and returns the head of its answer, whatever its status. The path of `request` is put behind
    /// that of the upstream, and `Host` and what frames the body are set here.
    ///
    /// # Errors
    ///
    /// [`Failure::Unreachable`] and [`Failure::NotConnected`] if nothing was sent, [`Failure::Timeout`] and
    /// [`Failure::BrokenOff`] if there is no answer, [`Failure::RequestBrokenOff`] if the client did not send all.
    pub(crate) async fn send(&self, request: Request<Payload>) -> Result<Response<Frames>, UpstreamError> {
        let (parts, payload) = request.into_parts();
        let parts = self.0.addressed(parts, &payload)?;
        let upload = Arc::default();
        let Some(kept) = self.0.pool.take() else {
            let connection = self.0.connect().await?;
            let request = Request::from_parts(parts, Outgoing::of(payload, &upload));
            return self.0.exchange(connection, request, &upload).await.map_err(|broken| broken.error);
        };
        let again = match &payload {
            Payload::Whole(bytes) => Some((parts.clone(), bytes.clone())),
            Payload::Stream(_) => None,
        };
        let request = Request::from_parts(parts, Outgoing::of(payload, &upload));
        let Broken { error, unsent, silent } = match self.0.exchange(kept, request, &upload).await {
            Ok(response) => return Ok(response),
            Err(broken) => broken,
        };
        let request = match (unsent, again) {
            (Some(unsent), _) => *unsent,
            (None, Some((parts, bytes))) if silent => Request::from_parts(parts, Outgoing::Whole(bytes)),
            _ => return Err(error),
        };
        tracing::debug!("a kept connection was closed before an answer; the request is sent once more");
        let connection = self.0.connect().await?;
        self.0.exchange(connection, request, &upload).await.map_err(|broken| broken.error)
    }
}

impl Inner {
    /// The head of a request as it is sent.
    fn addressed(
        &self,
        mut parts: request::Parts,
        payload: &Payload,
    ) -> Result<request::Parts, UpstreamError> {
        let asked = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        // A path that is too long for a request has no place in one.
        let path = if self.beginning.is_empty() {
            asked.parse::<PathAndQuery>()
        } else {
            PathAndQuery::from_maybe_shared(Bytes::from(format!("{}{asked}", self.beginning)))
        };
        parts.uri = path.map(Uri::from).map_err(|_| UpstreamError::from(Failure::Refused(414)))?;
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        parts.headers.insert(header::HOST, self.host.clone());
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::TRANSFER_ENCODING);
        // Some servers want to be told that there is nothing.
        let is_empty = matches!(payload, Payload::Whole(bytes) if bytes.is_empty());
        if is_empty && [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method) {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(parts)
    }

    async fn connect(&self) -> Result<Connection, UpstreamError> {
        let mut connector = self.connector.clone();
        match timeout(self.deadlines.connect, connector.connect(self.address.clone())).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                tracing::warn!(error, upstream = %self.address, "an upstream could not be reached");
                Err(Failure::Unreachable.into())
            }
            Err(_) => {
                tracing::warn!(upstream = %self.address, "an upstream could not be reached in time");
                Err(Failure::NotConnected.into())
            }
        }
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        request: Request<Outgoing>,
        upload: &Upload,
    ) -> Result<Response<Frames>, Broken> {
        let mut answer = std::pin::pin!(connection.send(request));
        let mut until = Instant::now() + self.deadlines.first_byte;
        let answered = loop {
            let head = poll_fn(|context| connection.poll(context, |context| answer.as_mut().poll(context)));
            match timeout_at(until, head).await {
                Ok(answered) => break answered,
                // A long request is still on its way.
                Err(_) if connection.last_written() + self.deadlines.first_byte > Instant::now() => {
                    until = connection.last_written() + self.deadlines.first_byte;
                }
                // Its client is slow, and not the upstream.
                Err(_) if upload.is_awaited() => until = Instant::now() + self.deadlines.first_byte,
                Err(_) => {
                    tracing::warn!(upstream = %self.address, "an upstream did not answer in time");
                    return Err(Broken { error: Failure::Timeout.into(), unsent: None, silent: false });
                }
            }
        };
        match answered {
            Ok(response) => {
                // What its client still sends goes on also while nobody reads the answer.
                if upload.is_open() {
                    connection.move_by_itself();
                }
                Ok(response.map(|body| self.frames(body, connection)))
            }
            Err(unanswered) => {
                let error = &unanswered.error;
                tracing::warn!(%error, upstream = %self.address, "an upstream did not answer");
                let kind = if upload.is_broken() { Failure::RequestBrokenOff } else { Failure::BrokenOff };
                let silent = connection.is_silent();
                Err(Broken { error: kind.into(), unsent: unanswered.unsent, silent })
            }
        }
    }

    fn frames(&self, body: Incoming, connection: Connection) -> Frames {
        Frames::new(body, connection, Arc::clone(&self.pool), self.deadlines.between)
    }
}

#[cfg(test)]
mod tests;
