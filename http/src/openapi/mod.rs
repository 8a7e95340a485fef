//! What OpenAPI documents have in common: how one is served, and how the refusals of a route are described.

mod refusals;

use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use utoipa::openapi::OpenApi as Document;

pub use self::refusals::{ANYWHERE, WITH_BODY, operation, refuse, text_header};

/// Where a document is.
pub const PATH: &str = "/openapi.json";

/// Serves a document. It is written once and for all.
pub fn serve_document(
    document: &Document,
) -> impl Fn() -> std::future::Ready<axum::response::Response> + Clone + use<> {
    let text = Bytes::from(describe(document));
    move || {
        let kind = HeaderValue::from_static("application/json");
        std::future::ready(([(header::CONTENT_TYPE, kind)], text.clone()).into_response())
    }
}

fn describe(document: &Document) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_else(|error| {
        tracing::error!(%error, "the OpenAPI document could not be written");
        Vec::new()
    })
}
