//! Finds where the node's chain leaves the stored one, for an operator who must decide.

use salt402_chain::{At, Header, Node, NodeError};
use salt402_protocol::ChainId;
use salt402_store::{AcceptedFork, Cursor, Store, StoreError};

use crate::state::IndexError;

/// How the node's chain compares with the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Where the index stands.
    pub cursor: Cursor,
    /// The node's newest block.
    pub head: Header,
    /// The highest height up to which both chains are known to be the same.
    pub keep_through: u64,
    /// The node's block right above that, if it has one.
    pub next: Option<Header>,
}

impl Comparison {
    /// Stored blocks that are not on the node's chain.
    pub fn depth(&self) -> u64 {
        self.cursor.number.saturating_sub(self.keep_through)
    }

    /// What an operator accepts by accepting the node's chain. `None` if it replaces no stored block yet.
    pub fn fork(&self) -> Option<AcceptedFork> {
        let next = self.next.filter(|_| self.depth() > 0)?;
        Some(AcceptedFork { keep_through: self.keep_through, block: next.hash })
    }
}

/// Compares the node's chain with the stored one, at any depth: by the stored headers, and below them by the blocks of
/// payments. `None` if nothing is stored. Changes nothing.
///
/// # Errors
/// [`StoreError::OtherGenesis`] if the node is on another chain.
pub async fn compare(
    node: &dyn Node,
    store: &Store,
    chain: ChainId,
    start_block: u64,
) -> Result<Option<Comparison>, IndexError> {
    let given = node.chain_id().await?;
    if given != chain.get() {
        return Err(IndexError::WrongChain { expected: chain.get(), given });
    }
    let Some(state) = store.chain_state(chain).await? else { return Ok(None) };
    // A node without old blocks is compared by the stored ones, below.
    let genesis = node.header(At::Number(0)).await?.map_or(state.genesis, |block| block.hash);
    if genesis != state.genesis {
        return Err(StoreError::OtherGenesis { chain, stored: state.genesis, given: genesis }.into());
    }
    let Some(cursor) = state.cursor else { return Ok(None) };
    let start = state.first_block.map_or(start_block, |first| first.min(start_block));
    let head = node.header(At::Latest).await?.ok_or(NodeError::Behind)?;
    let shows = async |block: Cursor| -> Result<bool, IndexError> {
        let shown = node.header(At::Number(block.number)).await?;
        Ok(shown.is_some_and(|shown| shown.hash == block.hash))
    };
    let (keep_through, base) = if shows(cursor).await? {
        (cursor.number, Some(cursor.hash))
    } else {
        // If two chains are the same at a height, they are the same below it. So halving finds where they part.
        let (mut low, mut high, mut base) = (start.saturating_sub(1), cursor.number, None);
        let mut keep_through = low;
        while high.saturating_sub(low) > 1 {
            let middle = low + (high - low) / 2;
            match store.known_at_or_below(chain, middle).await?.filter(|known| known.number > low) {
                None => low = middle,
                Some(known) if shows(known).await? => {
                    (keep_through, base, low) = (known.number, Some(known.hash), middle);
                }
                Some(known) => high = known.number,
            }
        }
        (keep_through, base)
    };
    let next = node.header(At::Number(keep_through + 1)).await?;
    if let (Some(next), Some(base)) = (&next, base)
        && next.parent_hash != base
    {
        return Err(NodeError::Moved.into());
    }
    Ok(Some(Comparison { cursor, head, keep_through, next }))
}
