//! Wires the verifier: its chains, its API, and its upkeep.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use salt402_chain::Node;
use salt402_facilitator::Facilitator;
use salt402_http::Token;
use salt402_indexer::ReceiptLookup;
use salt402_paywall::{ForwardAuth, Paywall, SignedWay};
use salt402_store::Store;
use salt402_verifier::http::ApiOptions;
use salt402_verifier::{Freshness, IndexChanges, Verifier, VerifierChain, VerifierOptions, Webhook};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ResolvedChain};
use crate::past_channels::follows_all_claimable;
use crate::wire::chain::{check_deployment, follow, follower_options, nodes};
use crate::wire::parts::Parts;
use crate::wire::policy::{chain_policy, with_old_quotes};
use crate::wire::running::Running;
use crate::wire::signed::signed_way;

/// How often grants that became final are forgotten.
const UPKEEP: Duration = Duration::from_secs(5);
/// The name under which forward-auth claims. It is the same in every process over one database, so that each finds the
/// claims of the others.
const FORWARD_AUTH: &str = "forward-auth";

/// Whose operators are looked at, as the follower reads them: those of whom this server is paid to.
async fn watch_operators(config: &Config, chain: &ResolvedChain, store: &Store) -> anyhow::Result<()> {
    let payees = config.payment().ok().map(|payment| payment.payee()).transpose()?;
    let payees = payees.into_iter().collect();
    Ok(store.watch_operators(chain.profile.chain_id, payees, chain.operators.clone()).await?)
}

/// Starts the followers and the verifier, which share a database. `stop` ends the verifier; the followers go on until `last`,
/// so that what others wait for is still seen.
pub(super) async fn index_and_verify(
    running: &mut Running,
    config: &Config,
    parts: Parts,
    (stop, last): (&CancellationToken, &CancellationToken),
) -> anyhow::Result<Verifier> {
    let chains = config.chains()?;
    let store = Store::open(config.verifier.store(config.database())).await?;
    running.stores.push(store.clone());
    let mut verified = Vec::with_capacity(chains.len());
    if parts.index {
        running.locks.push(store.lock_indexing()?);
    }
    for chain in &chains {
        follows_all_claimable(&store, chain).await?;
        let pool = nodes(running, chain, &store, last).await?;
        running.nodes.push((chain.profile.chain_id, pool.clone()));
        let node: Arc<dyn Node> = Arc::new(pool.clone());
        let (freshness, lookup) = if parts.index {
            watch_operators(config, chain, &store).await?;
            follow(running, chain, pool, &store, last)
        } else {
            (Freshness::Store, ReceiptLookup::new(Arc::clone(&node), store.clone(), follower_options(chain)))
        };
        let deployment = check_deployment(running, config, chain, node, &freshness, stop)?;
        verified.push(VerifierChain { policy: chain_policy(chain), freshness, lookup, deployment });
    }
    watch_incidents(running, config, parts, &store, stop)?;
    let policy = with_old_quotes(config.verifier.policy(), &store).await;
    let verifier = Verifier::new(VerifierOptions {
        changes: if parts.index {
            IndexChanges::of_this_process(&store)
        } else {
            IndexChanges::of_other_processes(store.clone())
        },
        store,
        keys: config.quote_keys()?,
        accounts: config.limits.accounts()?,
        policy,
        chains: verified,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    verifier.prepare().await?;
    running.tasks.spawn(upkeep(verifier.clone(), stop.clone()));
    Ok(verifier)
}

/// Answers what others ask the verifier. Forward-auth has what is signed settled by the facilitator of this process, if one runs.
pub(super) async fn answer(
    running: &mut Running,
    config: &Config,
    parts: Parts,
    (verifier, facilitator): (&Verifier, Option<Facilitator>),
    metrics: PrometheusHandle,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let token = config.verifier_token()?.map(|token| Token::new(&token));
    let bound = config.verifier.endpoint(&config.folder, config.limits.proxies()).bind().await?;
    let auth = if parts.verify { forward_auth(config, verifier, facilitator)? } else { None };
    let addresses = if parts.verify { config.limits.addresses()? } else { None };
    let socket_token = token.clone().filter(|_| config.verifier.socket_needs_token);
    let router = |inside: bool| {
        let token = if inside { socket_token.clone() } else { token.clone() };
        let (auth, addresses) = (auth.clone(), addresses.clone());
        let options = ApiOptions { metrics: Some(metrics.clone()), auth, token, addresses };
        if parts.verify {
            salt402_verifier::http::router(verifier.clone(), options)
        } else {
            salt402_verifier::http::watch_router(verifier.clone(), options)
        }
    };
    bound.serve(&mut running.tasks, router, stop);
    Ok(())
}

/// Every process over the database counts incidents. The one that indexes sends the messages.
fn watch_incidents(
    running: &mut Running,
    config: &Config,
    parts: Parts,
    store: &Store,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let chains = config.chains()?.iter().map(|chain| chain.profile.chain_id).collect();
    let counting = salt402_verifier::count_incidents(store.clone(), chains, stop.clone());
    running.tasks.spawn(async move {
        counting.await;
        Ok(())
    });
    if let (Some(webhook), true) = (&config.webhook, parts.index) {
        let key = config.webhook_key(webhook)?;
        let telling = Webhook::new(webhook.url.clone(), key, store.clone())?.run(stop.clone());
        running.tasks.spawn(async move {
            telling.await;
            Ok(())
        });
    }
    Ok(())
}

fn forward_auth(
    config: &Config,
    verifier: &Verifier,
    facilitator: Option<Facilitator>,
) -> anyhow::Result<Option<ForwardAuth>> {
    let Some(auth) = &config.forward_auth else { return Ok(None) };
    let payment = config.payment()?;
    let signed = signed_way(config, payment, &config.unit()?, facilitator)?;
    let paywall = Paywall {
        verifier: Arc::new(verifier.clone()),
        chain: payment.chain(&config.chains)?,
        payee: payment.payee()?,
        asset: payment.asset(),
        token_names: payment.token_names(),
        wait: Duration::from_millis(auth.wait_ms),
        claimant: FORWARD_AUTH.to_owned(),
        instance: None,
        keeps_answers: false,
        needs_quote: true,
        // What is answered is not counted here, and a ceiling that was signed can be charged by use alone.
        signed: signed.map(|way| SignedWay { upto: None, ..way }),
        dialects: payment.dialects(),
    };
    let again_within = Duration::from_secs(auth.again_within_s);
    Ok(Some(ForwardAuth { paywall, tariff: auth.tariff(&config.unit()?)?, again_within }))
}

/// Forgets grants that became final, and keeps their metrics right.
async fn upkeep(verifier: Verifier, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        if let Err(error) = verifier.upkeep().await {
            tracing::warn!(%error, "grants that are final could not be forgotten");
        }
        tokio::select! {
            () = tokio::time::sleep(UPKEEP) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}
