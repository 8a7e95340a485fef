//! Whether the index can be trusted to be current.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use salt402_indexer::{Health, Phase};
use salt402_protocol::ChainId;
use salt402_store::{HaltKind, Store, StoreError};
use tokio::sync::watch;

use crate::ChainPolicy;

/// Blocks that an index in another process may be behind its node's head and still be called current.
const TOLERATED_LAG: u64 = 3;

/// Where a chain's state is seen.
#[derive(Clone, Debug)]
pub enum Watch {
    /// A follower in this process.
    Follower(watch::Receiver<Health>),
    /// What a follower in another process leaves in the store.
    Store,
}

/// A chain's state.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) indexed: Option<u64>,
    pub(crate) head: Option<u64>,
    /// What the follower is doing, where that is known.
    pub(crate) phase: Option<&'static str>,
    pub(crate) reorganizations: Option<u64>,
    /// Why the index is not current; `None` if it is.
    pub(crate) complaint: Option<String>,
}

impl Watch {
    pub(crate) async fn look(&self, store: &Store, policy: &ChainPolicy) -> Result<Seen, StoreError> {
        match self {
            Self::Follower(health) => {
                let health = health.borrow().clone();
                let complaint = health.complaint(policy.patience);
                let phase = Some(health.phase.name());
                let reorganizations = Some(health.reorganizations);
                Ok(Seen { indexed: health.indexed, head: health.head, phase, reorganizations, complaint })
            }
            Self::Store => {
                let Some(state) = store.chain_state(policy.chain).await? else {
                    let complaint = Some("nothing is indexed yet: is `salt402 index` running?".into());
                    return Ok(Seen {
                        indexed: None,
                        head: None,
                        phase: None,
                        reorganizations: None,
                        complaint,
                    });
                };
                let indexed = state.cursor.map(|cursor| cursor.number);
                let lag = state.head.unwrap_or(0).saturating_sub(indexed.unwrap_or(0));
                let silence = since(state.noted_at_ms.unwrap_or(0));
                let complaint = if let Some(halt) = state.halt {
                    Some(halted(halt.kind))
                } else if silence > policy.patience {
                    Some(format!(
                        "the indexer last wrote {} s ago: is `salt402 index` running?",
                        silence.as_secs()
                    ))
                } else if lag > TOLERATED_LAG {
                    Some(format!("{lag} blocks behind the node"))
                } else {
                    None
                };
                let phase = state.halt.map(|_| "halted");
                Ok(Seen { indexed, head: state.head, phase, reorganizations: None, complaint })
            }
        }
    }

    /// Why nothing may be granted on a chain before its operator acts; `None` where nothing hinders.
    pub(crate) async fn halted(&self, store: &Store, chain: ChainId) -> Result<Option<String>, StoreError> {
        if let Self::Follower(health) = self {
            match &health.borrow().phase {
                Phase::Halted(reason) => return Ok(Some(reason.clone())),
                // It may have halted in its last life, and not have looked yet.
                Phase::Starting => {}
                _ => return Ok(None),
            }
        }
        let state = store.chain_state(chain).await?;
        Ok(state.and_then(|state| state.halt).map(|halt| halted(halt.kind)))
    }
}

fn halted(kind: HaltKind) -> String {
    match kind {
        HaltKind::Fork => {
            "the chain was reorganized deeper than what counts as final; `salt402 chain resume` shows \
                           what would leave it, and accepts it"
                .into()
        }
        HaltKind::Genesis => {
            "the node is on another chain than the stored one, or the chain was reset; `salt402 chain \
                              resume` says what to do"
                .into()
        }
    }
}

fn since(milliseconds: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(milliseconds))
}
