//! The past, by ranges: blocks so deep that they no longer change.

use std::collections::HashMap;

use alloy_primitives::Address;
use futures::{StreamExt, TryStreamExt, stream};
use salt402_chain::{At, Header, Node, NodeError, Span};
use salt402_protocol::ChainId;
use salt402_store::{Batch, Cursor, Store};

use crate::{IndexError, blocks};

/// Headers asked for at once, where logs do not bring their block's time.
const HEADERS_IN_FLIGHT: usize = 8;

/// A range of final blocks to index in one transaction.
pub(crate) struct Range {
    pub(crate) chain: ChainId,
    pub(crate) contract: Address,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) head: u64,
}

/// Indexes one range. The last header is read before and after the logs: if it stayed, no block below it changed in
/// between, and the header is what the next range joins.
pub(crate) async fn fill(node: &dyn Node, store: &Store, range: Range) -> Result<u64, IndexError> {
    let Range { chain, contract, cursor, from, to, head } = range;
    let end = header_at(node, to).await?;
    let logs = node.logs(&blocks::payments_of(contract), Span::Blocks { from, to }).await?;
    let times = missing_times(node, &logs).await?;
    if header_at(node, to).await?.hash != end.hash {
        return Err(NodeError::Moved.into());
    }
    let time_of =
        |log: &salt402_chain::Log| log.block_timestamp.or_else(|| times.get(&log.block_number).copied());
    let payments = blocks::place(chain, contract, &logs, time_of);
    let found = payments.len() as u64;
    store
        .apply(Batch {
            chain,
            expected: cursor,
            keep_through: None,
            blocks: vec![blocks::block(&end)],
            payments,
            cursor: Cursor { number: end.number, hash: end.hash },
            head,
            prune_below: None,
        })
        .await?;
    Ok(found)
}

async fn header_at(node: &dyn Node, number: u64) -> Result<Header, IndexError> {
    Ok(node.header(At::Number(number)).await?.ok_or(NodeError::Behind)?)
}

/// The times of the blocks whose logs do not say it, each header checked against its logs' block hash.
async fn missing_times(
    node: &dyn Node,
    logs: &[salt402_chain::Log],
) -> Result<HashMap<u64, u64>, IndexError> {
    let silent: HashMap<u64, alloy_primitives::B256> = logs
        .iter()
        .filter(|log| log.block_timestamp.is_none())
        .map(|log| (log.block_number, log.block_hash))
        .collect();
    stream::iter(silent)
        .map(|(number, hash)| async move {
            let header = header_at(node, number).await?;
            if header.hash == hash { Ok((number, header.timestamp)) } else { Err(NodeError::Moved.into()) }
        })
        .buffer_unordered(HEADERS_IN_FLIGHT)
        .try_collect()
        .await
}
