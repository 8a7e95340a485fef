//! A router on a socket, in front of clients that may be slow, many or hostile.
//!
//! ```text
//!            over a limit: 503 and gone
//! listener ──────────▶ gate ──────────▶ connection task ──▶ router
//!                       one place for        │
//!                       each connection      └── head, idle and write deadlines
//! ```
//!
//! Every wait for a client has an end: for a request's head, its body, the next request on a connection, and for the
//! client to take an answer. What a waiting client holds is bounded by the head's length and the number of connections.

pub(crate) mod bodies;
mod connection;
mod deadlines;
mod gate;
pub(crate) mod limits;
pub(crate) mod listener;
pub(crate) mod unix;
mod unread;

use std::time::Duration;

use axum::Router;
use salt402_protocol::{Code, Problem};
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::serve::bodies::BodyBudget;
use crate::serve::connection::{Connection, LAST_WORDS, bare_response};
use crate::serve::gate::{Full, Gate, Pass};
use crate::serve::limits::Limits;
use crate::serve::listener::{Listener, Stream};

/// How long connections may go on after the end was announced.
const GRACE: Duration = Duration::from_secs(20);
/// How many refused clients may read why at once; beyond it they are only closed.
const REFUSALS: usize = 64;
/// The pause after an accept that failed for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`, then lets open requests end, for twenty seconds at most. `name` is the listener's in metrics.
pub async fn serve(
    name: &'static str,
    listener: Listener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let gate = Gate::new(name, &limits);
    let budget = BodyBudget::new(name, &limits);
    let refusals = Gate::new(name, &Limits { connections: REFUSALS, ..Limits::default() });
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
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match gate.enter(peer.map(|peer| peer.ip().to_canonical())) {
            Ok(pass) => {
                let (router, limits, budget) = (router.clone(), limits.clone(), budget.clone());
                let connection = Connection { name, peer, router, limits, budget };
                let (stop, cut) = (stop.clone(), cut.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        biased;
                        () = connection.run(stream, stop) => {}
                        () = cut.cancelled() => {}
                    }
                    drop(pass);
                });
            }
            Err(full) => {
                metrics::counter!("salt402_connections_refused_total", "listener" => name, "reason" => full.reason())
                    .increment(1);
                if let Ok(pass) = refusals.enter(None) {
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
    let last_words = async {
        stream.write_all(&bare_response(&problem)).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
}
