//! Wires the gateway: the verifier that it asks, and what it sells.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use salt402_facilitator::Facilitator;
use salt402_gateway::{Gateway, GatewayOptions};
use salt402_http::Token;
use salt402_paywall::{Paywall, RemoteVerifier, VerifierClient};
use salt402_store::Store;
use salt402_verifier::Verifier;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError, GatewayConfig, unix_path};
use crate::wire::rate::follow_rate;
use crate::wire::running::Running;
use crate::wire::signed::signed_way;
use crate::wire::store::{evict_answers, without_memory};

/// How long a verifier elsewhere may take to answer, besides the time that it was asked to wait.
const VERIFIER_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts a gateway, with the verifier of this process or one elsewhere.
pub(super) async fn serve(
    running: &mut Running,
    config: &Config,
    gateway: &GatewayConfig,
    (verifier, facilitator): (Option<Verifier>, Option<Facilitator>),
    metrics: PrometheusHandle,
    stop: &CancellationToken,
) -> anyhow::Result<Gateway> {
    // Beside a verifier, the verifier's listener serves the metrics. Alone, they need the gateway's token, since
    // strangers may ask here.
    let token = config.verifier_token()?.filter(|_| verifier.is_none());
    let metrics = token.map(|token| (metrics, Token::new(&token)));
    let (verifier, store): (Arc<dyn VerifierClient>, Store) = match verifier {
        Some(verifier) => (Arc::new(verifier), running.stores[0].clone()),
        None => {
            let url = gateway.verifier.clone().ok_or_else(|| {
                ConfigError::value(
                    "gateway.verifier",
                    "expected the verifier's address, as the gateway runs alone",
                )
            })?;
            let store = Store::open(without_memory(config.gateway_database())).await?;
            running.stores.push(store.clone());
            let token = config.verifier_token()?;
            let remote = match unix_path(&url) {
                Some(path) => RemoteVerifier::at_socket(&config.path(&path), token, VERIFIER_TIMEOUT)?,
                None => RemoteVerifier::new(url, token, VERIFIER_TIMEOUT)?,
            };
            (Arc::new(remote), store)
        }
    };
    running.locks.push(store.lock_serving()?);
    let (keep, bytes) = (Duration::from_secs(gateway.keep_answers_s), gateway.keep_answers_bytes);
    running.tasks.spawn(evict_answers(store.clone(), keep, bytes, stop.clone()));
    let payment = config.payment()?;
    let unit = config.unit()?;
    let paywall = Paywall {
        verifier,
        chain: payment.chain(&config.chains)?,
        payee: payment.payee()?,
        asset: payment.asset(),
        token_names: payment.token_names(),
        wait: Duration::from_millis(gateway.wait_ms),
        claimant: store.get_or_create_identity().await?,
        instance: Some(store.instance()),
        keeps_answers: true,
        needs_quote: false,
        signed: signed_way(config, payment, &unit, facilitator)?,
        dialects: payment.dialects(),
    };
    let rate = gateway.usd.as_ref().map(|usd| usd.rate(&unit)).transpose()?;
    if let (Some(usd), Some(rate)) = (&gateway.usd, &rate)
        && !usd.command.is_empty()
    {
        running.tasks.spawn(follow_rate(Arc::clone(rate), usd.clone(), unit.clone(), stop.clone()));
    }
    let options = GatewayOptions {
        paywall,
        store,
        catalogue: gateway.catalogue(&unit, &config.folder, rate.as_ref())?,
        routes: gateway.routes(&unit, rate.as_ref())?,
        services: gateway.services(&unit)?,
        body_limit: gateway.max_body_bytes,
        max_runs: gateway.max_runs,
        batches: gateway.batches(),
        leave_grace: Duration::from_secs(gateway.leave_grace_s),
        voucher_wait: Duration::from_secs(gateway.voucher_wait_s),
        largest_kept: gateway.largest_kept_bytes,
        longest_stream: Duration::from_secs(gateway.longest_stream_s),
        least_rate: gateway.least_reader_bytes_s,
        folder: config.path(&config.data),
        bare_again: gateway.bare_again,
        keys: gateway.keys.as_ref().map(|keys| keys.options(&unit)).transpose()?,
        addresses: config.limits.addresses()?,
        names: payment.names(&config.chains)?,
        browsers: gateway.browsers()?,
    };
    let serving = Gateway::new(options);
    let (pausing, stopped) = (serving.clone(), stop.clone());
    running.tasks.spawn(async move {
        stopped.cancelled().await;
        pausing.end_pauses();
        Ok(())
    });
    let router = |_| salt402_gateway::router(serving.clone(), metrics.clone());
    gateway.endpoint(&config.folder, config.limits.proxies()).bind().await?.serve(
        &mut running.tasks,
        router,
        stop,
    );
    serving.begin();
    Ok(serving)
}
