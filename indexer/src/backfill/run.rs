//! The past, by ranges: blocks so deep that they no longer change.
//!
//! ```text
//!   asked, several at once      read, in order        one transaction
//!  ┌────┐┌────┐┌────┐┌────┐       ┌────┐┌────┐          ┌──────────┐
//!  │ 40 ││ 30 ││ 20 ││ 10 │  ──▶  │ 9  ││ 8  │   ──▶    │ 7 … 1    │
//!  └────┘└────┘└────┘└────┘       └────┘└────┘          └──────────┘
//! ```
//!
//! Every range is read by itself, with the header of the block before it, and they are put together when that is the
//! last header of the range before. While one transaction is written the next ranges are read. All of that is in
//! memory: where anything does not fit or fails, it is dropped, and begun again from what is stored.

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
use crate::state::error::IndexError;
use crate::state::failing::FailingTransactions;
use crate::state::followed::Followed;
use crate::state::options::FollowerOptions;
use crate::state::report::Report;

/// Headers that a range may need. A range that fails is asked for again from its beginning: with a whole window of
/// headers in one, a node that fails now and then would never let it end.
const HEADERS: u64 = 64;
/// Rows that are worth a transaction, while there is more to read. Many at once meet on the pages of the index, whose
/// keys are random, and share one wait for the disk.
const ROWS: usize = 20_000;
/// Ranges that are worth a transaction, however few rows they have: where nothing is, the cursor moves all the same.
const RANGES: usize = 256;
/// How long what was read waits for more, where a node is slow.
const WAIT: Duration = Duration::from_secs(2);
/// How long a run goes on by the head that it began with.
const RUN: Duration = Duration::from_secs(10);

/// Ranges that were read one after the other and join, to be stored in one transaction.
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

    /// One batch of all of it; `None` where there is nothing.
    fn into_batch(self, chain: ChainId, expected: Option<Cursor>, head: u64) -> Option<Batch> {
        into_batch(self.ranges, chain, expected, head)
    }
}

/// How a run over the past ended.
pub(crate) enum Ended {
    /// At its end, or where it is better begun anew: by a newer head, with other widths. What was read is stored.
    Stored,
    /// The node's chain does not hold the block that the index stands at.
    Forked,
}

/// Which blocks a run goes over.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Where the index stands.
    pub(crate) cursor: Option<Cursor>,
    /// The first block.
    pub(crate) from: u64,
    /// The last one: the newest that is settled.
    pub(crate) settled: u64,
    /// The node's newest block.
    pub(crate) head: u64,
}

/// Reads the settled blocks of a run ahead and stores them in order, until the end or until something is in the way.
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
    // The next range is decided when there is room for it, by what was learned until then.
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

/// Reads one range, and says which it was.
async fn one(
    node: Arc<dyn Node>,
    options: Arc<FollowerOptions>,
    wanted: Wanted,
    failing: Arc<FailingTransactions>,
) -> (Wanted, Result<Read, IndexError>) {
    let found = read(&*node, &options, &options.sources, wanted, &failing).await;
    (wanted, found)
}

/// Puts ranges together as they come, and learns from how they came.
struct Staging<'s> {
    /// The block that the next range goes on from; `None` at the first block of the index.
    last: Option<Cursor>,
    /// Whether the next range is the first, which goes on from what is stored.
    first: bool,
    at_once: usize,
    width: &'s Mutex<RangeWidth>,
}

impl Staging<'_> {
    /// Adds a range; or says why this is the end of the run.
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
                // That fewer blocks must be asked for is known now, and no failure. A node that does not answer in time
                // may be a node that does not answer.
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
        // More or fewer questions at once: that is decided where a run begins.
        (lock(self.width).in_flight() != self.at_once).then_some(Ok(Ended::Stored))
    }
}

fn lock(width: &Mutex<RangeWidth>) -> MutexGuard<'_, RangeWidth> {
    width.lock().unwrap_or_else(PoisonError::into_inner)
}
