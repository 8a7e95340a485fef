//! Whether the index can be trusted to be current.

use std::time::Duration;

use salt402_indexer::{Health, Phase};
use salt402_protocol::ChainId;
use salt402_protocol::api::{CoveredBlocks, UnreadBlocks};
use salt402_store::{ChainState, Coverage, Store, StoreError};
use tokio::sync::watch;

use crate::verify::policy::ChainPolicy;

/// Where it is seen how far the index of a chain is.
#[derive(Clone, Debug)]
pub enum Freshness {
    /// A follower in this process.
    Follower(watch::Receiver<Health>),
    /// A follower in another process, by what it writes into the store.
    Store,
}

/// How far the index of a chain is.
#[derive(Clone, Debug, Default)]
pub(crate) struct IndexState {
    pub(crate) indexed: Option<u64>,
    pub(crate) head: Option<u64>,
    /// What the follower is doing, if that is known.
    pub(crate) phase: Option<&'static str>,
    pub(crate) reorganizations: Option<u64>,
    /// Why the index is not current. `None` if it is.
    pub(crate) complaint: Option<String>,
    /// The time of the newest indexed block by the chain itself, in seconds since 1970 UTC.
    pub(crate) head_time: Option<u64>,
    /// How long ago the index was known to be at the node's head. `None` if that is not known.
    pub(crate) silence: Option<Duration>,
}

impl Freshness {
    pub(crate) async fn look(&self, store: &Store, policy: &ChainPolicy) -> Result<IndexState, StoreError> {
        match self {
            Self::Follower(health) => Ok(followed(&health.borrow(), policy)),
            Self::Store => Ok(match store.chain_state(policy.chain).await? {
                Some(state) => stored(store, policy, &state).await?,
                None => IndexState {
                    complaint: Some("nothing is indexed yet: is `salt402 index` running?".into()),
                    ..IndexState::default()
                },
            }),
        }
    }

    /// Something of the follower's state, where it is in this process.
    pub(crate) fn with_health<T>(&self, told: impl FnOnce(Option<&Health>) -> T) -> T {
        match self {
            Self::Follower(health) => told(Some(&health.borrow())),
            Self::Store => told(None),
        }
    }

    /// How much was read of each followed contract.
    async fn coverage(&self, store: &Store, chain: ChainId) -> Result<Vec<Coverage>, StoreError> {
        let seen = match self {
            Self::Follower(health) => health.borrow().coverage.clone(),
            Self::Store => Vec::new(),
        };
        // A follower that has not begun yet has read nothing, and an earlier one may have left something unread.
        if seen.is_empty() { store.coverage(chain).await } else { Ok(seen) }
    }

    /// What was read for followed contracts, up to a block, the oldest of each first.
    pub(crate) async fn covered(
        &self,
        store: &Store,
        chain: ChainId,
        indexed: Option<u64>,
    ) -> Result<Vec<CoveredBlocks>, StoreError> {
        let mut blocks = Vec::new();
        for known in self.coverage(store, chain).await? {
            let contract = known.source.contract;
            let covered = known.covered(indexed).into_iter();
            blocks.extend(covered.map(|stretch| CoveredBlocks {
                contract,
                from_block: stretch.from,
                to_block: stretch.to,
            }));
        }
        Ok(blocks)
    }

    /// What was not read yet for followed contracts, the oldest of each first. Blocks above the index's newest block
    /// are not included.
    pub(crate) async fn unread(
        &self,
        store: &Store,
        chain: ChainId,
    ) -> Result<Vec<UnreadBlocks>, StoreError> {
        let coverage = self.coverage(store, chain).await?;
        let blocks = |known: &Coverage| {
            let contract = known.source.contract;
            known
                .unread
                .iter()
                .map(move |stretch| UnreadBlocks { contract, from_block: stretch.from, to_block: stretch.to })
                .collect::<Vec<_>>()
        };
        Ok(coverage.iter().flat_map(blocks).collect())
    }

    /// Why nothing may be granted on a chain until its operator acts. `None` if it is not halted.
    pub(crate) async fn halted(&self, store: &Store, chain: ChainId) -> Result<Option<String>, StoreError> {
        if let Self::Follower(health) = self {
            match &health.borrow().phase {
                Phase::Halted(reason) => return Ok(Some(reason.clone())),
                // An earlier follower may have halted, and this one may not have looked yet.
                Phase::Starting => {}
                _ => return Ok(None),
            }
        }
        let state = store.chain_state(chain).await?;
        Ok(state.and_then(|state| state.halt).map(|halt| halt.kind.told().into()))
    }
}

/// The state by a follower in this process.
fn followed(health: &Health, policy: &ChainPolicy) -> IndexState {
    IndexState {
        indexed: health.indexed,
        head: health.head,
        phase: Some(health.phase.name()),
        reorganizations: Some(health.reorganizations),
        complaint: health.complaint(policy.stale_after),
        head_time: health.head_time,
        silence: health.current_at.map(|at| at.elapsed()),
    }
}

/// What a follower in another process has written into the store.
async fn stored(store: &Store, policy: &ChainPolicy, state: &ChainState) -> Result<IndexState, StoreError> {
    let indexed = state.cursor.map(|cursor| cursor.number);
    // A running indexer writes every two seconds.
    let silence = state.silence();
    let is_silent = silence.is_none_or(|silence| silence > policy.stale_after);
    let complaint = if let Some(halt) = state.halt {
        Some(halt.kind.told().into())
    } else if let Some(above) = state.lower_fork_at.filter(|_| is_silent) {
        Some(format!(
            "the node shows a fork that is lower than the index: nothing is granted on payments above block {above} \
             until the fork is as high, or stays"
        ))
    } else if is_silent {
        let wrote = match silence {
            Some(silence) => format!("the indexer last wrote {} s ago", silence.as_secs()),
            None if state.noted_at_ms.is_some() => {
                "the clock was set back since the indexer last wrote".into()
            }
            None => "the indexer has not written yet".into(),
        };
        Some(format!("{wrote}: is `salt402 index` running?"))
    } else {
        state.behind().map(|blocks| format!("{blocks} blocks behind the node"))
    };
    let newest = match indexed {
        Some(number) => store.canonical_block(policy.chain, number).await?,
        None => None,
    };
    Ok(IndexState {
        indexed,
        head: state.head,
        phase: state.halt.map(|_| "halted"),
        reorganizations: None,
        complaint,
        head_time: newest.map(|block| block.timestamp),
        silence,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use salt402_protocol::{Address, B256};
    use salt402_store::Options;

    use super::*;
    use crate::verify::policy::PaymentRules;

    pub(crate) fn chain_policy() -> ChainPolicy {
        ChainPolicy {
            chain: ChainId::CITRATE,
            network: "citrate".into(),
            contract: Address::repeat_byte(0xc0),
            other_contracts: Vec::new(),
            channels: None,
            past_channels: Vec::new(),
            operators: Vec::new(),
            least_exit_delay: None,
            rules: PaymentRules::new(1, 101),
            symbol: "SALT".into(),
            decimals: 18,
            block_time: Duration::from_secs(2),
            steady_blocks: false,
            stale_after: Duration::from_secs(10),
        }
    }

    #[tokio::test]
    async fn f26_an_indexer_that_died_before_the_clock_was_set_back_is_not_taken_for_alive() {
        let chain = ChainId::CITRATE;
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(directory.path().join("freshness.db"))).await.unwrap();
        store.pin_chain(chain, B256::ZERO).await.unwrap();
        store.note_head(chain, 0).await.unwrap();
        let policy = chain_policy();
        assert!(Freshness::Store.look(&store, &policy).await.unwrap().complaint.is_none());
        let now = store.chain_state(chain).await.unwrap().unwrap().noted_at_ms.unwrap();
        for (noted_at_ms, wanted) in
            [(now + 3_600_000, Some("set back")), (now - 3_600_000, Some("last wrote 36")), (now, None)]
        {
            store.note_head_at(chain, 0, noted_at_ms).await.unwrap();
            let complaint = Freshness::Store.look(&store, &policy).await.unwrap().complaint;
            let fits = match wanted {
                Some(words) => complaint.as_ref().is_some_and(|told| told.contains(words)),
                None => complaint.is_none(),
            };
            assert!(fits, "{noted_at_ms}: {complaint:?}");
        }
    }
}
