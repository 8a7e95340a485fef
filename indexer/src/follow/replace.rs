//! Replaces stored settled blocks by the node's chain: from the newest block that both have, or from where the operator
//! said. It is one transaction.

use salt402_chain::{At, NodeError};
use salt402_store::{Block, Cursor, Halt};

use crate::backfill::node_widths::NodeWidths;
use crate::backfill::range::{Read, Wanted, header_at, into_batch, joins, read};
use crate::backfill::run::Run;
use crate::follow::halt::within_finality;
use crate::follow::identity::identify;
use crate::state::{Followed, IndexError, Report};

/// Replaces blocks after a run over the past found that the node is on another chain than the stored one.
pub(crate) async fn forked(
    followed: &Followed,
    report: &mut Report,
    widths: &mut NodeWidths,
    run: Run,
) -> Result<(), IndexError> {
    let Run { cursor, settled, head, .. } = run;
    let cursor = cursor.ok_or(NodeError::Moved)?;
    let Followed { node, options, failing, .. } = followed;
    // A reset chain is another chain. Nothing of it may replace stored blocks.
    identify(followed).await?;
    let base = fork(followed, cursor).await?;
    let from = base.map_or(followed.first, |base| base.number + 1);
    within_finality(followed, Some(cursor), Some(from.saturating_sub(1)))?;
    let mut width = widths.of(node.label());
    let span = width.span();
    // The new chain is stored at once, at least as high as the old one: a reader must not miss the old blocks before
    // the new ones are there.
    let to = cursor.number.max(settled.min(from.saturating_add(span - 1)));
    let headers_from = head.saturating_sub(node.profile().reorg_window);
    let wanted = Wanted { from, to, headers_from, between: base.map(|base| base.number), span };
    let found = match read(&**node, options, &options.sources, wanted, failing).await {
        Err(error) if error.asked_too_much() => {
            width.too_much(span.min(to - from + 1), &error);
            widths.learned(node.label(), width);
            return Err(error);
        }
        found => found?,
    };
    if !joins(base, &found) {
        return Err(NodeError::Moved.into());
    }
    put(followed, report, found, cursor, from.saturating_sub(1), head).await?;
    report.catching_up(to, head);
    Ok(())
}

/// The newest stored block that is on the node's chain too. `None` if the two chains have no stored block in common.
async fn fork(followed: &Followed, cursor: Cursor) -> Result<Option<Cursor>, IndexError> {
    let Followed { node, store, options, first, .. } = followed;
    let window = node.profile().reorg_window;
    let floor = cursor.number.saturating_sub(window).max(*first);
    for height in (floor..cursor.number).rev() {
        let stored = store.canonical_block(options.chain, height).await?;
        let Some(Block { number, hash, .. }) = stored else { continue };
        if header_at(&**node, height).await?.hash == hash {
            return Ok(Some(Cursor { number, hash }));
        }
    }
    if cursor.number - *first.min(&cursor.number) < window {
        return Ok(None);
    }
    Err(IndexError::TooDeep { floor, window })
}

/// Replaces what the operator agreed to give up by the node's chain.
///
/// Its first block must still be the one that the operator looked at.
pub(crate) async fn accepted(
    followed: &Followed,
    report: &Report,
    cursor: Option<Cursor>,
    halt: Halt,
) -> Result<(), IndexError> {
    let (chain, node) = (followed.options.chain, &followed.node);
    let stopped = IndexError::Halted { kind: halt.kind, depth: halt.depth };
    let (Some(fork), Some(cursor)) = (halt.accepted, cursor) else { return Err(stopped) };
    identify(followed).await?;
    let head = node.header(At::Latest).await?.ok_or(NodeError::Behind)?.number;
    let from = fork.keep_through + 1;
    let to = head.min(cursor.number.max(from));
    if to < from {
        return Err(NodeError::Behind.into());
    }
    let found = read_all(followed, from, to, (fork.keep_through > 0).then_some(fork.keep_through)).await?;
    // All headers lead to the last one, which stayed the same while they were read.
    if found.headers.get(&from).is_none_or(|first| first.hash != fork.block) {
        return Err(IndexError::OtherFork { depth: cursor.number.saturating_sub(fork.keep_through) });
    }
    let payments = found.found.payments.len();
    tracing::warn!(%chain, kept_through = fork.keep_through, found = payments, "the operator accepted the node's chain");
    put(followed, report, found, cursor, fork.keep_through, head).await
}

/// A range with all its headers, in as many questions as the node needs.
async fn read_all(followed: &Followed, from: u64, to: u64, between: Option<u64>) -> Result<Read, IndexError> {
    let Followed { node, options, failing, .. } = followed;
    let mut span = node.profile().logs_range.max(1);
    loop {
        let wanted = Wanted { from, to, headers_from: from, between, span };
        match read(&**node, options, &options.sources, wanted, failing).await {
            Err(error) if error.asked_too_much() && span > 1 => {
                span = (span.min(to - from + 1) / 2).max(1);
            }
            read => return read,
        }
    }
}

/// Stores what was read in the place of what is stored above `keep_through`.
async fn put(
    followed: &Followed,
    report: &Report,
    found: Read,
    cursor: Cursor,
    keep_through: u64,
    head: u64,
) -> Result<(), IndexError> {
    let (payments, to) = (found.found.payments.len() as u64, found.end.number);
    let Some(mut batch) = into_batch(vec![found], followed.options.chain, Some(cursor), head) else {
        return Ok(());
    };
    batch.keep_through = Some(keep_through);
    report.commit(batch).await?;
    report.count(payments, to, head);
    Ok(())
}
