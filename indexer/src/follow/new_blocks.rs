//! Reads new blocks at the head: the logs of each by its hash, all in one batch.

use futures::{StreamExt, TryStreamExt, stream};
use salt402_chain::{Readable, Span};
use salt402_store::{Batch, Cursor, UndecodedLog};

use crate::decode::found::Found;
use crate::decode::questions::Questions;
use crate::decode::{blocks, undecoded};
use crate::follow::ancestry::Path;
use crate::state::{Followed, FollowerOptions, IndexError};

/// For how many blocks the logs are asked for at once.
const BLOCKS_IN_FLIGHT: usize = 8;

/// Reads the blocks of a path into one batch, with what they replace.
pub(crate) async fn read(
    followed: &Followed,
    cursor: Option<Cursor>,
    path: Path,
    tip: Cursor,
    head: u64,
) -> Result<Batch, IndexError> {
    let Followed { node, options: FollowerOptions { chain, sources }, failing, .. } = followed;
    let questions = Questions::of(sources);
    let each: Vec<(Found, Vec<UndecodedLog>)> = stream::iter(path.fresh.clone())
        .map(|header| {
            let questions = &questions;
            async move {
                let query = questions.up_to(header.number);
                let read = match query.is_empty() {
                    true => Readable::default(),
                    false => node.readable_logs(&query, Span::Block(header.hash)).await?,
                };
                let time = |_| Some(header.timestamp);
                let told = blocks::read(*chain, sources, &read, time);
                let found = told.complete(&**node, *chain, sources, failing).await?;
                let undecoded = undecoded::among(*chain, sources, &read.logs, found.skipped);
                Ok::<_, IndexError>((found, undecoded))
            }
        })
        .buffered(BLOCKS_IN_FLIGHT)
        .try_collect()
        .await?;
    let (mut all, mut undecoded) = (Found::default(), Vec::new());
    for (found, more) in each {
        all.extend(found);
        undecoded.extend(more);
    }
    // Twice the window, so that a reorganization of the full window still finds a common block.
    let prune_below = tip.number.checked_sub(node.profile().reorg_window.saturating_mul(2));
    Ok(Batch {
        chain: *chain,
        expected: cursor,
        keep_through: path.keep_through,
        blocks: path.fresh.iter().map(blocks::block).collect(),
        payments: all.payments,
        extras: all.extras,
        undecoded,
        cursor: tip,
        head: Some(head),
        prune_below,
    })
}
