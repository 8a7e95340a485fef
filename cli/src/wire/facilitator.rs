//! Wires the facilitator: its chains, its keys, what settles, and its API.

use std::sync::Arc;

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use salt402_chain::{Account, Node};
use salt402_facilitator::http::{ApiOptions, router};
use salt402_facilitator::{
    Engine, Facilitator, NetworkPolicy, SettleChain, SettleContracts, Settler, describe_metrics, low_water,
};
use salt402_http::Token;
use salt402_protocol::ChainId;
use salt402_protocol::typed_data::PERMIT2;
use salt402_store::{IndexChanges, Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, FacilitatedChain, FacilitatorConfig};
use crate::wire::chain::nodes;
use crate::wire::policy::chain_policy;
use crate::wire::running::Running;

/// Starts a facilitator over the database of this process, or over one that another process indexes. Returns what settles,
/// which is stopped last. `last` is cancelled when nobody waits for a settlement any more.
pub(super) async fn facilitate(
    running: &mut Running,
    config: &Config,
    facilitator: &FacilitatorConfig,
    metrics: PrometheusHandle,
    (stop, last): (&CancellationToken, CancellationToken),
) -> anyhow::Result<(Arc<Engine>, Facilitator)> {
    let alone = running.nodes.is_empty();
    let store = if alone { open(running, config).await? } else { running.stores[0].clone() };
    let changes = if alone {
        IndexChanges::of_other_processes(store.clone())
    } else {
        IndexChanges::of_this_process(&store)
    };
    describe_metrics();
    let (mut networks, mut asked, mut settled) = (Vec::new(), Vec::new(), Vec::new());
    for chain in config.chains()? {
        let Some(here) = &chain.facilitated else { continue };
        let id = chain.profile.chain_id;
        let known = running.nodes.iter().find(|(known, _)| *known == id).map(|(_, pool)| pool.clone());
        let pool = match known {
            Some(pool) => pool,
            None => nodes(running, &chain, &store, &last).await?,
        };
        let node: Arc<dyn Node> = Arc::new(pool);
        if let Some(low) = here.low_water {
            low_water(id, low.0, chain.profile.native_decimals);
        }
        settled.push(settle_chain(config, here, id, &node)?);
        asked.push((id, node));
        let stale_after = chain_policy(&chain).stale_after;
        networks.push(NetworkPolicy { stale_after, ..here.policy.clone() });
    }
    let engine = Arc::new(Engine::start(&store, &changes, settled, facilitator.settling(&config.folder))?);
    let policy = facilitator.policy(networks);
    let settler: Arc<dyn Settler> = Arc::clone(&engine) as _;
    let facilitated = Facilitator::new(policy, asked, store, &changes, settler);
    if alone {
        for (chain, why) in facilitated.health().await {
            tracing::warn!(%chain, %why, "nothing can be settled now");
        }
    }
    let bound = facilitator.endpoint(&config.folder, config.limits.proxies()).bind().await?;
    // Beside a verifier, the verifier's listener serves the metrics.
    let metrics = Some(metrics).filter(|_| alone);
    let metrics_token = config.verifier_token()?.map(|token| Token::new(&token));
    let callers = facilitator.callers(&config.folder, &config.chains)?;
    // Without a token nobody is let in but those of this machine.
    let metrics = metrics.filter(|_| metrics_token.is_some() || callers.is_empty());
    let (addresses, cors) = (config.limits.addresses()?, facilitator.browsers()?);
    let answering = facilitated.clone();
    let api = |inside: bool| {
        let callers = if inside && !facilitator.socket_needs_token { Vec::new() } else { callers.clone() };
        let (metrics, metrics_token) = (metrics.clone(), metrics_token.clone());
        let (addresses, cors) = (addresses.clone(), cors.clone());
        let options = ApiOptions { callers, addresses, cors, metrics, metrics_token };
        router(answering.clone(), options)
    };
    let mut serving = JoinSet::new();
    bound.serve(&mut serving, api, stop);
    running.tasks.spawn(async move {
        let mut result = Ok(());
        while let Some(ended) = serving.join_next().await {
            result = result.and(ended.context("the facilitator's listener").and_then(|ended| ended));
        }
        last.cancel();
        result
    });
    Ok((engine, facilitated))
}

async fn open(running: &mut Running, config: &Config) -> anyhow::Result<Store> {
    let path = config.database();
    anyhow::ensure!(
        path.exists(),
        "{}: there is no database here yet; start `salt402 index` or `salt402 up` first, which follows the chain: without \
         it no settlement's outcome could be seen",
        path.display()
    );
    let store = Store::open(config.verifier.store(path)).await?;
    running.stores.push(store.clone());
    Ok(store)
}

fn settle_chain(
    config: &Config,
    here: &FacilitatedChain,
    chain: ChainId,
    node: &Arc<dyn Node>,
) -> anyhow::Result<SettleChain> {
    let defaults = SettleContracts::default();
    let accounts: Vec<Arc<Account>> = here.accounts(&config.folder)?.into_iter().map(Arc::new).collect();
    Ok(SettleChain {
        chain,
        node: Arc::clone(node),
        contracts: SettleContracts {
            permit2: PERMIT2,
            exact_proxy: here.policy.exact_proxy.unwrap_or(defaults.exact_proxy),
            upto_proxy: here.policy.upto_proxy.unwrap_or(defaults.upto_proxy),
        },
        accounts,
    })
}
