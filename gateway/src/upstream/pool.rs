//! Connections to one upstream that wait for their next request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::upstream::connection::Connection;

/// How long a connection is kept. Servers close idle ones after five seconds, and a request must not meet that.
const KEPT: Duration = Duration::from_secs(4);
/// How many connections are kept at most.
const MOST: usize = 256;

/// Idle connections, the last used of them at the end.
#[derive(Default)]
pub(super) struct Pool(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    connections: Vec<(Connection, Instant)>,
    /// Whether a task closes those that wait too long.
    swept: bool,
}

impl Pool {
    /// The connection that was used last and can be used again.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.lock();
        idle.close_old();
        let at = idle.connections.iter().rposition(|(connection, _)| connection.is_ready())?;
        Some(idle.connections.remove(at).0)
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn put(this: &Arc<Self>, connection: Connection) {
        let mut idle = this.lock();
        if connection.is_closed() {
            return;
        }
        idle.connections.push((connection, Instant::now()));
        if idle.connections.len() > MOST {
            idle.connections.remove(0);
        }
        if !std::mem::replace(&mut idle.swept, true) {
            tokio::spawn(Self::sweep(Arc::downgrade(this)));
        }
    }

    /// Closes connections that wait too long, until none waits any more.
    async fn sweep(pool: Weak<Self>) {
        loop {
            tokio::time::sleep(KEPT).await;
            let Some(pool) = pool.upgrade() else { return };
            let mut idle = pool.lock();
            idle.close_old();
            if idle.connections.is_empty() {
                idle.swept = false;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn close_old(&mut self) {
        self.connections.retain(|(connection, since)| !connection.is_closed() && since.elapsed() < KEPT);
    }
}
