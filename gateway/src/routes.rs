//! Which path does what.

use axum::extract::DefaultBodyLimit;
use axum::{Router, middleware};
use salt402_http::openapi::{WITH_BODY, documented, refusing};
use salt402_http::{
    PrometheusHandle, Token, check_token, finish, finish_over, health_route, limit_addresses, metrics_route,
};
use salt402_paywall::openapi::{PAID, refuse_paid};
use salt402_protocol::Code;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::apis::{apis, endpoints};
use crate::batch::handler as batch;
use crate::gateway::Gateway;
use crate::openapi::{Document, inference_codes};
use crate::routing::asked;
use crate::{balance, discovery, models, proxy, readiness, stream_vouchers};

/// The gateway's API for strangers, which tells nothing about nodes. `metrics` serves `/metrics` to those who have the
/// token.
pub fn router(gateway: Gateway, metrics: Option<(PrometheusHandle, Token)>) -> Router {
    let browsers = gateway.0.browsers.clone();
    let mut paid = OpenApiRouter::with_openapi(Document::openapi());
    let own = [
        routes!(asked::infer),
        routes!(asked::infer_streamed),
        routes!(asked::infer_routed),
        routes!(batch::handle),
    ];
    for mut route in own.into_iter().chain(apis()) {
        refuse_paid(&mut route.1, &inference_codes());
        paid = paid.routes(route);
    }
    paid = paid.routes(refusing(routes!(stream_vouchers::raise), &stream_vouchers::refusals()));
    if gateway.0.keys.is_some() {
        let mut buy = routes!(balance::buy);
        let own = [Code::InvalidRequest, Code::AccountClosed, Code::NotReady];
        refuse_paid(&mut buy.1, &[PAID, WITH_BODY, &own].concat());
        paid = paid.routes(buy);
        for looked in [routes!(balance::balance), routes!(balance::history)] {
            paid = paid
                .routes(refusing(looked, &[Code::KeyRefused, Code::AddressLimited, Code::MalformedHeader]));
        }
    }
    let endpoints = endpoints(&gateway.0.catalogue, &paid.get_openapi().paths);
    let mut paid = paid.merge(endpoints);
    discovery::describe_prices(&gateway.0, &mut paid.get_openapi_mut().paths);
    discovery::describe_service(&gateway.0, paid.get_openapi_mut());
    let paid = match gateway.0.addresses.clone() {
        Some(limits) => paid.route_layer(middleware::from_fn_with_state(limits, limit_addresses)),
        None => paid,
    };
    let routes = paid
        .routes(refusing(routes!(models::models), &[]))
        .merge(discovery::documents(&gateway))
        .merge(discovery::agents(&gateway))
        .routes(refusing(routes!(readiness::ready), &[Code::NotReady]))
        .with_state(gateway.clone())
        .merge(health_route());
    let routes = match metrics {
        Some((handle, token)) => {
            let guarded = middleware::from_fn_with_state(Some(token), check_token);
            routes.merge(metrics_route(handle).route_layer(guarded))
        }
        None => routes,
    };
    // Bodies are read with the gateway's own limit and refusal.
    let routes = documented(routes).merge(discovery::front(&gateway).with_state(gateway.clone()));
    let routes = routes.layer(DefaultBodyLimit::disable());
    // What is at no path of the gateway's own.
    let routes = match proxy::handler::services(&gateway) {
        Some(services) => {
            finish_over(routes, Router::new().fallback_service(services.with_state(gateway.clone())))
        }
        None => finish(routes),
    };
    // Outermost: a page's preflight request is free, and pages may read every answer.
    match browsers {
        Some(browsers) => routes.layer(browsers),
        None => routes,
    }
}
