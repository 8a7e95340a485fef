//! One connection: its requests one after another, and its end.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use salt402_protocol::problem::PROBLEM_JSON;
use salt402_protocol::{Code, Problem};
use tokio::io::AsyncWriteExt as _;
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tower::{Layer as _, ServiceExt as _};

use crate::address::Caller;
use crate::answer::problem_response;
use crate::serve::bodies::BodyBudget;
use crate::serve::deadlines::{Deadlines, Heard, Overdue, Served, TimedBody};
use crate::serve::limits::Limits;
use crate::serve::listener::Stream;
use crate::serve::unread::Ended;

/// How long a client that is cut off or refused may take to read why.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

/// Beyond the largest head that is answered in words, what the parser may hold of one. A longer head gets a bare 431.
const SLACK: usize = 64 * 1024;

/// How connections are served.
pub(super) struct Connection {
    pub(super) name: &'static str,
    /// Who asks; a socket in the file system does not say.
    pub(super) peer: Option<SocketAddr>,
    pub(super) router: Router,
    pub(super) limits: Limits,
    /// What its requests' bodies share with all others.
    pub(super) budget: BodyBudget,
}

impl Connection {
    /// Serves until the client or we have had enough, or until `stop` and the end of the request under way.
    pub(super) async fn run(self, stream: Stream, stop: CancellationToken) {
        let Self { name, peer, router, limits, budget } = self;
        let limits = Arc::new(limits);
        let deadlines = Deadlines::new();
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(limits.write));
        let io = TokioIo::new(Heard { stream: Box::pin(stream), deadlines: deadlines.clone() });
        let service = {
            let (limits, deadlines) = (Arc::clone(&limits), deadlines.clone());
            hyper::service::service_fn(move |mut request: Request<Incoming>| {
                deadlines.serve();
                let peer = peer.map(|peer| peer.ip().to_canonical());
                let caller = Caller::told(&limits.proxies, request.headers(), peer);
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(budget.clone());
                Box::pin(answer(router.clone(), request, Arc::clone(&limits), Served(deadlines.clone())))
            })
        };
        let mut serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(limits.head_bytes + SLACK)
            .serve_connection(io, service);
        let mut stopping = pin!(stop.cancelled_owned());
        let mut stopped = false;
        let overdue = loop {
            // What has come is read before a deadline is looked at: a request that comes in the same moment is answered.
            tokio::select! {
                biased;
                ended = std::future::poll_fn(|cx| serving.poll_without_shutdown(cx)) => {
                    if let Err(error) = ended {
                        tracing::debug!(listener = name, %error, "a connection broke");
                    }
                    break None;
                }
                overdue = deadlines.overdue(&limits) => break Some(overdue),
                () = &mut stopping, if !stopped => {
                    stopped = true;
                    std::pin::Pin::new(&mut serving).graceful_shutdown();
                }
            }
        };
        let mut stream = serving.into_parts().io.into_inner().stream;
        let last_words = async {
            if let Some(overdue) = overdue {
                let reason = match overdue {
                    Overdue::Idle => "idle",
                    Overdue::Head => "head",
                };
                metrics::counter!("salt402_connections_cut_total", "listener" => name, "reason" => reason)
                    .increment(1);
                if overdue == Overdue::Head {
                    let detail = format!("the head did not arrive within {} ms", limits.head.as_millis());
                    let said = bare_response(&Problem::new(Code::RequestTimeout, detail));
                    stream.write_all(&said).await?;
                }
            }
            stream.shutdown().await
        };
        let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
    }
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    limits: Arc<Limits>,
    served: Served,
) -> Result<Response<TimedBody>, Infallible> {
    let response = match oversize(&request, &limits) {
        Some(problem) => {
            let mut response = problem_response(&problem);
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            readable(&limits, request, response).await?
        }
        None => {
            let (request, ended) = Ended::of(request);
            let mut response = router.oneshot(request).await?;
            ended.tell(&mut response);
            response
        }
    };
    Ok(response.map(|body| TimedBody { body, _served: served }))
}

/// An answer that no router gives, which pages may read as those of the router.
async fn readable(
    limits: &Limits,
    request: Request<Incoming>,
    response: Response<Body>,
) -> Result<Response<Body>, Infallible> {
    let Some(browsers) = &limits.browsers else { return Ok(response) };
    let mut response = Some(response);
    let said = tower::service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(response.take().unwrap_or_default()))
    });
    browsers.layer(said).oneshot(request.map(|_| ())).await
}

fn oversize(request: &Request<Incoming>, limits: &Limits) -> Option<Problem> {
    let headers = request.headers();
    if headers.len() > limits.headers {
        let detail = format!("{} header lines; at most {} are taken", headers.len(), limits.headers);
        return Some(Problem::new(Code::HeadTooLarge, detail));
    }
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let lines: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let bytes = request.method().as_str().len() + target + lines;
    (bytes > limits.head_bytes).then(|| {
        let detail = format!("{bytes} bytes of target and headers; at most {} are taken", limits.head_bytes);
        Problem::new(Code::HeadTooLarge, detail)
    })
}

/// A problem as the bytes of a last answer, for a connection that no router serves.
pub(super) fn bare_response(problem: &Problem) -> Vec<u8> {
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut bytes = Vec::with_capacity(body.len() + 256);
    let reason = axum::http::StatusCode::from_u16(problem.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    let _ = write!(bytes, "HTTP/1.1 {} {reason}\r\n", problem.status);
    let _ = write!(bytes, "content-type: {PROBLEM_JSON}\r\ncontent-length: {}\r\n", body.len());
    if let Some(wait) = problem.retry_after_ms {
        let _ = write!(bytes, "retry-after: {}\r\n", wait.div_ceil(1000));
    }
    let _ = write!(bytes, "cache-control: no-store, private\r\nconnection: close\r\n\r\n");
    bytes.extend_from_slice(&body);
    bytes
}
