//! `GET /openapi.json`: the gateway's API as an OpenAPI 3.1 document.

use salt402_http::openapi::{PATH, WITH_BODY, refuse};
use salt402_paywall::openapi::{PAID, refuse_paid};
use salt402_protocol::Code;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

use crate::{inference, models, readiness};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "salt402 gateway",
        description = "Inference that is paid per request. Every refusal is a problem document (RFC 9457) with a stable `code`; a 402 says how to pay."
    ),
    paths(inference::handle, models::models, readiness::ready, plain::healthz, plain::metrics, plain::openapi),
    components(schemas(
        salt402_protocol::Problem,
        salt402_protocol::details::PaymentDetails,
        salt402_protocol::api::PaymentView,
        salt402_paywall::PaymentProblem<'_>
    ))
)]
struct Gateway;

/// The gateway's document.
pub(crate) fn document() -> Document {
    let mut document = Gateway::openapi();
    let own = [
        Code::InvalidRequest,
        Code::UnknownModel,
        Code::UnknownChain,
        Code::OutcomeGone,
        Code::UpstreamFailed,
        Code::NotServed,
        Code::ModelUnavailable,
        Code::NotReady,
    ];
    let codes = [PAID, WITH_BODY, &own].concat();
    refuse_paid(&mut document, "/v1/inference", "post", &codes);
    refuse(&mut document, "/readyz", "get", &[Code::NotReady]);
    refuse(&mut document, "/metrics", "get", &[Code::Unauthorized, Code::MalformedHeader]);
    for path in ["/v1/models", "/healthz", PATH] {
        refuse(&mut document, path, "get", &[]);
    }
    document
}

/// Routes that are closures, described.
#[allow(dead_code, reason = "the attribute describes what the routes are")]
mod plain {
    /// Whether the process answers
    #[utoipa::path(get, path = "/healthz", tag = "health", responses(
        (status = 200, description = "It does.", body = String, content_type = "text/plain")))]
    pub(super) fn healthz() {}

    /// What Prometheus asks, with the verifier's token, of a gateway that runs alone
    #[utoipa::path(get, path = "/metrics", tag = "health", responses(
        (status = 200, description = "Prometheus' text format.", body = String, content_type = "text/plain")))]
    pub(super) fn metrics() {}

    /// This document
    #[utoipa::path(get, path = "/openapi.json", tag = "health", responses(
        (status = 200, description = "OpenAPI 3.1.", body = serde_json::Value, content_type = "application/json")))]
    pub(super) fn openapi() {}
}
