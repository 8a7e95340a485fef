//! The past, by ranges: blocks that are so deep that they no longer change.
//!
//! ```text
//!   asked, several at once      read, in order        one transaction
//!  ┌────┐┌────┐┌────┐┌────┐       ┌────┐┌────┐          ┌──────────┐
//!  │ 40 ││ 30 ││ 20 ││ 10 │  ──▶  │ 9  ││ 8  │   ──▶    │ 7 … 1    │
//!  └────┘└────┘└────┘└────┘       └────┘└────┘          └──────────┘
//! ```
//!
//! Every range is read by itself, together with the header of the block before it. It is used if that header is the
//! last one of the range before. While one transaction is written, the next ranges are read. They are only in memory.
//! If one does not fit or fails, they are dropped, and reading begins again from what is stored.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use salt402_chain::{Node, NodeError};
use salt402_protocol::ChainId;
use salt402_store::{Batch, Cursor};
use tokio::time::Instant;

use crate::backfill::node_widths::NodeWidths;
use crate::backfill::range::{Read, Wanted, into_batch, joins, read};
use crate::backfill::range_width::RangeWidth;
use crate::state::{FailingTransactions, Followed, FollowerOptions, IndexError, Report};

/// How many headers a range may need. A failed range is read again from its beginning. With more headers, a node that
/// fails now and then would never finish a range.
const HEADERS: u64 = 64;
/// How many rows make a transaction, while there is more to read. Many rows together share pages of the index, whose
/// keys are random, and one wait for the disk.
const ROWS: usize = 20_000;
/// How many ranges make a transaction, however few rows they have. So the cursor moves also through empty blocks.
const RANGES: usize = 256;
/// How long what was read waits for more, if a node is slow.
const WAIT: Duration = Duration::from_secs(2);
/// How long a run goes on with the head that it began with.
const RUN: Duration = Duration::from_secs(10);

/// Consecutive ranges that are stored in one transaction.
#[derive(Default)]
struct Staged {
    ranges: Vec<Read>,
    since: Option<Instant>,
    rows: usize,
    bytes: u64,
}

impl Staged {
    fn push(&mut self, read: Read) {
        self.rows += read.found.rows() + read.headers.len();
        self.bytes += read.bytes;
        self.since.get_or_insert_with(Instant::now);
        self.ranges.push(read);
    }

    fn is_worth_it(&self) -> bool {
        let waited = self.since.is_some_and(|since| since.elapsed() >= WAIT);
        self.rows >= ROWS || self.ranges.len() >= RANGES || self.is_full() || waited
    }

    fn is_full(&self) -> bool {
        self.bytes >= RangeWidth::budget()
    }

    /// All of it as one batch. `None` if there is nothing.
    fn into_batch(self, chain: ChainId, expected: Option<Cursor>, head: u64) -> Option<Batch> {
        into_batch(self.ranges, chain, expected, head)
    }
}

/// How a run over the past ended.
pub(crate) enum Ended {
    /// The run ended, or should begin again with a newer head or other widths. What was read is stored.
    Stored,
    /// The node's chain does not have the block that the index stands at.
    Forked,
}

/// The blocks of a run.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Where the index stands.
    pub(crate) cursor: Option<Cursor>,
    /// The first block.
    pub(crate) from: u64,
    /// The last block: the newest that is settled.
    pub(crate) settled: u64,
    /// The node's newest block.
    pub(crate) head: u64,
}

/// Reads the settled blocks of a run ahead and stores them in order, until the end or until something prevents it.
pub(crate) async fn back_fill(
    followed: &Followed,
    report: &mut Report,
    widths: &mut NodeWidths,
    run: Run,
) -> Result<Ended, IndexError> {
    let node = followed.node.label();
    let width = Mutex::new(widths.of(node));
    let ended = run_over(followed, report, &width, run).await;
    widths.learned(node, width.into_inner().unwrap_or_else(PoisonError::into_inner));
    ended
}

async fn run_over(
    followed: &Followed,
    report: &mut Report,
    width: &Mutex<RangeWidth>,
    run: Run,
) -> Result<Ended, IndexError> {
    let Run { cursor, from, settled, head } = run;
    let window_from = head.saturating_sub(followed.node.profile().reorg_window);
    let options = Arc::new(followed.options.clone());
    let chain = options.chain;
    let at_once = lock(width).in_flight();
    let began = Instant::now();
    let mut next = from;
    // The next range is chosen only when there is room for it, so that everything learned until then counts.
    let wanted = std::iter::from_fn(|| {
        let from_block = next;
        if from_block > settled || began.elapsed() >= RUN {
            return None;
        }
        let span = lock(width).span();
        let to = settled.min(from_block.saturating_add(span - 1)).min(if from_block < window_from {
            window_from - 1
        } else {
            from_block.saturating_add(HEADERS - 1)
        });
        next = to + 1;
        let between = (from_block > from || cursor.is_some()).then(|| from_block.saturating_sub(1));
        Some(Wanted { from: from_block, to, headers_from: window_from, between, span })
    });
    let reads = wanted.map(|wanted| {
        let (node, options, failing) =
            (Arc::clone(&followed.node), Arc::clone(&options), Arc::clone(&followed.failing));
        one(node, options, wanted, failing).boxed()
    });
    let mut reads = std::pin::pin!(stream::iter(reads).buffered(at_once));
    let mut stored = cursor;
    let mut staging = Staging { last: cursor, first: true, at_once, width };
    let mut staged = Staged::default();
    let mut stop: Option<Result<Ended, IndexError>> = None;
    loop {
        while stop.is_none() && !staged.is_worth_it() {
            match reads.next().await {
                Some(found) => stop = staging.add(&mut staged, found),
                None => stop = Some(Ok(Ended::Stored)),
            }
        }
        let Some(batch) = std::mem::take(&mut staged).into_batch(chain, stored, head) else {
            return stop.unwrap_or(Ok(Ended::Stored));
        };
        let (found, to) = (batch.payments.len() as u64, batch.cursor);
        {
            let mut commit = std::pin::pin!(report.commit(batch));
            loop {
                tokio::select! {
                    biased;
                    done = &mut commit => { done?; break }
                    next = reads.next(), if stop.is_none() && !staged.is_full() => match next {
                        Some(found) => stop = staging.add(&mut staged, found),
                        None => stop = Some(Ok(Ended::Stored)),
                    }
                }
            }
        }
        stored = Some(to);
        report.count(found, to.number, head);
        report.catching_up(to.number, head);
    }
}

/// Reads one range, and returns which one it was.
async fn one(
    node: Arc<dyn Node>,
    options: Arc<FollowerOptions>,
    wanted: Wanted,
    failing: Arc<FailingTransactions>,
) -> (Wanted, Result<Read, IndexError>) {
    let found = read(&*node, &options, &options.sources, wanted, &failing).await;
    (wanted, found)
}

/// Joins ranges as they arrive, and learns from the answers.
struct Staging<'s> {
    /// The block that the next range must join. `None` at the first block of the index.
    last: Option<Cursor>,
    /// Whether the next range is the first, which joins what is stored.
    first: bool,
    at_once: usize,
    width: &'s Mutex<RangeWidth>,
}

impl Staging<'_> {
    /// Adds a range, or returns why the run ends here.
    fn add(
        &mut self,
        staged: &mut Staged,
        (wanted, found): (Wanted, Result<Read, IndexError>),
    ) -> Option<Result<Ended, IndexError>> {
        let blocks = wanted.to - wanted.from + 1;
        let found = match found {
            Ok(found) => found,
            Err(error) if error.asked_too_much() => {
                lock(self.width).too_much(blocks, &error);
                // The node said to ask for fewer blocks, which is no failure. A node that does not answer in time may
                // not answer at all.
                let again = blocks > 1 && !error.is_late();
                return Some(if again { Ok(Ended::Stored) } else { Err(error) });
            }
            Err(error) => {
                lock(self.width).met(&error);
                return Some(Err(error));
            }
        };
        if !joins(self.last, &found) {
            let forked =
                self.first && found.between.map(|block| block.hash) != self.last.map(|last| last.hash);
            return Some(if forked { Ok(Ended::Forked) } else { Err(NodeError::Moved.into()) });
        }
        lock(self.width).answered(blocks, found.bytes);
        self.first = false;
        self.last = Some(Cursor { number: found.end.number, hash: found.end.hash });
        staged.push(found);
        // A run decides at its beginning how many questions are under way at once.
        (lock(self.width).in_flight() != self.at_once).then_some(Ok(Ended::Stored))
    }
}

fn lock(width: &Mutex<RangeWidth>) -> MutexGuard<'_, RangeWidth> {
    width.lock().unwrap_or_else(PoisonError::into_inner)
}
