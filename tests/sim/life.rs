//! One life of the indexer's process: a runtime, a store, a follower that is polled by hand.
//!
//! The follower must stand still whenever the history decides what happens next, or a seed would not mean one history.
//! It waits for a node, a timer, or the store. The first two are in the driver's hands; the store answers from threads
//! of its own, so the driver waits behind it: a read and a write of its own come back only after the follower's.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use alloy_primitives::B256;
use futures::task::AtomicWaker;
use salt402_chain::{Node, Pool, PoolOptions, Role};
use salt402_indexer::{Follower, FollowerOptions, Health, IndexError, Look, ReceiptLookup};
use salt402_protocol::Source;
use salt402_protocol::api::NodeStatus;
use salt402_store::{ChainState, Options, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::node::{Shared, SimNode};
use crate::world::CHAIN;

/// Runs one life to its end in a runtime whose clock stands still unless [`Life::advance`] moves it. When this returns,
/// nothing of the process is left but its files: every task was dropped where it stood.
pub(crate) fn live<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime can be built");
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let result = runtime.block_on(async {
        // A paused clock jumps ahead when all tasks wait, also when they wait for the store's threads. It does not
        // while something blocks.
        let _held = tokio::task::spawn_blocking(move || ended.recv());
        life.await
    });
    drop(end);
    result
}

/// Where the follower stands after a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It asked the node.
    Asking,
    /// It waits for the store or for a timer.
    Busy,
    /// It returned.
    Ended,
}

/// Something that is polled by hand.
type Running<T> = Pin<Box<dyn Future<Output = T>>>;

pub(crate) struct Life {
    pub(crate) store: Store,
    pub(crate) health: watch::Receiver<Health>,
    pub(crate) stop: CancellationToken,
    shared: Arc<Shared>,
    follower: Option<Running<()>>,
    /// What looks after several nodes, beside the follower.
    watch: Option<Running<()>>,
    /// A look at a receipt, beside the follower.
    look: Option<Running<Result<Look, Arc<IndexError>>>>,
    lookup: ReceiptLookup,
    /// Which of several nodes was asked last.
    serving: Option<usize>,
    /// What the last look that ended found.
    pub(crate) looked: Option<Result<Look, Arc<IndexError>>>,
    woken: Arc<Woken>,
    polls: u64,
}

#[derive(Default)]
struct Woken {
    follower: AtomicBool,
    driver: AtomicWaker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.follower.store(true, Ordering::SeqCst);
        self.driver.wake();
    }
}

impl Life {
    pub(crate) fn options(directory: &tempfile::TempDir) -> Options {
        Options {
            // With one reading connection, reads are answered in the order in which they are asked.
            readers: 1,
            checkpoint_every: Duration::from_secs(60),
            ..Options::new(directory.path().join("salt402.db"))
        }
    }

    /// A process before one node.
    pub(crate) fn start(store: Store, shared: Arc<Shared>, node: SimNode, sources: Vec<Source>) -> Self {
        let options = PoolOptions::of(node.profile());
        let node: Arc<dyn Node> = Arc::new(node);
        let pool = Pool::new(vec![("node".to_owned(), Role::Primary, node)], options).expect("a node");
        Self::follow(store, shared, pool, sources)
    }

    fn follow(store: Store, shared: Arc<Shared>, pool: Pool, sources: Vec<Source>) -> Self {
        let options = FollowerOptions { chain: CHAIN, sources };
        let (follower, health) = Follower::new(pool, store.clone(), options);
        let lookup = follower.lookup();
        let stop = CancellationToken::new();
        let follower = Some(Box::pin(follower.run(stop.clone())) as _);
        Self {
            store,
            health,
            stop,
            shared,
            follower,
            look: None,
            watch: None,
            lookup,
            serving: None,
            looked: None,
            woken: Arc::new(Woken::default()),
            polls: 0,
        }
    }

    /// A process before several nodes.
    pub(crate) fn start_before(store: Store, shared: Arc<Shared>, pool: Pool, sources: Vec<Source>) -> Self {
        let mut life = Self::follow(store, shared, pool.clone(), sources);
        life.watch = Some(Box::pin(async move { pool.watch().await }));
        life
    }

    pub(crate) fn nodes(&self) -> Vec<NodeStatus> {
        self.lookup.nodes()
    }

    /// Whether another node is asked than when this was last called.
    pub(crate) fn changed_node(&mut self) -> bool {
        let now = self.nodes().iter().position(|node| node.serving);
        std::mem::replace(&mut self.serving, now).is_some_and(|before| Some(before) != now)
    }

    /// Looks a transaction up by its receipt, unless a look is under way.
    pub(crate) fn look(&mut self, transaction: B256) {
        let lookup = self.lookup.clone();
        if self.look.is_none() {
            self.look = Some(Box::pin(async move { lookup.look(transaction).await }));
        }
    }

    /// Drops the follower wherever it stands, as a task that is killed. What it gave to the store is still done.
    pub(crate) fn kill(&mut self) {
        (self.follower, self.look, self.watch) = (None, None, None);
    }

    /// Polls the follower once, and the look beside it.
    pub(crate) fn poll(&mut self) -> Standing {
        self.polls += 1;
        self.woken.follower.store(false, Ordering::SeqCst);
        let waker = Waker::from(self.woken.clone());
        let mut context = Context::from_waker(&waker);
        if let Some(look) = self.look.as_mut()
            && let Poll::Ready(found) = look.as_mut().poll(&mut context)
        {
            (self.look, self.looked) = (None, Some(found));
        }
        if let Some(watch) = self.watch.as_mut() {
            // It never ends.
            let _ = watch.as_mut().poll(&mut context);
        }
        let Some(follower) = self.follower.as_mut() else { return Standing::Ended };
        if follower.as_mut().poll(&mut context).is_ready() {
            self.follower = None;
            return Standing::Ended;
        }
        if self.shared.gate.len() > 0 { Standing::Asking } else { Standing::Busy }
    }

    /// Polls the follower until it moves no more by itself, and says where it stands then.
    pub(crate) async fn settle(&mut self) -> Standing {
        loop {
            // The follower asks ahead while it stores, and a look is beside it: that somebody asks does not mean that
            // nobody waits for the store.
            self.poll();
            let polls = self.polls;
            let store = self.store.clone();
            let mut behind = Box::pin(async move {
                let written = store.get_or_create_identity().await;
                written.and(store.chain_state(CHAIN).await.map(|_| ()))
            });
            std::future::poll_fn(|context| {
                self.woken.driver.register(context.waker());
                if self.woken.follower.load(Ordering::SeqCst) {
                    self.poll();
                }
                behind.as_mut().poll(context).map(|done| done.expect("the store works"))
            })
            .await;
            // What the store answered last may only be on its way.
            tokio::task::yield_now().await;
            let still = self.polls == polls && !self.woken.follower.load(Ordering::SeqCst);
            if self.shared.gate.len() > 0 && still {
                return Standing::Asking;
            }
            if still {
                return if self.follower.is_some() { Standing::Busy } else { Standing::Ended };
            }
        }
    }

    /// Lets time pass for the follower.
    pub(crate) async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
        // The timers that are due wake their futures when the runtime looks at its clock, between two tasks.
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn state(&self) -> ChainState {
        let state = self.store.chain_state(CHAIN).await.expect("the store can be read");
        state.unwrap_or(ChainState {
            genesis: Default::default(),
            cursor: None,
            first_block: None,
            head: None,
            noted_at_ms: None,
            lower_fork_at: None,
            halt: None,
        })
    }

    /// Completes a future of the driver while the follower goes on.
    pub(crate) async fn beside<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = Box::pin(future);
        std::future::poll_fn(|context| {
            self.woken.driver.register(context.waker());
            if self.woken.follower.load(Ordering::SeqCst) {
                self.poll();
            }
            match future.as_mut().poll(context) {
                Poll::Ready(value) => Poll::Ready(value),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}
