//! The parts of a gateway, its start and its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use salt402_http::AddressLimits;
use salt402_paywall::{CorsLayer, Paywall};
use salt402_protocol::details::Names;
use salt402_store::Store;

use crate::agent_tasks::AgentTasks;
use crate::bare_proofs::BareProofs;
use crate::catalogue::Catalogue;
use crate::charging::Charging;
use crate::circuit::Circuits;
use crate::claimant_lease::ClaimantLease;
use crate::execution::{Deliveries, ExecutionLimits, Executions};
use crate::keys::{KeyOptions, Keys};
use crate::model_route::Routes;
use crate::services::Services;
use crate::sessions::Sessions;
use crate::tab::Tabs;

/// How large batches are, and how many of their requests run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most requests of a batch.
    pub most: usize,
    /// How many requests of one batch run at once. At least 1.
    pub at_once: usize,
}

/// The parts of a gateway.
pub struct GatewayOptions {
    /// How requests are paid for.
    pub paywall: Paywall,
    /// The store of outcomes.
    pub store: Store,
    /// The models that are sold.
    pub catalogue: Catalogue,
    /// The names under which the best of several models answers. Each candidate is in the catalogue.
    pub routes: Routes,
    /// The services that are sold by path.
    pub services: Services,
    /// Largest request body, in bytes.
    pub body_limit: usize,
    /// The most runs of one payment's request.
    pub max_runs: u32,
    /// How long the run of a stream goes on that nobody reads.
    pub leave_grace: Duration,
    /// How long a stream that is paid as it goes waits for vouchers, in all its pauses together.
    pub voucher_wait: Duration,
    /// How large batches are, and how many of their requests run at once.
    pub batches: BatchLimits,
    /// The longest stream that is kept for those who show its payment again, in bytes. A longer one is given once.
    pub largest_kept: u64,
    /// How long a stream may take at the most after it has begun, with its pauses.
    pub longest_stream: Duration,
    /// How many bytes a second the readers of a stream must take while its run waits for them. 0: any.
    pub least_rate: u64,
    /// An existing folder for what is being streamed. It is in files without names, which end with the process.
    pub folder: PathBuf,
    /// How often one address may ask. `None` for no limit.
    pub addresses: Option<AddressLimits>,
    /// How network and asset are named, for people.
    pub names: Names,
    /// Which browser pages may ask. `None`: none.
    pub browsers: Option<CorsLayer>,
    /// How often a kept answer is given again, within a minute, to those who show the payment without its quote id.
    pub bare_again: u32,
    /// What is sold of balances, which API keys draw. `None`: no keys are taken.
    pub keys: Option<KeyOptions>,
}

/// The paid front of an inference server. It is cheap to clone, and all clones are the same one.
#[derive(Clone)]
pub struct Gateway(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) paywall: Paywall,
    pub(crate) executions: Executions,
    pub(crate) charging: Charging,
    /// Streams under way that are paid as they go.
    pub(crate) tabs: Tabs,
    pub(crate) circuits: Circuits,
    pub(crate) deliveries: Deliveries,
    pub(crate) services: Services,
    pub(crate) service_circuits: Circuits,
    /// The store of outcomes.
    pub(crate) store: Store,
    pub(crate) catalogue: Catalogue,
    pub(crate) routes: Arc<Routes>,
    pub(crate) sessions: Arc<Sessions>,
    /// Tasks of agents.
    pub(crate) agent_tasks: AgentTasks,
    pub(crate) body_limit: usize,
    pub(crate) batches: BatchLimits,
    pub(crate) bare: BareProofs,
    pub(crate) lease: ClaimantLease,
    pub(crate) addresses: Option<AddressLimits>,
    pub(crate) names: Names,
    pub(crate) browsers: Option<CorsLayer>,
    /// The API keys. `None`: none are taken.
    pub(crate) keys: Option<Keys>,
}

impl Gateway {
    /// A gateway over a verifier and a store. Nobody else may claim under the paywall's claimant name, and the name
    /// must stay the same for the store.
    pub fn new(options: GatewayOptions) -> Self {
        let limits = ExecutionLimits {
            runs: options.max_runs,
            leave_grace: options.leave_grace,
            largest_kept: options.largest_kept,
            longest: options.longest_stream,
            least_rate: options.least_rate,
            folder: options.folder,
        };
        let executions = Executions::new(options.store.clone(), limits);
        let charged = Arc::clone(&executions.charged);
        let charging = Charging::new(options.store.clone(), options.paywall.clone(), charged);
        let tabs = Tabs::new(options.store.clone(), options.paywall.clone(), options.voucher_wait);
        Self(Arc::new(Inner {
            tabs,
            keys: options.keys.map(|keys| Keys::new(keys, charging.clone())),
            charging,
            lease: ClaimantLease::of(&options.paywall),
            paywall: options.paywall,
            circuits: Circuits::new(&options.catalogue),
            deliveries: Deliveries::new(
                options.store.clone(),
                options.max_runs,
                options.leave_grace,
                Arc::clone(&executions.charged),
            ),
            executions,
            service_circuits: options.services.circuits(),
            services: options.services,
            store: options.store,
            catalogue: options.catalogue,
            routes: Arc::new(options.routes),
            sessions: Arc::default(),
            agent_tasks: AgentTasks::default(),
            body_limit: options.body_limit,
            batches: options.batches,
            bare: BareProofs::new(options.bare_again),
            addresses: options.addresses,
            names: options.names,
            browsers: options.browsers,
        }))
    }

    /// Takes the paywall's name, and asks the servers of models and services for the first time. Nothing is sold before
    /// the gateway has the name. A model or a service is not sold before its server has answered.
    pub fn begin(&self) {
        self.0.lease.begin(&self.0.paywall);
        self.0.charging.begin();
        if let Some(keys) = &self.0.keys {
            keys.begin();
        }
        self.0.circuits.begin();
        self.0.service_circuits.begin();
    }

    /// Ends the pauses of streams that wait for vouchers: none come any more once the listener stops.
    pub fn end_pauses(&self) {
        self.0.tabs.finish();
    }

    /// Waits for runs under way, after the listener has stopped.
    pub async fn finish(&self) {
        self.end_pauses();
        self.0.circuits.finish().await;
        self.0.service_circuits.finish().await;
        self.0.executions.finish().await;
        self.0.deliveries.finish().await;
        if let Some(keys) = &self.0.keys {
            keys.finish().await;
        }
        self.0.charging.finish().await;
        self.0.lease.finish().await;
    }
}
