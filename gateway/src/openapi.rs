//! `GET /openapi.json`: what the gateway's document has besides its routes.

use salt402_http::openapi::{Schemes, WITH_BODY};
use salt402_paywall::openapi::PAID;
use salt402_protocol::Code;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "salt402 gateway",
        description = "Inference that is paid per request. Every refusal is a problem document (RFC 9457) with a stable `code`; a 402 says how to pay."
    ),
    components(schemas(
        salt402_protocol::Problem,
        salt402_protocol::details::PaymentDetails,
        salt402_protocol::api::PaymentView,
        salt402_paywall::PaymentProblem<'_>
    )),
    modifiers(&Schemes)
)]
pub(crate) struct Document;

/// The codes that refuse a request for inference.
pub(crate) fn inference_codes() -> Vec<Code> {
    let own = [
        Code::InvalidRequest,
        Code::UnknownModel,
        Code::UnknownChain,
        Code::OutcomeGone,
        Code::UpstreamFailed,
        Code::NotServed,
        Code::ModelUnavailable,
        Code::AtCapacity,
        Code::NotReady,
    ];
    [PAID, WITH_BODY, &own].concat()
}
