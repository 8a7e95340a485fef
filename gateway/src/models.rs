//! `GET /v1/models`: the models that are sold, and their prices.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::IntoResponse;
use salt402_paywall::Paywall;
use salt402_protocol::{Address, Amount, Asset, ChainId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::catalogue::Model;
use crate::gateway::{Gateway, Inner};
use crate::model_route::{Route, RoutePrice};
use crate::pricing::Adjustment;

/// The models in OpenAI's form, with their prices.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// `list`
    object: &'static str,
    /// The models.
    data: Vec<ModelView>,
    /// The routes: names to send as `model`, for an answer of the best of several models.
    routes: Vec<RouteView>,
}

/// A name under which the best of several models answers.
#[derive(Serialize, ToSchema)]
struct RouteView {
    /// The name to send in a request.
    id: String,
    /// `route`
    object: &'static str,
    /// A description in words.
    description: String,
    /// The models that may answer.
    candidates: Vec<String>,
    /// What it costs, whoever answers. Left out: the most that a candidate costs which takes the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<RoutePricing>,
}

/// What a route costs, as [`Pricing`] says of a model. Tokens are counted as the candidate counts them that counts the most.
#[derive(Serialize, ToSchema)]
struct RoutePricing {
    /// For any request, in base units, or in 10⁻¹⁸ dollars: see `currency`.
    per_request: Amount,
    /// For each token that the request may generate.
    per_token: Amount,
    /// For each token that the prompt may have.
    per_prompt_token: Amount,
    /// For each image in a prompt. Left out: images are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_image: Option<Amount>,
    /// The least that a request costs.
    minimum: Amount,
    /// `USD` if the prices are in 10⁻¹⁸ dollars. Left out: they are in base units.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'static str>,
}

/// A model.
#[derive(Serialize, ToSchema)]
struct ModelView {
    /// The name to send in a request.
    id: String,
    /// `model`
    object: &'static str,
    /// Seconds since 1970 UTC, which OpenAI's clients expect: always 0.
    created: u64,
    /// `salt402`
    owned_by: &'static str,
    /// A description in words.
    description: String,
    /// How many tokens are generated if a request does not say.
    default_tokens: u32,
    /// The most tokens that a request may ask for.
    max_tokens: u32,
    /// The longest prompt, in bytes.
    max_prompt_bytes: usize,
    /// The paths of the APIs that it is served by.
    apis: Vec<&'static str>,
    /// The path of its own endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    /// What it costs.
    pricing: Pricing,
}

/// What a model costs: `per_request`, for each token that a request may generate `per_token`, and for each that its prompt may
/// have `per_prompt_token`.
#[derive(Serialize, ToSchema)]
struct Pricing {
    /// For any request, in base units, or in 10⁻¹⁸ dollars: see `currency`.
    per_request: Amount,
    /// For each token that the request may generate, in base units.
    per_token: Amount,
    /// For each byte of the prompt, which is a token at most, and for each of `template_tokens`, in base units.
    per_prompt_token: Amount,
    /// How many tokens are counted besides the prompt's bytes.
    template_tokens: u32,
    /// How many tokens are counted for each message, and for each call of a tool.
    message_tokens: u32,
    /// How many tokens are counted where there are tools, or a form that the answer must have.
    tools_tokens: u32,
    /// For each image in a prompt. Left out: images are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_image: Option<Amount>,
    /// For each image that is made, by its size.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    image_sizes: BTreeMap<String, Amount>,
    /// The least that a request costs.
    minimum: Amount,
    /// `USD` if the prices are in 10⁻¹⁸ dollars. Left out: they are in base units.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'static str>,
    /// Conditions that change the sum, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    adjustments: Vec<AdjustmentView>,
    /// What is paid.
    asset: Asset,
    /// Where it is paid.
    chain: ChainId,
    /// Who is paid.
    #[serde(with = "salt402_protocol::asset::checked_address")]
    #[schema(value_type = salt402_protocol::openapi::Address)]
    payee: Address,
}

/// A condition that changes a price.
#[derive(Serialize, ToSchema)]
struct AdjustmentView {
    /// The condition, in CEL.
    when: String,
    /// The decimal factor.
    multiplier: String,
}

/// Which models there are, and what they cost
#[utoipa::path(get, path = "/v1/models", tag = "inference",
    responses((status = 200, description = "The models.", body = ModelList)))]
pub(crate) async fn models(State(gateway): State<Gateway>) -> impl IntoResponse {
    let Inner { catalogue, routes, paywall: Paywall { chain, asset, payee, .. }, .. } = &*gateway.0;
    let view = |(name, model): (&String, &Model)| ModelView {
        id: name.clone(),
        object: "model",
        created: 0,
        owned_by: "salt402",
        description: model.description.clone(),
        default_tokens: model.default_tokens,
        max_tokens: model.max_tokens,
        max_prompt_bytes: model.max_prompt_bytes,
        apis: model.apis.iter().map(|api| api.path()).collect(),
        endpoint: model.endpoint.clone(),
        pricing: Pricing {
            per_request: model.price.per_request,
            per_token: model.price.per_token,
            per_prompt_token: model.price.per_prompt_token,
            template_tokens: model.template_tokens,
            message_tokens: model.message_tokens,
            tools_tokens: model.tools_tokens,
            per_image: model.price.per_image,
            image_sizes: model.price.image_sizes.clone(),
            minimum: model.price.minimum,
            currency: model.rate.as_ref().map(|_| "USD"),
            adjustments: model.adjustments.iter().map(adjustment).collect(),
            asset: *asset,
            chain: *chain,
            payee: *payee,
        },
    };
    let data = catalogue.0.iter().map(view).collect();
    let routes = routes.0.iter().map(|(name, route)| route_view(name, route)).collect();
    axum::Json(ModelList { object: "list", data, routes })
}

fn route_view(name: &str, route: &Route) -> RouteView {
    let pricing = |RoutePrice { price, rate }: &RoutePrice| RoutePricing {
        per_request: price.per_request,
        per_token: price.per_token,
        per_prompt_token: price.per_prompt_token,
        per_image: price.per_image,
        minimum: price.minimum,
        currency: rate.as_ref().map(|_| "USD"),
    };
    RouteView {
        id: name.to_owned(),
        object: "route",
        description: route.description.clone(),
        candidates: route.candidates.clone(),
        pricing: route.price.as_ref().map(pricing),
    }
}

fn adjustment(adjustment: &Adjustment) -> AdjustmentView {
    AdjustmentView { when: adjustment.when.clone(), multiplier: adjustment.multiplier.to_string() }
}
