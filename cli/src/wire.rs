//! Which part gets which other part.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use salt402_chain::Node;
use salt402_gateway::{Gateway, GatewayOptions};
use salt402_indexer::{DeploymentCheck, Follower, FollowerOptions, Health, ReceiptLookup};
use salt402_protocol::quote::QuoteClock;
use salt402_protocol::{ChainId, Source, SourceKind};
use salt402_store::{Options, QuoteLife, RoleLock, Store};
use salt402_verifier::http::{ApiOptions, Door, ForwardAuth, Token};
use salt402_verifier::{
    ChainPolicy, Desk, Policy, RemoteVerifier, Verifier, VerifierChain, VerifierOptions, Waker, Watch,
    Webhook,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{
    Config, ConfigError, GatewayConfig, ResolvedChain, quote_keys, unix_path, verifier_token, webhook_key,
};
use crate::progress;

/// Which parts a process runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    index: bool,
    verify: bool,
    serve: bool,
}

impl Parts {
    pub(crate) const ALL: Self = Self { index: true, verify: true, serve: true };
    pub(crate) const INDEX: Self = Self { index: true, verify: false, serve: false };
    pub(crate) const VERIFY: Self = Self { index: false, verify: true, serve: false };
    pub(crate) const SERVE: Self = Self { index: false, verify: false, serve: true };
}

/// How often gauges are set.
const MEASURE: Duration = Duration::from_secs(1);
/// After how long a store that nobody writes to is tried, so that a full disk is known before somebody pays.
const QUIET: Duration = Duration::from_secs(3);
/// How long a verifier elsewhere may take to answer, beyond what it was asked to wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often kept answers are looked through for old ones.
const TIDY: Duration = Duration::from_secs(60);
/// How often grants that became final are forgotten.
const TEND: Duration = Duration::from_secs(5);

/// A process at work.
pub(crate) struct Process {
    tasks: JoinSet<anyhow::Result<()>>,
    stores: Vec<Store>,
    gateway: Option<Gateway>,
    /// The followers, for gauges and progress bars.
    followers: Vec<(ChainId, watch::Receiver<Health>)>,
    /// Held for as long as the process lives.
    locks: Vec<RoleLock>,
}

impl Process {
    /// Starts the parts. Everything that can fail at once (a bad address, a locked database) fails here; a node or a
    /// verifier that does not answer is waited for.
    pub(crate) async fn start(
        config: &Config,
        parts: Parts,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let metrics = metrics()?.install_recorder().context("metrics cannot be recorded")?;
        let mut process = Self {
            tasks: JoinSet::new(),
            stores: Vec::new(),
            gateway: None,
            followers: Vec::new(),
            locks: Vec::new(),
        };
        let verifier = if parts.index || parts.verify {
            process.index_and_verify(config, parts, metrics.clone(), stop).await?
        } else {
            None
        };
        match (&config.gateway, parts.serve) {
            (Some(gateway), true) => process.serve(config, gateway, verifier, metrics.clone(), stop).await?,
            (None, true) if !parts.verify => {
                return Err(ConfigError::value(
                    "gateway",
                    "expected a table [gateway]: what is to be served?",
                )
                .into());
            }
            _ => {}
        }
        process.keep_up(metrics, stop.clone());
        Ok(process)
    }

    async fn index_and_verify(
        &mut self,
        config: &Config,
        parts: Parts,
        metrics: PrometheusHandle,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Verifier>> {
        let chains = config.chains()?;
        let store = Store::open(config.verifier.store(config.database())).await?;
        self.stores.push(store.clone());
        let mut verified = Vec::with_capacity(chains.len());
        if parts.index {
            self.locks.push(store.lock_indexing()?);
        }
        for chain in &chains {
            let node = self.nodes(chain, &store, stop).await?;
            let watch =
                if parts.index { self.follow(chain, Arc::clone(&node), &store, stop) } else { Watch::Store };
            let unfit = self.check_deployment(config, chain, Arc::clone(&node), stop)?;
            let lookup = ReceiptLookup::new(node, store.clone(), follower_options(chain));
            verified.push(VerifierChain { policy: policy(chain), watch, lookup, unfit });
        }
        self.watch_incidents(config, parts, &store, stop)?;
        let policy = with_old_quotes(config.verifier.policy(), &store).await;
        let verifier = Verifier::new(VerifierOptions {
            waker: if parts.index { Waker::inside(&store) } else { Waker::outside(store.clone()) },
            store,
            keys: quote_keys(config)?,
            accounts: config.limits.accounts()?,
            policy,
            chains: verified,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        verifier.prepare().await?;
        self.tasks.spawn(tend(verifier.clone(), stop.clone()));
        let token = verifier_token(config)?.map(|token| Token::new(&token));
        let bound = config.verifier.place(config).bind().await?;
        let auth = if parts.verify { forward_auth(config, &verifier)? } else { None };
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
        bound.serve(&mut self.tasks, router, stop);
        Ok(Some(verifier))
    }

    /// The nodes of a chain as one, and a task that looks after them.
    async fn nodes(
        &mut self,
        chain: &ResolvedChain,
        store: &Store,
        stop: &CancellationToken,
    ) -> anyhow::Result<Arc<dyn Node>> {
        let pool = chain.nodes.connect(&chain.profile)?;
        if let Some(known) = store.chain_state(chain.profile.chain_id).await? {
            pool.expect_genesis(known.genesis);
        }
        let (watched, stop) = (pool.clone(), stop.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = watched.watch() => {}
                () = stop.cancelled() => {}
            }
            Ok(())
        });
        Ok(Arc::new(pool))
    }

    /// Looks whether the payment contract and the token are on the chain as they are configured.
    fn check_deployment(
        &mut self,
        config: &Config,
        chain: &ResolvedChain,
        node: Arc<dyn Node>,
        stop: &CancellationToken,
    ) -> anyhow::Result<watch::Receiver<Option<String>>> {
        let (said, unfit) = DeploymentCheck::unseen();
        let check = DeploymentCheck {
            contract: chain.contract,
            start_block: chain.start_block,
            token: config.token_on(chain.profile.chain_id)?,
        };
        let stop = stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = check.watch(node, said) => stop.cancelled().await,
                () = stop.cancelled() => {}
            }
            Ok(())
        });
        Ok(unfit)
    }

    /// Incidents are counted by every process over the database, and told by the one that indexes.
    fn watch_incidents(
        &mut self,
        config: &Config,
        parts: Parts,
        store: &Store,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let chains = config.chains()?.iter().map(|chain| chain.profile.chain_id).collect();
        let counting = salt402_verifier::count_incidents(store.clone(), chains, stop.clone());
        self.tasks.spawn(async move {
            counting.await;
            Ok(())
        });
        if let (Some(webhook), true) = (&config.webhook, parts.index) {
            let key = webhook_key(config, webhook)?;
            let telling = Webhook::new(webhook.url.clone(), key, store.clone())?.run(stop.clone());
            self.tasks.spawn(async move {
                telling.await;
                Ok(())
            });
        }
        Ok(())
    }

    fn follow(
        &mut self,
        chain: &ResolvedChain,
        node: Arc<dyn Node>,
        store: &Store,
        stop: &CancellationToken,
    ) -> Watch {
        let (follower, health) = Follower::new(node, store.clone(), follower_options(chain));
        let stop = stop.clone();
        self.followers.push((chain.profile.chain_id, health.clone()));
        let bars = progress::back_fill(chain.profile.name.clone(), health.clone(), stop.clone());
        self.tasks.spawn(async move {
            follower.run(stop).await;
            Ok(())
        });
        tokio::spawn(bars);
        Watch::Follower(health)
    }

    async fn serve(
        &mut self,
        config: &Config,
        gateway: &GatewayConfig,
        verifier: Option<Verifier>,
        metrics: PrometheusHandle,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        // Beside a verifier the metrics are on its listener. Alone, they are behind its token: strangers may ask here.
        let token = verifier_token(config)?.filter(|_| verifier.is_none());
        let metrics = token.map(|token| (metrics, Token::new(&token)));
        let (desk, store) = match verifier {
            Some(verifier) => (Desk::Here(verifier), self.stores[0].clone()),
            None => {
                let url = gateway.verifier.clone().ok_or_else(|| {
                    ConfigError::value(
                        "gateway.verifier",
                        "expected the verifier's address, as the gateway runs alone",
                    )
                })?;
                let store = Store::open(without_memory(config.gateway_database())).await?;
                self.stores.push(store.clone());
                let token = verifier_token(config)?;
                let remote = match unix_path(&url) {
                    Some(path) => RemoteVerifier::at_socket(&config.path(&path), token, PATIENCE)?,
                    None => RemoteVerifier::new(url, token, PATIENCE)?,
                };
                (Desk::There(remote), store)
            }
        };
        self.locks.push(store.lock_serving()?);
        let (keep, bytes) = (Duration::from_secs(gateway.keep_answers_s), gateway.keep_answers_bytes);
        self.tasks.spawn(tidy(store.clone(), keep, bytes, stop.clone()));
        let payment = config.payment()?;
        let door = Door {
            desk,
            chain: payment.chain(config)?,
            payee: payment.payee()?,
            asset: payment.asset(),
            token_names: payment.token_names(),
            wait: Duration::from_millis(gateway.wait_ms),
            claimant: store.get_or_create_identity().await?,
            instance: Some(store.instance()),
            keeps_answers: true,
        };
        let options = GatewayOptions {
            door,
            store,
            catalogue: gateway.catalogue(config)?,
            body_limit: gateway.max_body_bytes,
            max_runs: gateway.max_runs,
            bare_again: gateway.bare_again,
            addresses: config.limits.addresses()?,
            browsers: gateway.browsers()?,
        };
        let gateway_part = Gateway::new(options);
        let router = |_| salt402_gateway::router(gateway_part.clone(), metrics.clone());
        gateway.place(config).bind().await?.serve(&mut self.tasks, router, stop);
        gateway_part.begin();
        self.gateway = Some(gateway_part);
        Ok(())
    }

    /// Metrics' histograms are drained from time to time, whether they are asked for or not, and gauges that nobody sets
    /// by what they do are set.
    fn keep_up(&mut self, metrics: PrometheusHandle, stop: CancellationToken) {
        let (stores, followers) = (self.stores.clone(), self.followers.clone());
        let since = Instant::now();
        self.tasks.spawn(async move {
            let mut every = tokio::time::interval(MEASURE);
            loop {
                tokio::select! {
                    _ = every.tick() => {}
                    () = stop.cancelled() => return Ok(()),
                }
                for (chain, health) in &followers {
                    health.borrow().measure(*chain, since);
                }
                for store in &stores {
                    // Nobody waits for a disk here.
                    let trying = store.clone();
                    tokio::spawn(async move { trying.try_writing(QUIET).await });
                    if let Err(error) = store.set_gauges().await {
                        tracing::debug!(%error, "the store could not be measured");
                    }
                }
                metrics.run_upkeep();
            }
        });
    }

    /// Waits for the end of all parts. A part that ends before it was asked to takes the others with it.
    pub(crate) async fn finish(mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut result = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let ended = ended.map_err(anyhow::Error::from).and_then(|ended| ended);
            if result.is_ok() {
                result = ended;
            }
            if !stop.is_cancelled() {
                stop.cancel();
                if result.is_ok() {
                    result = Err(anyhow::anyhow!("a part ended on its own"));
                }
            }
        }
        if let Some(gateway) = &self.gateway {
            gateway.finish().await;
        }
        for store in self.stores {
            store.close().await;
        }
        result
    }
}

/// The name under which forward-auth claims, the same in every process over one database: whichever of them is asked
/// finds the same claim again.
const FORWARD_AUTH: &str = "forward-auth";

fn forward_auth(config: &Config, verifier: &Verifier) -> anyhow::Result<Option<ForwardAuth>> {
    let Some(auth) = &config.forward_auth else { return Ok(None) };
    let payment = config.payment()?;
    let door = Door {
        desk: Desk::Here(verifier.clone()),
        chain: payment.chain(config)?,
        payee: payment.payee()?,
        asset: payment.asset(),
        token_names: payment.token_names(),
        wait: Duration::from_millis(auth.wait_ms),
        claimant: FORWARD_AUTH.to_owned(),
        instance: None,
        keeps_answers: false,
    };
    let again_within = Duration::from_secs(auth.again_within_s);
    Ok(Some(ForwardAuth { door, tariff: auth.tariff(config)?, again_within }))
}

fn follower_options(chain: &ResolvedChain) -> FollowerOptions {
    FollowerOptions { chain: chain.profile.chain_id, sources: chain.sources.clone() }
}

/// A policy by which quotes of another life than they have by now are found too. Where none can be written down, as on a full
/// disk, those of before are not known.
async fn with_old_quotes(policy: Policy, store: &Store) -> Policy {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let lives = store.note_quote_life(policy.clock.lifetime, now).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "how long quotes lived before is not known now");
        Vec::new()
    });
    let clock = |life: QuoteLife| (QuoteClock::living(life.lifetime), life.until);
    Policy { old_clocks: lives.into_iter().map(clock).collect(), ..policy }
}

/// Buckets, so that histograms of several processes can be added up; without them they would be summaries.
fn metrics() -> anyhow::Result<PrometheusBuilder> {
    const SECONDS: &[f64] = &[
        0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        10.0, 30.0, 60.0,
    ];
    const BLOCKS: &[f64] = &[1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0];
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_depth".into()), BLOCKS)?)
}

/// A database that no payment is looked up in.
fn without_memory(path: std::path::PathBuf) -> Options {
    Options { memory: 0, ..Options::new(path) }
}

fn policy(chain: &ResolvedChain) -> ChainPolicy {
    let (profile, rules) = (&chain.profile, &chain.policy);
    let block_time = Duration::from_millis(profile.block_time_ms);
    let poll = Duration::from_millis(profile.poll_ms);
    let mut other_contracts: Vec<_> = chain.sources.iter().flat_map(Source::paid_through).collect();
    other_contracts.retain(|other| *other != chain.contract);
    other_contracts.sort_unstable();
    other_contracts.dedup();
    ChainPolicy {
        chain: profile.chain_id,
        network: profile.name.clone(),
        contract: chain.contract,
        other_contracts,
        channels: chain
            .sources
            .iter()
            .find(|source| chain.vouchers && source.kind == SourceKind::SaltChannels)
            .map(|source| source.contract),
        least_exit_delay: chain.least_exit_delay,
        confirmations: rules.confirmations,
        depths: rules.depths.clone(),
        final_at: rules.final_at,
        max_age: rules.max_age,
        assets: rules.assets.clone(),
        payees: rules.payees.clone(),
        exposure: rules.exposure.clone(),
        second_node: rules.second_node.clone(),
        after_loss: rules.after_loss,
        symbol: profile.native_symbol.clone(),
        decimals: profile.native_decimals,
        block_time,
        steady_blocks: profile.steady_blocks,
        patience: chain.patience.unwrap_or(Duration::from_secs(10).max(5 * poll).max(3 * block_time)),
    }
}

/// Keeps the record of what is not final small, and the metrics of it true.
async fn tend(verifier: Verifier, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        if let Err(error) = verifier.tend().await {
            tracing::warn!(%error, "grants that are final could not be forgotten");
        }
        tokio::select! {
            () = tokio::time::sleep(TEND) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// Drops answers that are older than they are kept for, or beyond the bytes that are kept.
async fn tidy(store: Store, keep: Duration, bytes: u64, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TIDY) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let before = u64::try_from(now.saturating_sub(keep).as_millis()).unwrap_or(0);
        match store.evict_outcomes(before, bytes).await {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(dropped, "old answers are no longer kept"),
            Err(error) => tracing::warn!(%error, "old answers could not be dropped"),
        }
    }
}
