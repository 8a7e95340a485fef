//! Reads a range of settled blocks, and makes sure that all answers are of one chain.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use futures::{StreamExt, TryStreamExt, stream};
use salt402_chain::{At, Header, Log, Node, NodeError, Readable, Span};
use salt402_protocol::{ChainId, Source};
use salt402_store::{Batch, Cursor, Extras, UndecodedLog};

use crate::decode::found::Found;
use crate::decode::questions::{Questions, put_together};
use crate::decode::{blocks, undecoded};
use crate::state::{FailingTransactions, FollowerOptions, IndexError};

/// Headers asked for at once.
const HEADERS_IN_FLIGHT: usize = 8;
/// About how many bytes a log in an answer has besides its topics and data: names, hashes and numbers as text.
const LOG_BYTES: usize = 420;

/// Which blocks to read, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// The height from which on every header is wanted.
    pub(crate) headers_from: u64,
    /// A height whose header is read in between. The range is compared with it.
    pub(crate) between: Option<u64>,
    /// Blocks that one question may span.
    pub(crate) span: u64,
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Read {
    /// The last block.
    pub(crate) end: Header,
    /// The header that was read in between.
    pub(crate) between: Option<Header>,
    /// The wanted headers, and the last one.
    pub(crate) headers: BTreeMap<u64, Header>,
    pub(crate) found: Found,
    pub(crate) undecoded: Vec<UndecodedLog>,
    /// About how many bytes the answers had.
    pub(crate) bytes: u64,
}

/// Joins consecutive ranges, which go on from where the index stands, to one batch. `None` if there are none.
pub(crate) fn into_batch(
    ranges: Vec<Read>,
    chain: ChainId,
    expected: Option<Cursor>,
    head: u64,
) -> Option<Batch> {
    let end = ranges.last()?.end;
    let rows = ranges.iter().map(|read| read.found.rows()).sum();
    let mut batch = Batch {
        chain,
        expected,
        keep_through: None,
        blocks: Vec::new(),
        payments: Vec::with_capacity(rows),
        extras: Extras::default(),
        undecoded: Vec::new(),
        cursor: Cursor { number: end.number, hash: end.hash },
        head: Some(head),
        prune_below: None,
    };
    for read in ranges {
        batch.blocks.extend(read.headers.values().map(blocks::block));
        read.found.into_batch(&mut batch);
        batch.undecoded.extend(read.undecoded);
    }
    Some(batch)
}

/// Whether a range goes on from a block.
pub(crate) fn joins(last: Option<Cursor>, found: &Read) -> bool {
    let Some(last) = last else { return true };
    found.between.is_some_and(|block| block.hash == last.hash)
        && found.headers.get(&(last.number + 1)).is_none_or(|header| header.parent_hash == last.hash)
}

/// Reads a range for some sources, `asked`. If a transaction must be read as a whole, all followed sources are used to
/// read it.
///
/// The last header is read before and after everything else. If it is the same, no block below it changed in between.
/// The next range must join it. The block that this range joins is read in between, not before: after an earlier look,
/// a reorganization could leave blocks of the old chain below for good.
pub(crate) async fn read(
    node: &dyn Node,
    options: &FollowerOptions,
    asked: &[Source],
    wanted: Wanted,
    failing: &FailingTransactions,
) -> Result<Read, IndexError> {
    let FollowerOptions { chain, sources } = options;
    let Wanted { from, to, headers_from, between, span } = wanted;
    let end = header_at(node, to).await?;
    let joined = async {
        match between {
            Some(number) => header_at(node, number).await.map(Some),
            None => Ok(None),
        }
    };
    let (between, headers, readable) = futures::try_join!(
        joined,
        headers(node, from.max(headers_from), &end),
        logs(node, asked, from, to, span)
    )?;
    let times = times(node, &readable, &headers).await?;
    let told = blocks::read(*chain, sources, &readable, |number| times.get(&number).copied());
    let found = told.complete(node, *chain, sources, failing).await?;
    if header_at(node, to).await?.hash != end.hash {
        return Err(NodeError::Moved.into());
    }
    let undecoded = undecoded::among(*chain, sources, &readable.logs, found.skipped);
    let bytes = readable.logs.iter().map(weight).sum();
    Ok(Read { end, between, headers, found, undecoded, bytes })
}

/// About how many bytes a node needs to write a log.
fn weight(log: &Log) -> u64 {
    let content = log.content.topics().len() * 69 + log.content.data.len() * 2;
    u64::try_from(LOG_BYTES + content).unwrap_or(u64::MAX)
}

async fn logs(
    node: &dyn Node,
    sources: &[Source],
    from: u64,
    to: u64,
    span: u64,
) -> Result<Readable, IndexError> {
    let mut all = Readable::default();
    let questions = Questions::of(sources);
    let mut next = from;
    while next <= to {
        let last = to.min(next.saturating_add(span - 1));
        let query = questions.up_to(last);
        if !query.is_empty() {
            let span = Span::Blocks { from: next, to: last };
            put_together(&mut all, node.readable_logs(&query, span).await?);
        }
        next = last + 1;
    }
    questions.retain_asked(&mut all);
    Ok(all)
}

pub(crate) async fn header_at(node: &dyn Node, number: u64) -> Result<Header, IndexError> {
    Ok(node.header(At::Number(number)).await?.ok_or(NodeError::Behind)?)
}

/// The headers from a height to `end`. They are asked for by height and must lead to `end`: answers of two chains could
/// be mixed.
async fn headers(node: &dyn Node, from: u64, end: &Header) -> Result<BTreeMap<u64, Header>, IndexError> {
    let mut headers: BTreeMap<u64, Header> = stream::iter(from..end.number)
        .map(|number| async move { header_at(node, number).await.map(|header| (number, header)) })
        .buffered(HEADERS_IN_FLIGHT)
        .try_collect()
        .await?;
    headers.insert(end.number, *end);
    let chained = headers.values().zip(headers.values().skip(1)).all(|(a, b)| b.parent_hash == a.hash);
    if chained { Ok(headers) } else { Err(NodeError::Moved.into()) }
}

/// The times of blocks with logs, if the logs do not tell them. If the header of a log's height is known, the log must
/// be of that block.
async fn times(
    node: &dyn Node,
    readable: &Readable,
    headers: &BTreeMap<u64, Header>,
) -> Result<BTreeMap<u64, u64>, IndexError> {
    let mut silent: BTreeMap<u64, B256> = BTreeMap::new();
    let mut times = BTreeMap::new();
    let told = readable.logs.iter().map(|log| (log.block_number, log.block_hash, log.block_timestamp));
    let untold = readable.unreadable.iter().map(|unread| (unread.block_number, unread.block_hash, None));
    for (number, hash, time) in told.chain(untold) {
        match headers.get(&number) {
            Some(header) if header.hash != hash => return Err(NodeError::Moved.into()),
            Some(header) => {
                times.insert(header.number, header.timestamp);
            }
            None if time.is_none() => {
                silent.insert(number, hash);
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
