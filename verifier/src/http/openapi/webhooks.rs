//! The webhook in the document: what this service sends, not what it accepts.

use salt402_protocol::webhook::WebhookEvent;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

#[derive(OpenApi)]
#[openapi(paths(incident), components(schemas(WebhookEvent)))]
struct Webhooks;

/// An incident opened, came right, or was noted
#[allow(dead_code, reason = "the attribute describes what is sent")]
#[utoipa::path(post, path = "/incident", tag = "webhooks", request_body = WebhookEvent,
    params(
        ("webhook-id" = String, Header, description = "Which event it is: the same when it is told again, and never that of another."),
        ("webhook-timestamp" = u64, Header, description = "When it was sent, in seconds since 1970 UTC."),
        ("webhook-signature" = String, Header, description = "`v1,` and the HMAC-SHA256 of `<webhook-id>.<webhook-timestamp>.<body>` in base64, as the Standard Webhooks specification says.")),
    responses((status = "2XX", description = "It was told; with any other status it is told again.")))]
fn incident() {}

pub(super) fn describe(document: &mut Document) {
    let mut webhooks = Webhooks::openapi();
    let items = std::mem::take(&mut webhooks.paths.paths);
    let mut named = utoipa::openapi::path::Paths::new();
    named.paths =
        items.into_iter().map(|(path, item)| (path.trim_start_matches('/').to_owned(), item)).collect();
    document.webhooks = Some(named);
    if let (Some(ours), Some(theirs)) = (&mut document.components, webhooks.components) {
        ours.schemas.extend(theirs.schemas);
    }
}
