//! Wires a chain: its nodes, its follower, and the check of its contracts.

use std::sync::Arc;

use salt402_chain::{Node, Pool};
use salt402_indexer::{Deployment, DeploymentCheck, Follower, FollowerOptions, ReceiptLookup};
use salt402_store::Store;
use salt402_verifier::Freshness;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ResolvedChain};
use crate::progress;
use crate::wire::policy::chain_policy;
use crate::wire::running::Running;

/// The nodes of a chain as one, and a task that checks them.
pub(super) async fn nodes(
    running: &mut Running,
    chain: &ResolvedChain,
    store: &Store,
    stop: &CancellationToken,
) -> anyhow::Result<Pool> {
    let pool = chain.nodes.connect(&chain.profile)?;
    if let Some(known) = store.chain_state(chain.profile.chain_id).await? {
        pool.expect_genesis(known.genesis);
    }
    let (watched, stop) = (pool.clone(), stop.clone());
    running.tasks.spawn(async move {
        tokio::select! {
            () = watched.watch() => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    });
    Ok(pool)
}

/// Follows a chain in a task of its own. Payments are looked up with the follower's own lookup, so that both share its
/// limits and memory.
pub(super) fn follow(
    running: &mut Running,
    chain: &ResolvedChain,
    pool: Pool,
    store: &Store,
    stop: &CancellationToken,
) -> (Freshness, ReceiptLookup) {
    let (follower, health) = Follower::new(pool, store.clone(), follower_options(chain));
    let lookup = follower.lookup();
    let stop = stop.clone();
    running.followers.push((chain.profile.chain_id, health.clone()));
    let bars = progress::back_fill(chain.profile.name.clone(), health.clone(), stop.clone());
    running.tasks.spawn(async move {
        follower.run(stop).await;
        Ok(())
    });
    tokio::spawn(bars);
    (Freshness::Follower(health), lookup)
}

/// Checks whether the payment contract, the channels and the token are on the chain as configured.
pub(super) fn check_deployment(
    running: &mut Running,
    config: &Config,
    chain: &ResolvedChain,
    node: Arc<dyn Node>,
    freshness: &Freshness,
    stop: &CancellationToken,
) -> anyhow::Result<watch::Receiver<Deployment>> {
    let (said, deployment) = watch::channel(Deployment::unseen());
    let health = match freshness {
        Freshness::Follower(health) => Some(health.clone()),
        Freshness::Store => None,
    };
    let check = DeploymentCheck {
        contract: chain.contract,
        start_block: chain.start_block,
        channels: chain_policy(chain).channels,
        token: config.token_on(chain.profile.chain_id)?,
    };
    let stop = stop.clone();
    running.tasks.spawn(async move {
        tokio::select! {
            () = check.watch(node, health, said) => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    });
    Ok(deployment)
}

pub(crate) fn follower_options(chain: &ResolvedChain) -> FollowerOptions {
    FollowerOptions { chain: chain.profile.chain_id, sources: chain.sources.clone() }
}
