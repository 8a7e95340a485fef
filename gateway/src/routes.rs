//! The gateway: what it is made of, and which path does what.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use salt402_protocol::{Asset, ChainId, Code, Problem};
use salt402_store::{Store, StoreError};
use salt402_verifier::http::{Fault, PrometheusHandle, finish};
use serde_json::json;

use crate::{Catalogue, Desk, Executions, inference};

/// What a gateway is made of.
pub struct GatewayOptions {
    /// Where payments are asked about.
    pub desk: Desk,
    /// Where outcomes are kept.
    pub store: Store,
    /// The chain to be paid on.
    pub chain: ChainId,
    /// Who is to be paid.
    pub payee: Address,
    /// What is to be paid.
    pub asset: Asset,
    /// A token's symbol and decimal places, for people; the native coin's come from its network.
    pub token_names: Option<(String, u8)>,
    /// What is served.
    pub catalogue: Catalogue,
    /// Largest request body, in bytes.
    pub body_limit: usize,
    /// How long a proof may wait for its payment.
    pub wait: Duration,
}

/// The paid front of an inference server. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Gateway(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) desk: Desk,
    pub(crate) executions: Executions,
    pub(crate) chain: ChainId,
    pub(crate) payee: Address,
    pub(crate) asset: Asset,
    pub(crate) token_names: Option<(String, u8)>,
    pub(crate) catalogue: Catalogue,
    pub(crate) body_limit: usize,
    pub(crate) wait: Duration,
    /// The name under which payments are claimed; the same after a restart, so that a claim is found again.
    pub(crate) identity: String,
}

impl Gateway {
    /// A gateway over a verifier and a store.
    pub async fn new(options: GatewayOptions) -> Result<Self, StoreError> {
        let identity = options.store.get_or_create_identity().await?;
        Ok(Self(Arc::new(Inner {
            desk: options.desk,
            executions: Executions::new(options.store),
            chain: options.chain,
            payee: options.payee,
            asset: options.asset,
            token_names: options.token_names,
            catalogue: options.catalogue,
            body_limit: options.body_limit,
            wait: options.wait,
            identity,
        })))
    }

    /// Waits for runs under way, after the listener has stopped.
    pub async fn finish(&self) {
        self.0.executions.finish().await;
    }
}

/// The gateway's API. `metrics` renders `/metrics`.
pub fn router(gateway: Gateway, metrics: Option<PrometheusHandle>) -> Router {
    let routes = Router::new()
        .route("/v1/inference", post(inference::handle))
        .route("/v1/models", get(models))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(gateway);
    let routes = match metrics {
        Some(handle) => routes.route("/metrics", get(move || async move { handle.render() })),
        None => routes,
    };
    // Bodies are read with the gateway's own limit and its own refusal.
    finish(routes.layer(DefaultBodyLimit::disable()))
}

/// The models in OpenAI's shape, with what they cost.
async fn models(State(gateway): State<Gateway>) -> impl IntoResponse {
    let Inner { catalogue, chain, asset, payee, .. } = &*gateway.0;
    let models: Vec<_> = catalogue
        .0
        .iter()
        .map(|(name, model)| {
            json!({
                "id": name,
                "object": "model",
                "owned_by": "salt402",
                "description": model.description,
                "default_tokens": model.default_tokens,
                "max_tokens": model.max_tokens,
                "pricing": {
                    "per_request": model.price.per_request,
                    "per_token": model.price.per_token,
                    "asset": asset,
                    "chain": chain,
                    "payee": payee,
                },
            })
        })
        .collect();
    axum::Json(json!({ "object": "list", "data": models }))
}

async fn ready(State(gateway): State<Gateway>) -> Result<&'static str, Fault> {
    gateway
        .0
        .desk
        .ready()
        .await
        .map(|()| "ready\n")
        .map_err(|reason| Problem::new(Code::NotReady, reason).retry_after(1000).into())
}
