//! The gateway: what it is made of, and which path does what.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use salt402_protocol::{Address, Amount, Asset, ChainId, Code, Problem};
use salt402_store::Store;
use salt402_verifier::http::openapi::{PATH, serve};
use salt402_verifier::http::{
    AddressLimits, CorsLayer, Door, Fault, PrometheusHandle, Token, check_token, finish, limit_addresses,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::bare::Bare;
use crate::circuit::Circuits;
use crate::tenancy::Tenancy;
use crate::{Catalogue, Executions, Model, inference, openapi};

/// What a gateway is made of.
pub struct GatewayOptions {
    /// How requests are paid for.
    pub door: Door,
    /// Where outcomes are kept.
    pub store: Store,
    /// What is served.
    pub catalogue: Catalogue,
    /// Largest request body, in bytes.
    pub body_limit: usize,
    /// The most runs of one payment's request.
    pub max_runs: u32,
    /// How often one address may ask; `None` for any number of times.
    pub addresses: Option<AddressLimits>,
    /// Which pages in browsers may ask; `None` for none.
    pub browsers: Option<CorsLayer>,
    /// How often a kept answer is given again to whoever shows the payment without its quote id, within a minute.
    pub bare_again: u32,
}

/// The paid front of an inference server. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Gateway(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) door: Door,
    pub(crate) executions: Executions,
    pub(crate) circuits: Circuits,
    /// Where outcomes are kept.
    pub(crate) store: Store,
    pub(crate) catalogue: Catalogue,
    pub(crate) body_limit: usize,
    pub(crate) bare: Bare,
    pub(crate) tenancy: Tenancy,
    addresses: Option<AddressLimits>,
    browsers: Option<CorsLayer>,
}

impl Gateway {
    /// A gateway over a verifier and a store. The door's claimant must be a name that nobody else claims under and that
    /// stays the same with the store.
    pub fn new(options: GatewayOptions) -> Self {
        Self(Arc::new(Inner {
            tenancy: Tenancy::of(&options.door),
            door: options.door,
            executions: Executions::new(options.store.clone(), options.max_runs),
            circuits: Circuits::new(&options.catalogue),
            store: options.store,
            catalogue: options.catalogue,
            body_limit: options.body_limit,
            bare: Bare::new(options.bare_again),
            addresses: options.addresses,
            browsers: options.browsers,
        }))
    }

    /// Takes the door's name, and asks the models' servers for the first time. Nothing is sold before the name is held, nor
    /// of a model before its server has answered.
    pub fn begin(&self) {
        self.0.tenancy.begin(&self.0.door);
        self.0.circuits.begin();
    }

    /// Waits for runs under way, after the listener has stopped.
    pub async fn finish(&self) {
        self.0.circuits.finish().await;
        self.0.executions.finish().await;
        self.0.tenancy.finish().await;
    }
}

/// The gateway's API, which strangers may ask: it says nothing of nodes. `metrics` renders `/metrics` for whoever has the
/// token.
pub fn router(gateway: Gateway, metrics: Option<(PrometheusHandle, Token)>) -> Router {
    let browsers = gateway.0.browsers.clone();
    let paid = Router::new().route("/v1/inference", post(inference::handle));
    let paid = match gateway.0.addresses.clone() {
        Some(limits) => paid.route_layer(middleware::from_fn_with_state(limits, limit_addresses)),
        None => paid,
    };
    let routes = paid
        .route("/v1/models", get(models))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route(PATH, get(serve(&openapi::document())))
        .with_state(gateway);
    let routes = match metrics {
        Some((handle, token)) => {
            let guarded = Router::new().route("/metrics", get(move || async move { handle.render() }));
            routes.merge(guarded.route_layer(middleware::from_fn_with_state(Some(token), check_token)))
        }
        None => routes,
    };
    // Bodies are read with the gateway's own limit and its own refusal.
    let routes = finish(routes.layer(DefaultBodyLimit::disable()));
    // Outside of everything: what a page asks before its request is free, and every answer may be read by it.
    match browsers {
        Some(browsers) => routes.layer(browsers),
        None => routes,
    }
}

/// The models in OpenAI's shape, with what they cost.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// `list`
    object: &'static str,
    /// The models.
    data: Vec<ModelView>,
}

/// A model.
#[derive(Serialize, ToSchema)]
struct ModelView {
    /// What to name in a request.
    id: String,
    /// `model`
    object: &'static str,
    /// `salt402`
    owned_by: &'static str,
    /// What it is, in words.
    description: String,
    /// Tokens generated where a request does not say.
    default_tokens: u32,
    /// The most tokens that a request may ask for.
    max_tokens: u32,
    /// The longest prompt, in bytes.
    max_prompt_bytes: usize,
    /// What it costs.
    pricing: Pricing,
}

/// What a model costs: `per_request`, for each token that a request may generate `per_token`, and for each that its prompt may
/// have `per_prompt_token`.
#[derive(Serialize, ToSchema)]
struct Pricing {
    /// For any request, in base units.
    per_request: Amount,
    /// For each token that the request may generate, in base units.
    per_token: Amount,
    /// For each byte of the prompt, which is a token at most, and for each of `template_tokens`, in base units.
    per_prompt_token: Amount,
    /// Tokens that are counted beside the prompt's bytes.
    template_tokens: u32,
    /// What is paid.
    asset: Asset,
    /// Where it is paid.
    chain: ChainId,
    /// Who is paid.
    #[serde(with = "salt402_protocol::asset::checked_address")]
    #[schema(value_type = salt402_protocol::openapi::Address)]
    payee: Address,
}

/// Which models there are, and what they cost
#[utoipa::path(get, path = "/v1/models", tag = "inference",
    responses((status = 200, description = "The models.", body = ModelList)))]
pub(crate) async fn models(State(gateway): State<Gateway>) -> impl IntoResponse {
    let Inner { catalogue, door: Door { chain, asset, payee, .. }, .. } = &*gateway.0;
    let view = |(name, model): (&String, &Model)| ModelView {
        id: name.clone(),
        object: "model",
        owned_by: "salt402",
        description: model.description.clone(),
        default_tokens: model.default_tokens,
        max_tokens: model.max_tokens,
        max_prompt_bytes: model.max_prompt_bytes,
        pricing: Pricing {
            per_request: model.price.per_request,
            per_token: model.price.per_token,
            per_prompt_token: model.price.per_prompt_token,
            template_tokens: model.template_tokens,
            asset: *asset,
            chain: *chain,
            payee: *payee,
        },
    };
    axum::Json(ModelList { object: "list", data: catalogue.0.iter().map(view).collect() })
}

/// Whether paid requests can be served
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "They can.", body = String, content_type = "text/plain")))]
pub(crate) async fn ready(State(gateway): State<Gateway>) -> Result<&'static str, Fault> {
    let Inner { door, circuits, store, tenancy, .. } = &*gateway.0;
    let ready = async {
        store.writable().map_err(|error| error.to_string())?;
        tenancy.check().map_err(|problem| problem.detail)?;
        circuits.ready()?;
        door.desk.ready().await
    };
    // Why may name nodes: that is for the operator.
    let not_ready = |reason: String| {
        tracing::debug!(reason, "not ready");
        let detail = "nothing is sold now: the verifier, and the log, say why";
        Problem::new(Code::NotReady, detail).retry_after(1000).into()
    };
    ready.await.map(|()| "ready\n").map_err(not_ready)
}
