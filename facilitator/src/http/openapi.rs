//! What the API's document has besides the routes of the handlers.

use salt402_http::openapi::Schemes;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "salt402 facilitator",
        description = "Verifies payments that were signed for x402, and settles each once. Every refusal without a verdict is a problem document (RFC 9457) with a stable `code`."
    ),
    components(schemas(salt402_protocol::Problem)),
    modifiers(&Schemes)
)]
struct FacilitatorApi;

/// The facilitator's document, still without routes.
pub(crate) fn document() -> Document {
    FacilitatorApi::openapi()
}
