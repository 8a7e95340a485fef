//! `GET /openapi.json`: what the API's document has besides the routes of the handlers.

mod webhooks;

use salt402_http::openapi::{GUARDED, Schemes, refuse};
use salt402_paywall::openapi::{PAID, PaymentHeaders, refuse_paid};
use salt402_protocol::Code;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "salt402 verifier",
        description = "Was this request paid for, and may it be served now? Every refusal is a problem document (RFC 9457) with a stable `code`."
    ),
    components(schemas(
        salt402_protocol::Problem,
        salt402_protocol::details::PaymentDetails,
        salt402_paywall::PaymentProblem<'_>
    )),
    modifiers(&Schemes)
)]
struct Verifier;

/// The verifier's document, still without routes.
pub(crate) fn document() -> Document {
    let mut document = Verifier::openapi();
    webhooks::describe(&mut document);
    document
}

#[derive(OpenApi)]
#[openapi(paths(forward_auth, forward_auth_behind, forward_auth_root))]
struct ForwardAuth;

#[derive(OpenApi)]
#[openapi(paths(auth_request))]
struct AuthRequest;

/// The document of the routes for proxies. These routes take any method and any target, which no document can say. So
/// they are described apart from their handlers, in the way proxies use them.
pub(crate) fn proxied_document() -> Document {
    let mut document = ForwardAuth::openapi();
    let own = [Code::MalformedParameter, Code::NoPrice, Code::NotFound];
    refuse_paid(&mut document.paths, &[GUARDED, PAID, &own].concat());
    let mut of_nginx = AuthRequest::openapi();
    refuse(&mut of_nginx.paths, &[Code::Unauthorized]);
    document.merge_from(of_nginx)
}

/// May this request pass?
///
/// Asked by a proxy before each request, with the request named in `X-Forwarded-Method` and `X-Forwarded-Uri`, or in
/// `X-Original-Method` and `X-Original-URI`. Any method is taken.
#[allow(dead_code, reason = "the attribute describes what the route is")]
#[utoipa::path(get, path = "/v1/forward-auth", tag = "proxies",
    params(
        ("X-Forwarded-Method" = Option<String>, Header, description = "The request's method (Caddy, Traefik)."),
        ("X-Forwarded-Uri" = Option<String>, Header, description = "The request's target (Caddy, Traefik)."),
        ("X-Original-Method" = Option<String>, Header, description = "The request's method (nginx, HAProxy)."),
        ("X-Original-URI" = Option<String>, Header, description = "The request's target (nginx, HAProxy)."),
        PaymentHeaders),
    responses((status = 200, description = "It may: it was paid for, or costs nothing.",
        headers(
            ("X-Payment-Payer" = String, description = "Who paid, where it was paid for."),
            ("X-Payment-Id" = String, description = "The payment's name."),
            ("X-Payment-Amount" = String, description = "How much, in base units."),
            ("Cache-Control" = String, description = "`no-store, private`"),
            ("Vary" = String, description = "The payment headers.")))),
    security((), ("bearer" = []), ("token" = [])))]
fn forward_auth() {}

/// May this request pass? As Envoy asks: the request's target stands behind the path
#[allow(dead_code, reason = "the attribute describes what the route is")]
#[utoipa::path(get, path = "/v1/forward-auth/{target}", tag = "proxies",
    params(("target" = String, Path, description = "The request's target, slashes as they are."), PaymentHeaders),
    responses((status = 200, description = "It may.")),
    security((), ("bearer" = []), ("token" = [])))]
fn forward_auth_behind() {}

/// May the request of `/` pass? As Envoy asks
#[allow(dead_code, reason = "the attribute describes what the route is")]
#[utoipa::path(get, path = "/v1/forward-auth/", tag = "proxies", params(PaymentHeaders),
    responses((status = 200, description = "It may.")),
    security((), ("bearer" = []), ("token" = [])))]
fn forward_auth_root() {}

/// May this request pass? As nginx asks
///
/// The same as `/v1/forward-auth` for nginx, which hands on 401 and 403 alone: every refusal is a 401, whatever its
/// code, and has the status that it would have in `X-Payment-Status`.
#[allow(dead_code, reason = "the attribute describes what the route is")]
#[utoipa::path(get, path = "/v1/auth-request", tag = "proxies",
    params(
        ("X-Original-Method" = String, Header, description = "The request's method."),
        ("X-Original-URI" = String, Header, description = "The request's target."),
        PaymentHeaders),
    responses((status = 200, description = "It may.")),
    security((), ("bearer" = []), ("token" = [])))]
fn auth_request() {}
