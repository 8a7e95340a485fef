//! `GET /openapi.json`: the API as an OpenAPI 3.1 document, made from the types that are read and written.
//!
//! Paths, parameters and bodies come from the handlers; which refusals a route knows is said here, by their codes.

mod webhooks;

use salt402_http::openapi::{PATH, WITH_BODY, refuse};
use salt402_paywall::forward_auth;
use salt402_paywall::openapi::{PAID, refuse_paid};
use salt402_protocol::Code;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, OpenApi as Document};
use utoipa::{Modify, OpenApi};

use crate::http::handlers;

/// What is said of a proof with a status of its own, and with no verdict.
const UNDECIDED: &[Code] = &[
    Code::OrdinalRequired,
    Code::AmbiguousPayment,
    Code::QuoteBelowPrice,
    Code::BeforeDatabase,
    Code::IdentityInUse,
    Code::QuoteNotHonoured,
    Code::NodesDisagree,
    Code::StorageUnavailable,
];

const GUARDED: &[Code] = &[Code::Unauthorized, Code::MalformedHeader];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "salt402 verifier",
        description = "Was this request paid for, and may it be served now? Every refusal is a problem document (RFC 9457) with a stable `code`."
    ),
    paths(
        handlers::quotes,
        handlers::verify,
        handlers::leases,
        handlers::payments,
        handlers::channel,
        handlers::incidents,
        handlers::ambiguities,
        handlers::status,
        handlers::ready,
        health_paths::healthz,
        health_paths::metrics,
        health_paths::openapi,
        forward_auth_paths::forward_auth,
        forward_auth_paths::forward_auth_behind,
        forward_auth_paths::forward_auth_root,
        forward_auth_paths::auth_request
    ),
    components(schemas(
        salt402_protocol::Problem,
        salt402_protocol::details::PaymentDetails,
        salt402_paywall::PaymentProblem<'_>
    )),
    modifiers(&Schemes)
)]
struct Verifier;

/// The verifier's document.
pub(crate) fn document() -> Document {
    let mut document = Verifier::openapi();
    let bodied = [
        GUARDED,
        WITH_BODY,
        &[Code::UnknownChain, Code::InvalidRequest, Code::AssetNotAccepted, Code::PayeeNotAccepted],
    ]
    .concat();
    refuse(&mut document, "/v1/quotes", "post", &bodied);
    let verified = [&bodied[..], UNDECIDED].concat();
    refuse(&mut document, "/v1/verify", "post", &verified);
    let held =
        [GUARDED, WITH_BODY, &[Code::InvalidRequest, Code::IdentityInUse, Code::StorageUnavailable]].concat();
    refuse(&mut document, "/v1/leases", "post", &held);
    let asked = [GUARDED, &[Code::MalformedProof, Code::MalformedParameter, Code::UnknownChain]].concat();
    let payments = "/v1/payments/{transaction}";
    refuse(&mut document, payments, "get", &asked);
    let asked = [GUARDED, &[Code::MalformedParameter, Code::UnknownChain, Code::NotFound]].concat();
    let channels = "/v1/channels/{channel}";
    refuse(&mut document, channels, "get", &asked);
    let asked = [GUARDED, &[Code::MalformedParameter]].concat();
    refuse(&mut document, "/v1/incidents", "get", &asked);
    let asked = [GUARDED, &[Code::MalformedParameter, Code::UnknownChain]].concat();
    refuse(&mut document, "/v1/ambiguities", "get", &asked);
    refuse(&mut document, "/v1/status", "get", GUARDED);
    refuse(&mut document, "/readyz", "get", &[Code::NotReady]);
    refuse(&mut document, "/metrics", "get", GUARDED);
    for path in ["/healthz", PATH] {
        refuse(&mut document, path, "get", &[]);
    }
    let paid = [GUARDED, PAID, &[Code::MalformedParameter, Code::NoPrice, Code::NotFound]].concat();
    refuse_paid(&mut document, forward_auth::PATH, "get", &paid);
    refuse_paid(&mut document, &format!("{}/", forward_auth::PATH), "get", &paid);
    refuse_paid(&mut document, &format!("{}/{{target}}", forward_auth::PATH), "get", &paid);
    refuse(&mut document, forward_auth::AUTH_REQUEST_PATH, "get", &[Code::Unauthorized]);
    webhooks::describe(&mut document);
    document
}

/// The two ways to send the token.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_with(Components::new);
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Salt402-Token")));
        components.add_security_scheme("bearer", bearer);
        components.add_security_scheme("token", header);
    }
}

/// Routes that are closures, described.
#[allow(dead_code, reason = "the attribute describes what the routes are")]
mod health_paths {
    /// Whether the process answers
    #[utoipa::path(get, path = "/healthz", tag = "health", responses(
        (status = 200, description = "It does.", body = String, content_type = "text/plain")))]
    pub(super) fn healthz() {}

    /// What Prometheus asks
    #[utoipa::path(get, path = "/metrics", tag = "health", responses(
        (status = 200, description = "Prometheus' text format.", body = String, content_type = "text/plain")),
        security((), ("bearer" = []), ("token" = [])))]
    pub(super) fn metrics() {}

    /// This document
    #[utoipa::path(get, path = "/openapi.json", tag = "health", responses(
        (status = 200, description = "OpenAPI 3.1.", body = serde_json::Value, content_type = "application/json")))]
    pub(super) fn openapi() {}
}

/// Forward-auth takes any method; proxies ask with GET.
#[allow(dead_code, reason = "the attribute describes what the routes are")]
mod forward_auth_paths {
    /// May this request pass?
    ///
    /// Asked by a proxy before each request, with the request named in `X-Forwarded-Method` and `X-Forwarded-Uri`, or in
    /// `X-Original-Method` and `X-Original-URI`. Any method is taken.
    #[utoipa::path(get, path = "/v1/forward-auth", tag = "proxies",
        params(
            ("X-Forwarded-Method" = Option<String>, Header, description = "The request's method (Caddy, Traefik)."),
            ("X-Forwarded-Uri" = Option<String>, Header, description = "The request's target (Caddy, Traefik)."),
            ("X-Original-Method" = Option<String>, Header, description = "The request's method (nginx, HAProxy)."),
            ("X-Original-URI" = Option<String>, Header, description = "The request's target (nginx, HAProxy)."),
            ("X-Payment-Proof" = Option<salt402_protocol::Proof>, Header, description = "The proof."),
            ("X-Payment-Quote" = Option<salt402_protocol::QuoteId>, Header, description = "The id of the quote that was paid."),
            ("X-Payment-Binding" = Option<String>, Header, description = "`quote`: ask for a quote that nobody else is given.")),
        responses((status = 200, description = "It may: it was paid for, or costs nothing.",
            headers(
                ("X-Payment-Payer" = String, description = "Who paid, where it was paid for."),
                ("X-Payment-Id" = String, description = "The payment's name."),
                ("X-Payment-Amount" = String, description = "How much, in base units."),
                ("Cache-Control" = String, description = "`no-store, private`"),
                ("Vary" = String, description = "The payment headers.")))),
        security((), ("bearer" = []), ("token" = [])))]
    pub(super) fn forward_auth() {}

    /// May this request pass? As Envoy asks: the request's target stands behind the path
    #[utoipa::path(get, path = "/v1/forward-auth/{target}", tag = "proxies",
        params(
            ("target" = String, Path, description = "The request's target, slashes as they are."),
            ("X-Payment-Proof" = Option<salt402_protocol::Proof>, Header, description = "The proof."),
            ("X-Payment-Quote" = Option<salt402_protocol::QuoteId>, Header, description = "The id of the quote that was paid."),
            ("X-Payment-Binding" = Option<String>, Header, description = "`quote`: ask for a quote that nobody else is given.")),
        responses((status = 200, description = "It may.")),
        security((), ("bearer" = []), ("token" = [])))]
    pub(super) fn forward_auth_behind() {}

    /// May the request of `/` pass? As Envoy asks
    #[utoipa::path(get, path = "/v1/forward-auth/", tag = "proxies",
        params(
            ("X-Payment-Proof" = Option<salt402_protocol::Proof>, Header, description = "The proof."),
            ("X-Payment-Quote" = Option<salt402_protocol::QuoteId>, Header, description = "The id of the quote that was paid."),
            ("X-Payment-Binding" = Option<String>, Header, description = "`quote`: ask for a quote that nobody else is given.")),
        responses((status = 200, description = "It may.")),
        security((), ("bearer" = []), ("token" = [])))]
    pub(super) fn forward_auth_root() {}

    /// May this request pass? As nginx asks
    ///
    /// The same as `/v1/forward-auth` for nginx, which hands on 401 and 403 alone: every refusal is a 401, whatever its
    /// code, and has the status that it would have in `X-Payment-Status`.
    #[utoipa::path(get, path = "/v1/auth-request", tag = "proxies",
        params(
            ("X-Original-Method" = String, Header, description = "The request's method."),
            ("X-Original-URI" = String, Header, description = "The request's target."),
            ("X-Payment-Proof" = Option<salt402_protocol::Proof>, Header, description = "The proof."),
            ("X-Payment-Quote" = Option<salt402_protocol::QuoteId>, Header, description = "The id of the quote that was paid."),
            ("X-Payment-Binding" = Option<String>, Header, description = "`quote`: ask for a quote that nobody else is given.")),
        responses((status = 200, description = "It may.")),
        security((), ("bearer" = []), ("token" = [])))]
    pub(super) fn auth_request() {}
}
