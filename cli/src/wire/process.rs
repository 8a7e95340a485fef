//! A process: the parts that it runs, its start and its end.

use std::sync::Arc;

use anyhow::Context as _;
use salt402_facilitator::Engine;
use salt402_gateway::Gateway;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError};
use crate::wire::facilitator::facilitate;
use crate::wire::gateway::serve;
use crate::wire::metrics::{keep_up, recorder};
use crate::wire::parts::Parts;
use crate::wire::running::Running;
use crate::wire::verifier::{answer, index_and_verify};

/// A process at work.
pub(crate) struct Process {
    running: Running,
    gateway: Option<Gateway>,
    settling: Option<Arc<Engine>>,
}

impl Process {
    /// Starts the parts. What can fail at once fails here, such as a bad address or a locked database. A node or a
    /// verifier that does not answer is waited for.
    pub(crate) async fn start(
        config: &Config,
        parts: Parts,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let metrics = recorder()?.install_recorder().context("metrics cannot be recorded")?;
        let mut running = Running::default();
        let facilitator = config.facilitator.as_ref().filter(|_| parts.facilitate);
        // A settlement that somebody waits for is in a block that must still be followed.
        let last = if facilitator.is_some() { CancellationToken::new() } else { stop.clone() };
        let verifier = if parts.index || parts.verify {
            Some(index_and_verify(&mut running, config, parts, (stop, &last)).await?)
        } else {
            None
        };
        let (settling, facilitated) = match facilitator {
            Some(facilitator) => {
                let engine = facilitate(&mut running, config, facilitator, metrics.clone(), (stop, last));
                let (engine, facilitated) = engine.await?;
                (Some(engine), Some(facilitated))
            }
            None if parts.facilitate && !parts.index => {
                let what = "expected a table [facilitator]: what is to be settled, and with which key?";
                return Err(ConfigError::value("facilitator", what).into());
            }
            None => (None, None),
        };
        if let Some(verifier) = &verifier {
            let asked = (verifier, facilitated.clone());
            answer(&mut running, config, parts, asked, metrics.clone(), stop).await?;
        }
        let gateway = match (&config.gateway, parts.serve) {
            (Some(gateway), true) => Some(
                serve(&mut running, config, gateway, (verifier, facilitated), metrics.clone(), stop).await?,
            ),
            (None, true) if !parts.verify => {
                return Err(ConfigError::value(
                    "gateway",
                    "expected a table [gateway]: what is to be served?",
                )
                .into());
            }
            _ => None,
        };
        keep_up(&mut running, metrics, stop.clone());
        Ok(Self { running, gateway, settling })
    }

    /// Waits for the end of all parts. A part that ends unasked stops the others.
    pub(crate) async fn finish(mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut result = Ok(());
        while let Some(ended) = self.running.tasks.join_next().await {
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
        // It may hold what settles.
        drop(self.gateway.take());
        if let Some(engine) = self.settling.and_then(Arc::into_inner) {
            engine.stop().await;
        }
        for store in self.running.stores {
            store.close().await;
        }
        result
    }
}
