//! Stops the follower until the operator has decided.
//!
//! A reorganization deeper than what counts as final takes back payments that were taken for final. This program must
//! not decide that. So the follower halts and stores the halt. Nothing is granted on the chain until an operator
//! accepts exactly the fork that was looked at, which its first block names.

use std::time::Duration;

use salt402_chain::NodeError;
use salt402_store::{Cursor, HaltKind, StoreError};
use tokio::time::Instant;

use crate::state::{Followed, IndexError};

/// How often a halted follower checks whether the operator has decided.
const LOOK: Duration = Duration::from_secs(1);
/// How often it reports again that it is halted.
const REMINDER: Duration = Duration::from_secs(60);

/// Refuses to take blocks off the chain that count as final.
pub(crate) fn within_finality(
    followed: &Followed,
    cursor: Option<Cursor>,
    keep_through: Option<u64>,
) -> Result<(), IndexError> {
    let finality = followed.node.profile().finality_depth;
    let depth = cursor.zip(keep_through).map_or(0, |(cursor, kept)| cursor.number.saturating_sub(kept));
    if depth > finality { Err(IndexError::PastFinal { depth, finality }) } else { Ok(()) }
}

/// Stores the halt, reports it, and waits until the operator has decided.
pub(crate) async fn halted(followed: &Followed, error: &IndexError) {
    let (chain, store) = (followed.options.chain, &followed.store);
    let mut unstored = halt_of(error);
    let mut said: Option<Instant> = None;
    loop {
        if said.is_none_or(|at| at.elapsed() >= REMINDER) {
            said = Some(Instant::now());
            tracing::error!(%chain, %error, "halted: nothing is granted on this chain until the operator acts");
        }
        match unstored {
            Some((kind, depth)) => match store.halt(chain, kind, depth).await {
                Ok(()) => unstored = None,
                Err(error) => {
                    tracing::error!(%chain, %error, "the halt could not be stored; tried again");
                }
            },
            None => match store.chain_state(chain).await {
                Ok(Some(state)) if state.halt.is_none_or(|halt| halt.accepted.is_some()) => return,
                Ok(_) => {}
                Err(error) => tracing::warn!(%chain, %error, "the halt could not be read; tried again"),
            },
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The halt that begins with an error. `None` if the halt is stored already.
fn halt_of(error: &IndexError) -> Option<(HaltKind, u64)> {
    match error {
        IndexError::TooDeep { window, .. } => Some((HaltKind::Fork, *window)),
        IndexError::PastFinal { depth, .. } | IndexError::OtherFork { depth } => {
            Some((HaltKind::Fork, *depth))
        }
        IndexError::WrongGenesis { .. }
        | IndexError::Node(NodeError::WrongGenesis { .. })
        | IndexError::Store(StoreError::OtherGenesis { .. }) => Some((HaltKind::Genesis, 0)),
        _ => None,
    }
}
