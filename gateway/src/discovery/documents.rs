//! The documents that tell programs what is sold.

use std::fmt::Write as _;

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::discovery::agent_card as card;
use crate::discovery::listing::of_model;
use crate::discovery::words::{base, line, line_to_copy, ways};
use crate::gateway::{Gateway, Inner};

/// How long a document may be kept: what is sold changes with a restart alone.
const FRESH: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));

fn kept(body: impl IntoResponse) -> Response {
    ([FRESH], body).into_response()
}

/// The same as `/v1/models`
#[utoipa::path(get, path = "/models", tag = "discovery",
    responses((status = 200, description = "The models.", body = crate::models::ModelList)))]
pub(super) async fn models(gateway: State<Gateway>) -> impl IntoResponse {
    crate::models::models(gateway).await
}

/// What is sold, for language models (llmstxt.org)
#[utoipa::path(get, path = "/llms.txt", tag = "discovery",
    responses((status = 200, description = "Markdown.", body = String, content_type = "text/plain")))]
pub(super) async fn llms(State(gateway): State<Gateway>, request: Parts) -> Response {
    kept(text_for_models(&gateway.0, &base(&gateway.0, &request)))
}

/// What crawlers may read
#[utoipa::path(get, path = "/robots.txt", tag = "discovery",
    responses((status = 200, description = "All that is free.", body = String, content_type = "text/plain")))]
pub(super) async fn robots() -> Response {
    kept("User-agent: *\nAllow: /\n")
}

/// The addresses of what is sold, as x402scan reads them
#[utoipa::path(get, path = "/.well-known/x402", tag = "discovery",
    responses((status = 200, description = "`version` and `resources`.", body = serde_json::Value)))]
pub(super) async fn x402(State(gateway): State<Gateway>, request: Parts) -> Response {
    let base = base(&gateway.0, &request);
    // What many paths begin with is no address.
    let listed = gateway.0.listed();
    let whole = listed.iter().filter(|listed| !listed.path.ends_with('*'));
    let mut resources: Vec<_> = whole.map(|listed| format!("{base}{}", listed.path)).collect();
    resources.dedup();
    kept(Json(json!({ "version": 1, "resources": resources })))
}

/// What is sold, as a card of A2A
#[utoipa::path(get, path = "/.well-known/agent-card.json", tag = "discovery",
    responses((status = 200, description = "An agent card.", body = serde_json::Value)))]
pub(super) async fn agent_card(State(gateway): State<Gateway>, request: Parts) -> Response {
    kept(Json(card::card(&gateway.0, &base(&gateway.0, &request))))
}

/// The same, where it stood before A2A 0.3
#[utoipa::path(get, path = "/.well-known/agent.json", tag = "discovery",
    responses((status = 200, description = "An agent card.", body = serde_json::Value)))]
pub(super) async fn agent(State(gateway): State<Gateway>, request: Parts) -> Response {
    kept(Json(card::card(&gateway.0, &base(&gateway.0, &request))))
}

fn text_for_models(gateway: &Inner, base: &str) -> String {
    let mut text = format!(
        "# {}\n\n> Paid per request in {} on {} ({}). No account, no key.\n\n## What is sold\n\n",
        base.split_once("://").map_or(base, |(_, host)| host),
        gateway.names.symbol,
        gateway.names.network,
        gateway.paywall.chain
    );
    for listed in gateway.listed() {
        let methods =
            if listed.methods.is_empty() { "any method".to_owned() } else { listed.methods.join(", ") };
        let _ =
            writeln!(text, "- {methods} `{base}{}`: {}. {}", listed.path, line(&listed.what), listed.price);
    }
    if !gateway.catalogue.0.is_empty() {
        text.push_str("\n## Models\n\n");
        for (name, model) in &gateway.catalogue.0 {
            let (price, _) = of_model(model, &gateway.names);
            let _ = writeln!(text, "- `{name}`: {}. {price}", line(&model.description));
        }
        for (name, route) in &gateway.routes.0 {
            let _ = writeln!(
                text,
                "- `{name}`: {}. The best of {}",
                line(&route.description),
                route.candidates.join(", ")
            );
        }
    }
    text.push_str("\n## How to pay\n\n");
    for way in ways(gateway) {
        let _ = writeln!(text, "- {way}");
    }
    if let Some(copy) = line_to_copy(gateway, base) {
        let _ = write!(text, "\n```sh\n{copy}\n```\n");
    }
    let _ = write!(
        text,
        "\n## More\n\n- [OpenAPI]({base}/openapi.json): every route, with what it costs\n- [Models]({base}/models): prices in base units\n"
    );
    text
}
