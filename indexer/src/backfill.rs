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
use salt402_chain::{Node as _, NodeError};
use salt402_protocol::{ChainId, Source};
use salt402_store::{Batch, Block, Cursor, Extras};
use tokio::time::Instant;

use crate::patience::Patient;
use crate::reading::{Read, Wanted, header_at, read};
use crate::sizing::Sizing;
use crate::stubborn::Stubborn;
use crate::{Follower, FollowerOptions, IndexError, blocks};

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
        self.bytes >= Sizing::budget()
    }

    /// One batch of all of it, and what counts of it; `None` where there is nothing.
    fn into_batch(self, chain: ChainId, expected: Option<Cursor>, head: u64) -> Option<Batch> {
        let end = self.ranges.last()?.end;
        let mut batch = Batch {
            chain,
            expected,
            keep_through: None,
            blocks: Vec::new(),
            payments: Vec::with_capacity(self.rows),
            extras: Extras::default(),
            undecoded: Vec::new(),
            cursor: Cursor { number: end.number, hash: end.hash },
            head: Some(head),
            prune_below: None,
        };
        for read in self.ranges {
            batch.blocks.extend(read.headers.values().map(blocks::block));
            read.found.into_batch(&mut batch);
            batch.undecoded.extend(read.undecoded);
        }
        Some(batch)
    }
}

/// How a run over the past ended.
enum Ended {
    /// At its end, or where it is better begun anew: by a newer head, with other widths. What was read is stored.
    Stored,
    /// The node's chain does not hold the block that the index stands at.
    Forked,
}

impl Follower {
    /// The settled blocks from `from` on, from where the node's chain and the stored one are still the same.
    pub(crate) async fn back_fill(
        &mut self,
        cursor: Option<Cursor>,
        from: u64,
        settled: u64,
        head: u64,
    ) -> Result<(), IndexError> {
        let sizing = Mutex::new(self.sizings.of(self.node.label()));
        let ended = self.run_over(cursor, from, settled, head, &sizing).await;
        let learned = sizing.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.sizings.learned(self.node.label(), learned).await;
        match ended? {
            Ended::Stored => Ok(()),
            Ended::Forked => match cursor {
                Some(cursor) => self.replace(cursor, settled, head).await,
                None => Err(NodeError::Moved.into()),
            },
        }
    }

    /// Reads ranges ahead and stores them in order, until the end or until something is in the way.
    async fn run_over(
        &mut self,
        cursor: Option<Cursor>,
        from: u64,
        settled: u64,
        head: u64,
        sizing: &Mutex<Sizing>,
    ) -> Result<Ended, IndexError> {
        let window_from = head.saturating_sub(self.node.profile().reorg_window);
        let (node, chain) = (self.node.clone(), self.options.chain);
        let sources: Arc<[Source]> = self.options.sources.as_slice().into();
        let at_once = lock(sizing).in_flight();
        let began = Instant::now();
        let mut next = from;
        // The next range is decided when there is room for it, by what was learned until then.
        let wanted = std::iter::from_fn(|| {
            let from_block = next;
            if from_block > settled || began.elapsed() >= RUN {
                return None;
            }
            let span = lock(sizing).span();
            let to = settled.min(from_block.saturating_add(span - 1)).min(if from_block < window_from {
                window_from - 1
            } else {
                from_block.saturating_add(HEADERS - 1)
            });
            next = to + 1;
            let between = (from_block > from || cursor.is_some()).then(|| from_block.saturating_sub(1));
            Some(Wanted { from: from_block, to, headers_from: window_from, between, span })
        });
        let stubborn = Arc::clone(&self.stubborn);
        let reads = wanted.map(|wanted| {
            one(node.clone(), chain, Arc::clone(&sources), wanted, Arc::clone(&stubborn)).boxed()
        });
        let mut reads = std::pin::pin!(stream::iter(reads).buffered(at_once));
        let mut stored = cursor;
        let mut staging = Staging { last: cursor, first: true, at_once, sizing };
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
                let mut commit = std::pin::pin!(self.commit(batch));
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
            self.count(found, to.number, head);
            self.catching_up(to.number, head);
        }
    }

    /// Puts the node's chain in the place of the stored one, from the newest block that both have.
    async fn replace(&mut self, cursor: Cursor, settled: u64, head: u64) -> Result<(), IndexError> {
        // A chain that was reset is another chain, and nothing of it may take the place of what is stored.
        self.identify().await?;
        let base = self.fork(cursor).await?;
        let from = base.map_or(self.first, |base| base.number + 1);
        self.within_finality(Some(cursor), Some(from.saturating_sub(1)))?;
        let mut sizing = self.sizings.of(self.node.label());
        let span = sizing.span();
        // What is replaced is replaced at once, and at least as high as it was: a reader must not find the old blocks
        // gone and the new ones not there yet.
        let to = cursor.number.max(settled.min(from.saturating_add(span - 1)));
        let headers_from = head.saturating_sub(self.node.profile().reorg_window);
        let wanted = Wanted { from, to, headers_from, between: base.map(|base| base.number), span };
        let FollowerOptions { chain, sources } = &self.options;
        let found = match read(&self.node, *chain, sources, sources, wanted, &self.stubborn).await {
            Err(error) if error.asked_too_much() => {
                sizing.too_much(span.min(to - from + 1), &error);
                self.sizings.learned(self.node.label(), sizing).await;
                return Err(error);
            }
            found => found?,
        };
        if !joins(base, &found) {
            return Err(NodeError::Moved.into());
        }
        let mut staged = Staged::default();
        staged.push(found);
        let Some(mut batch) = staged.into_batch(self.options.chain, Some(cursor), head) else {
            return Ok(());
        };
        batch.keep_through = Some(from.saturating_sub(1));
        let found = batch.payments.len() as u64;
        self.commit(batch).await?;
        self.count(found, to, head);
        self.catching_up(to, head);
        Ok(())
    }

    /// The newest stored block that is on the node's chain too; `None` where the whole index is younger than that.
    async fn fork(&self, cursor: Cursor) -> Result<Option<Cursor>, IndexError> {
        let window = self.node.profile().reorg_window;
        let floor = cursor.number.saturating_sub(window).max(self.first);
        for height in (floor..cursor.number).rev() {
            let stored = self.store.canonical_block(self.options.chain, height).await?;
            let Some(Block { number, hash, .. }) = stored else { continue };
            if header_at(&self.node, height).await?.hash == hash {
                return Ok(Some(Cursor { number, hash }));
            }
        }
        if cursor.number - self.first.min(cursor.number) < window {
            return Ok(None);
        }
        Err(IndexError::TooDeep { floor, window })
    }
}

/// Reads one range, and says which it was.
async fn one(
    node: Patient,
    chain: ChainId,
    sources: Arc<[Source]>,
    wanted: Wanted,
    stubborn: Arc<Stubborn>,
) -> (Wanted, Result<Read, IndexError>) {
    let found = read(&node, chain, &sources, &sources, wanted, &stubborn).await;
    (wanted, found)
}

/// Puts ranges together as they come, and learns from how they came.
struct Staging<'s> {
    /// The block that the next range goes on from; `None` at the first block of the index.
    last: Option<Cursor>,
    /// Whether the next range is the first, which goes on from what is stored.
    first: bool,
    at_once: usize,
    sizing: &'s Mutex<Sizing>,
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
                lock(self.sizing).too_much(blocks, &error);
                // That fewer blocks must be asked for is known now, and no failure. A node that does not answer in time
                // may be a node that does not answer.
                let again = blocks > 1 && !error.is_late();
                return Some(if again { Ok(Ended::Stored) } else { Err(error) });
            }
            Err(error) => {
                lock(self.sizing).met(&error);
                return Some(Err(error));
            }
        };
        if !joins(self.last, &found) {
            let forked =
                self.first && found.between.map(|block| block.hash) != self.last.map(|last| last.hash);
            return Some(if forked { Ok(Ended::Forked) } else { Err(NodeError::Moved.into()) });
        }
        lock(self.sizing).answered(blocks, found.bytes);
        self.first = false;
        self.last = Some(Cursor { number: found.end.number, hash: found.end.hash });
        staged.push(found);
        // More or fewer questions at once: that is decided where a run begins.
        (lock(self.sizing).in_flight() != self.at_once).then_some(Ok(Ended::Stored))
    }
}

/// Whether a range goes on from a block.
fn joins(last: Option<Cursor>, found: &Read) -> bool {
    let Some(last) = last else { return true };
    found.between.is_some_and(|block| block.hash == last.hash)
        && found.headers.get(&(last.number + 1)).is_none_or(|header| header.parent_hash == last.hash)
}

fn lock(sizing: &Mutex<Sizing>) -> MutexGuard<'_, Sizing> {
    sizing.lock().unwrap_or_else(PoisonError::into_inner)
}
