//! Whether a node is on the configured chain and, after the first contact, on the stored one.

use salt402_chain::{At, NodeError};
use salt402_store::Cursor;

use crate::state::{Followed, IndexError};

/// Makes sure that the node is on the configured chain and, after the first contact, on the stored one.
///
/// It compares the chain id and block 0. A node with pruned history may not have block 0. Then the chain id decides,
/// and the node must have the oldest stored header.
pub(crate) async fn identify(followed: &Followed) -> Result<(), IndexError> {
    let Followed { nodes, node, store, options, .. } = followed;
    let (chain, pinned) = (options.chain, node.profile().genesis_hash);
    let given = node.chain_id().await?;
    let expected = chain.get();
    if given != expected {
        return Err(IndexError::WrongChain { expected, given });
    }
    let state = store.chain_state(chain).await?;
    let genesis = match node.header(At::Number(0)).await? {
        Some(block) => block.hash,
        None => {
            let known = state.as_ref().map(|state| state.genesis).or(pinned);
            let genesis = known.ok_or(IndexError::NoGenesis)?;
            check_anchor(followed, state.and_then(|state| state.cursor)).await?;
            genesis
        }
    };
    if let Some(pinned) = pinned.filter(|pinned| *pinned != genesis) {
        return Err(IndexError::WrongGenesis { expected: pinned, given: genesis });
    }
    store.pin_chain(chain, genesis).await?;
    nodes.expect_genesis(genesis);
    Ok(())
}

/// In place of block 0: the oldest stored header. No reorganization that the index would follow reaches it.
async fn check_anchor(followed: &Followed, cursor: Option<Cursor>) -> Result<(), IndexError> {
    let Followed { node, store, options, .. } = followed;
    let chain = options.chain;
    let Some(cursor) = cursor else {
        tracing::warn!(
            %chain,
            "the node does not have block 0: that it is the pinned chain was checked by its id alone, and by what \
             is indexed first from now on"
        );
        return Ok(());
    };
    let lowest = cursor.number.saturating_sub(node.profile().reorg_window);
    for number in lowest..=cursor.number {
        let Some(stored) = store.canonical_block(chain, number).await? else { continue };
        let given = node.header(At::Number(number)).await?.ok_or(NodeError::Behind)?.hash;
        if given != stored.hash {
            return Err(IndexError::WrongAnchor { number, expected: stored.hash, given });
        }
        tracing::warn!(
            %chain, block = number,
            "the node does not have block 0: it was compared with the oldest stored block instead"
        );
        return Ok(());
    }
    Ok(())
}
