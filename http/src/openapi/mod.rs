//! What OpenAPI documents have in common. A document is made of the routes that it describes, with what each of them refuses.

mod refusals;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use utoipa::Modify;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, OpenApi as Document};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::refusals::{ANYWHERE, GUARDED, WITH_BODY, operations, refuse, refusing, text_header};

/// The two ways to send the token, for a document that names them.
#[derive(Clone, Copy, Debug)]
pub struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_with(Components::new);
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Salt402-Token")));
        components.add_security_scheme("bearer", bearer);
        components.add_security_scheme("token", header);
    }
}

/// A router with its document at `/openapi.json`, which is written once and for all.
pub fn documented(router: OpenApiRouter) -> Router {
    let text = Arc::new(OnceLock::new());
    let own = OpenApiRouter::default().routes(refusing(routes!(openapi), &[])).with_state(Arc::clone(&text));
    let (router, document) = router.merge(own).split_for_parts();
    text.get_or_init(|| write(&document));
    router
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "health", responses(
    (status = 200, description = "OpenAPI 3.1.", body = serde_json::Value, content_type = "application/json")))]
async fn openapi(State(text): State<Arc<OnceLock<Bytes>>>) -> impl IntoResponse {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], text.get().cloned().unwrap_or_default())
}

fn write(document: &Document) -> Bytes {
    let text = serde_json::to_vec(document).unwrap_or_else(|error| {
        tracing::error!(%error, "the OpenAPI document could not be written");
        Vec::new()
    });
    text.into()
}
