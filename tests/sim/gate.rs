//! Questions on their way to the node. Nothing is answered before the driver of the history says so, and what.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::channel::{mpsc, oneshot};
use salt402_chain::{At, Header, Log, Merging, NodeError, Receipt};

/// One question over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    ChainId,
    Header(At),
    /// The logs of heights, and the header of the last one in the same batch.
    Logs {
        from: u64,
        to: u64,
    },
    /// The logs of a block by its hash, and its header in the same batch.
    BlockLogs(alloy_primitives::B256),
    Receipt(alloy_primitives::B256),
    /// A block with those that it merged.
    Merging(At),
    /// A subscription to heads.
    Heads,
}

/// One answer over the wire, before anybody checked it.
#[derive(Debug)]
pub(crate) enum Said {
    ChainId(u64),
    Header(Option<Header>),
    Logs(Option<Header>, Vec<IndexedLog>),
    Receipt(Option<Receipt>),
    Merging(Option<Merging>),
    Heads(Option<mpsc::UnboundedReceiver<()>>),
}

/// A log with the index that the node gives it.
#[derive(Clone, Debug)]
pub(crate) struct IndexedLog {
    pub(crate) index: u64,
    pub(crate) log: Log,
}

pub(crate) type Answer = Result<Said, NodeError>;

/// A question that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Which of several nodes is asked.
    pub(crate) node: usize,
    pub(crate) ask: Ask,
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// All questions that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    // A std mutex: no await happens while it is held.
    waiting: Mutex<Vec<Waiting>>,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn ask(&self, node: usize, ask: Ask) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.lock().push(Waiting { node, ask, reply });
        answer.await.unwrap_or_else(|_| Err(unreachable("the connection was closed")))
    }

    /// How many questions somebody still waits for.
    pub(crate) fn len(&self) -> usize {
        let mut waiting = self.lock();
        waiting.retain(|waiting| !waiting.reply.is_canceled());
        waiting.len()
    }

    /// What somebody still waits for.
    pub(crate) fn waiting(&self) -> Vec<Ask> {
        self.lock().iter().filter(|waiting| !waiting.reply.is_canceled()).map(|waiting| waiting.ask).collect()
    }

    /// Takes a question out, to be answered or not.
    pub(crate) fn take(&self, index: usize) -> Option<Waiting> {
        let mut waiting = self.lock();
        (index < waiting.len()).then(|| waiting.remove(index))
    }
}

pub(crate) fn unreachable(reason: &str) -> NodeError {
    NodeError::Unreachable { node: "http://node".into(), reason: reason.into() }
}
