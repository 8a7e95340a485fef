//! Connections to one upstream that wait for their next request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::upstream::connection::Connection;

/// How long a connection is kept. Servers close idle ones after five seconds, and a request must not meet that.
const KEPT: Duration = Duration::from_secs(4);
/// How many connections are kept at most.
const MOST: usize = 256;

/// Idle connections, in the order in which they were used last.
#[derive(Default)]
pub(super) struct Pool(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    connections: VecDeque<(Connection, Instant)>,
    /// Whether a task closes those that wait too long.
    swept: bool,
}

impl Pool {
    /// The connection that was used last and can be used again. Those that the upstream has closed meanwhile are dropped.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.lock();
        idle.close_old();
        while let Some((mut connection, _)) = idle.connections.pop_back() {
            if connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose answer was read to its end, if another request can be sent.
    pub(super) fn put(this: &Arc<Self>, mut connection: Connection) {
        if !connection.is_usable() {
            return;
        }
        let mut idle = this.lock();
        idle.connections.push_back((connection, Instant::now()));
        if idle.connections.len() > MOST {
            idle.connections.pop_front();
        }
        if !std::mem::replace(&mut idle.swept, true) {
            tokio::spawn(Self::sweep(Arc::downgrade(this)));
        }
    }

    /// Closes connections that wait too long, and those that the upstream has closed, until none waits any more.
    async fn sweep(pool: Weak<Self>) {
        loop {
            tokio::time::sleep(KEPT).await;
            let Some(pool) = pool.upgrade() else { return };
            let mut idle = pool.lock();
            idle.close_old();
            idle.connections.retain_mut(|(connection, _)| connection.is_usable());
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
        while self.connections.front().is_some_and(|(_, since)| since.elapsed() >= KEPT) {
            self.connections.pop_front();
        }
    }
}
