//! The past, by ranges: blocks so deep that they no longer change.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use futures::{StreamExt, TryStreamExt, stream};
use salt402_chain::{At, Header, Log, Node, NodeError, Span};
use salt402_store::{Batch, Block, Cursor};

use crate::{Follower, IndexError, blocks};

/// Headers asked for at once.
const HEADERS_IN_FLIGHT: usize = 8;
/// Headers that a range may need. A range that fails is asked for again from its beginning: with a whole window of
/// headers in one, a node that fails now and then would never let it end.
const HEADERS: u64 = 64;

/// A range of blocks to index in one transaction.
#[derive(Clone, Copy)]
struct Range {
    cursor: Option<Cursor>,
    /// The stored block that the range goes on from; `None` at the first block of the index.
    base: Option<Cursor>,
    /// Where blocks above it are to be replaced: their last height that stays.
    keep_through: Option<u64>,
    from: u64,
    to: u64,
    head: u64,
}

impl Follower {
    /// One range of settled blocks, from where the node's chain and the stored one are still the same.
    pub(crate) async fn back_fill(
        &mut self,
        cursor: Option<Cursor>,
        from: u64,
        settled: u64,
        head: u64,
    ) -> Result<(), IndexError> {
        let window_from = head.saturating_sub(self.node.profile().reorg_window);
        let to = settled.min(from.saturating_add(self.span - 1)).min(if from < window_from {
            window_from - 1
        } else {
            from.saturating_add(HEADERS - 1)
        });
        let range = Range { cursor, base: cursor, keep_through: None, from, to, head };
        if self.fill(range).await? {
            return Ok(());
        }
        let Some(cursor) = cursor else { return Err(NodeError::Moved.into()) };
        // A chain that was reset is another chain, and nothing of it may take the place of what is stored.
        self.identify().await?;
        let base = self.fork(cursor).await?;
        let from = base.map_or(self.options.start_block(), |base| base.number + 1);
        // What is replaced is replaced at once, and at least as high as it was: a reader must not find the old blocks
        // gone and the new ones not there yet.
        let to = cursor.number.max(settled.min(from.saturating_add(self.span - 1)));
        let keep_through = Some(from.saturating_sub(1));
        self.within_finality(Some(cursor), keep_through)?;
        if self.fill(Range { cursor: Some(cursor), base, keep_through, from, to, head }).await? {
            return Ok(());
        }
        Err(NodeError::Moved.into())
    }

    /// Indexes a range, and learns from how it went how many blocks to ask for. `false` if the block that it goes on
    /// from is not on the node's chain.
    async fn fill(&mut self, range: Range) -> Result<bool, IndexError> {
        let Range { from, to, head, .. } = range;
        let filled = self.fill_with(range).await;
        let most = self.node.profile().logs_range.max(1);
        self.span = match &filled {
            // Half of what was asked for, which may have been less than might have been.
            Err(error) if error.asked_too_much() => (self.span.min(to - from + 1) / 2).max(1),
            Ok(Some(_)) => (self.span + most.div_ceil(16)).min(most),
            _ => self.span,
        };
        let Some(found) = filled? else { return Ok(false) };
        self.count(found, to, head);
        self.catching_up(to, head);
        Ok(true)
    }

    /// The payments in a range are returned once it is stored; `None` if it does not join the node's chain.
    ///
    /// The last header is read before and after everything else: if it stayed, no block below it changed in between,
    /// and the header is what the next range joins. The block that this range joins is looked at in between, and not
    /// before: a reorganization after that look would leave blocks of the old chain below those of the new, for good.
    async fn fill_with(&self, range: Range) -> Result<Option<u64>, IndexError> {
        let Range { cursor, base, keep_through, from, to, head } = range;
        let chain = self.options.chain;
        let node = &self.node;
        let end = header_at(node, to).await?;
        if let Some(base) = base
            && header_at(node, base.number).await?.hash != base.hash
        {
            return Ok(None);
        }
        // The headers of the window are stored: a reorganization may be deeper than what counts as final, and finds
        // its way back by them alone.
        let window_from = head.saturating_sub(node.profile().reorg_window);
        let headers = headers(node, from.max(window_from), &end, base).await?;
        let mut logs = Vec::new();
        let mut next = from;
        while next <= to {
            let last = to.min(next.saturating_add(self.span - 1));
            for source in self.options.sources.iter().filter(|source| source.start_block <= last) {
                let span = Span::Blocks { from: next.max(source.start_block), to: last };
                logs.extend(node.logs(&blocks::events_of(source), span).await?);
            }
            next = last + 1;
        }
        let times = times(node, &logs, &headers).await?;
        if header_at(node, to).await?.hash != end.hash {
            return Err(NodeError::Moved.into());
        }
        let time_of = |log: &Log| times.get(&log.block_number).copied().or(log.block_timestamp);
        let payments = blocks::place(chain, &self.options.sources, &logs, time_of);
        let found = payments.len() as u64;
        self.commit(Batch {
            chain,
            expected: cursor,
            keep_through,
            blocks: headers.values().map(blocks::block).collect(),
            payments,
            cursor: Cursor { number: end.number, hash: end.hash },
            head,
            prune_below: None,
        })
        .await?;
        Ok(Some(found))
    }

    /// The newest stored block that is on the node's chain too; `None` where the whole index is younger than that.
    async fn fork(&self, cursor: Cursor) -> Result<Option<Cursor>, IndexError> {
        let start = self.options.start_block();
        let window = self.node.profile().reorg_window;
        let floor = cursor.number.saturating_sub(window).max(start);
        for height in (floor..cursor.number).rev() {
            let stored = self.store.canonical_block(self.options.chain, height).await?;
            let Some(Block { number, hash, .. }) = stored else { continue };
            if header_at(&self.node, height).await?.hash == hash {
                return Ok(Some(Cursor { number, hash }));
            }
        }
        if cursor.number - start.min(cursor.number) < window {
            return Ok(None);
        }
        Err(IndexError::TooDeep { floor, window })
    }
}

async fn header_at(node: &dyn Node, number: u64) -> Result<Header, IndexError> {
    Ok(node.header(At::Number(number)).await?.ok_or(NodeError::Behind)?)
}

/// The headers from a height to `end`, which they must lead to: they are asked for by height, and answers from two
/// chains would make a third.
async fn headers(
    node: &dyn Node,
    from: u64,
    end: &Header,
    base: Option<Cursor>,
) -> Result<BTreeMap<u64, Header>, IndexError> {
    let mut headers: BTreeMap<u64, Header> = stream::iter(from..end.number)
        .map(|number| async move { header_at(node, number).await.map(|header| (number, header)) })
        .buffered(HEADERS_IN_FLIGHT)
        .try_collect()
        .await?;
    headers.insert(end.number, *end);
    let chained = headers.values().zip(headers.values().skip(1)).all(|(a, b)| b.parent_hash == a.hash);
    let joined = base.is_none_or(|base| {
        base.number
            .checked_add(1)
            .and_then(|next| headers.get(&next))
            .is_none_or(|h| h.parent_hash == base.hash)
    });
    if chained && joined { Ok(headers) } else { Err(NodeError::Moved.into()) }
}

/// The times of the blocks that have logs, as far as the logs do not say them. A log must be of the block that a
/// header at its height shows, where one is at hand.
async fn times(
    node: &dyn Node,
    logs: &[Log],
    headers: &BTreeMap<u64, Header>,
) -> Result<BTreeMap<u64, u64>, IndexError> {
    let mut silent: BTreeMap<u64, B256> = BTreeMap::new();
    let mut times = BTreeMap::new();
    for log in logs {
        match headers.get(&log.block_number) {
            Some(header) if header.hash != log.block_hash => return Err(NodeError::Moved.into()),
            Some(header) => {
                times.insert(header.number, header.timestamp);
            }
            None if log.block_timestamp.is_none() => {
                silent.insert(log.block_number, log.block_hash);
            }
            None => {}
        }
    }
    let asked = silent.into_iter().map(|(number, hash)| async move {
        let header = header_at(node, number).await?;
        if header.hash == hash { Ok((number, header.timestamp)) } else { Err(NodeError::Moved.into()) }
    });
    let asked: Result<Vec<_>, IndexError> =
        stream::iter(asked).buffered(HEADERS_IN_FLIGHT).try_collect().await;
    times.extend(asked?);
    Ok(times)
}
