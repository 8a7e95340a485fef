//! The way from a node's head back to a stored block.

use salt402_chain::{At, Header, Node, NodeError};
use salt402_protocol::ChainId;
use salt402_store::{Cursor, Store};

use crate::state::IndexError;

/// How the node's chain differs from the stored one.
#[derive(Debug)]
pub(crate) struct Path {
    /// The height up to which stored blocks stay. `None` if all stay.
    pub(crate) keep_through: Option<u64>,
    /// Blocks to add, ascending. Empty if the node's head is stored already.
    pub(crate) fresh: Vec<Header>,
}

/// Walks from `head` by parent hash to the newest stored block of the chain. Walks to `start` if nothing is stored.
///
/// For each new block but the head it reads one header, and for each block it reads the store once.
pub(crate) async fn path(
    node: &dyn Node,
    store: &Store,
    chain: ChainId,
    cursor: Option<Cursor>,
    start: u64,
    window: u64,
    head: Header,
) -> Result<Path, IndexError> {
    let mut fresh = Vec::new();
    let mut block = head;
    loop {
        if let Some(cursor) = cursor {
            let joins = if block.hash == cursor.hash {
                true
            } else {
                matches!(store.block_by_hash(chain, block.hash).await?, Some((_, true)))
            };
            if joins {
                let keep_through =
                    (block.number < cursor.number && !fresh.is_empty()).then_some(block.number);
                fresh.reverse();
                return Ok(Path { keep_through, fresh });
            }
            if block.number.saturating_add(window) <= cursor.number {
                return Err(IndexError::TooDeep { floor: block.number, window });
            }
        }
        let (number, parent) = (block.number, block.parent_hash);
        fresh.push(block);
        if number <= start {
            fresh.reverse();
            return Ok(Path { keep_through: cursor.map(|_| start.saturating_sub(1)), fresh });
        }
        block = node.header(At::Hash(parent)).await?.ok_or(NodeError::Behind)?;
        if block.number.checked_add(1) != Some(number) {
            return Err(IndexError::BrokenChain { number });
        }
    }
}
