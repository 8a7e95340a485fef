//! Which pages in browsers may ask, by CORS (the Fetch standard).
//!
//! Nothing here is granted by what a browser adds by itself: no cookie, no certificate. A request pays by the headers that its
//! page writes. So what an origin is let in for is to be read, and a preflight is answered to anybody for nothing.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use salt402_http::CODE_HEADER;
use salt402_protocol::details::DETAILS_HEADER;
use salt402_protocol::peers::payment_headers;
use salt402_protocol::peers::requirements_header::REQUIREMENTS_HEADER;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use url::Url;

/// What a page may read beside what it always may: how to pay, what was paid, and when to come back, in every dialect of a
/// 402 that there is.
const EXPOSED: &[&str] = &[
    DETAILS_HEADER,
    payment_headers::REQUIRED_HEADER,
    payment_headers::AMOUNT_HEADER,
    payment_headers::ASSET_HEADER,
    payment_headers::NETWORK_HEADER,
    payment_headers::RECIPIENT_HEADER,
    payment_headers::DOMAIN_HEADER,
    REQUIREMENTS_HEADER,
    CODE_HEADER,
    "x-payment-receipt",
    "x-salt402-model",
    "payment-required",
    "payment-response",
    "x-payment-response",
    "payment-receipt",
    "x-payment-charge",
    "x-payment-status",
    "x-should-retry",
    "www-authenticate",
    "retry-after",
    "server-timing",
];
/// How long a browser may remember a preflight's answer.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Why something is no origin.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected \"*\" alone, or origins as browsers write them, such as \"https://app.example\", found {0:?}"
)]
pub struct OriginError(String);

/// A layer that lets pages of these origins ask and read, or of all with `*`; `None` where there is none.
///
/// Any request header is let through, `Authorization` too, which a wildcard would not: clients of other people send many of
/// their own.
pub fn browsers(origins: &[String]) -> Result<Option<CorsLayer>, OriginError> {
    let allowed = match origins {
        [] => return Ok(None),
        [any] if any == "*" => AllowOrigin::any(),
        origins => AllowOrigin::list(origins.iter().map(|text| origin(text)).collect::<Result<Vec<_>, _>>()?),
    };
    let exposed: Vec<_> = EXPOSED.iter().map(|name| HeaderName::from_static(name)).collect();
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed)
        .max_age(REMEMBERED)
        .vary([
            header::ORIGIN,
            header::ACCESS_CONTROL_REQUEST_METHOD,
            header::ACCESS_CONTROL_REQUEST_HEADERS,
        ]);
    Ok(Some(layer))
}

fn origin(text: &str) -> Result<HeaderValue, OriginError> {
    let wrong = || OriginError(text.to_owned());
    let url = Url::parse(text).map_err(|_| wrong())?;
    let is_origin = matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text;
    if !is_origin {
        return Err(wrong());
    }
    HeaderValue::from_str(text).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, Response, StatusCode};
    use axum::routing::post;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(origins: &[&str], method: &str, from: &str) -> Response<Body> {
        let origins: Vec<_> = origins.iter().map(|text| (*text).to_owned()).collect();
        let paid = Router::new().route("/paid", post(async || StatusCode::PAYMENT_REQUIRED));
        let request = Request::builder().method(method).uri("/paid").header("origin", from);
        let request = request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,x-payment-proof,x-stainless-os");
        let layered = paid.layer(browsers(&origins).unwrap().unwrap());
        layered.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn pages_of_the_origins_that_are_let_in_may_ask_and_read() {
        let told = |answer: &Response<Body>, name: &str| {
            answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        let app = "https://app.example";
        for origins in [&["*"][..], &[app, "http://127.0.0.1:3000"]] {
            let asked = ask(origins, "OPTIONS", app).await;
            assert_eq!(asked.status(), StatusCode::OK);
            let origin = if origins[0] == "*" { "*" } else { app };
            assert_eq!(told(&asked, "access-control-allow-origin").as_deref(), Some(origin));
            let headers = told(&asked, "access-control-allow-headers").unwrap();
            assert_eq!(headers, "authorization,x-payment-proof,x-stainless-os");
            let answer = ask(origins, "POST", app).await;
            assert_eq!(answer.status(), StatusCode::PAYMENT_REQUIRED);
            assert_eq!(told(&answer, "access-control-allow-origin").as_deref(), Some(origin));
            let exposed = told(&answer, "access-control-expose-headers").unwrap();
            for name in EXPOSED {
                assert!(exposed.split(',').any(|known| known == *name), "{name} in {exposed}");
            }
            assert_eq!(told(&answer, "access-control-allow-credentials"), None);
        }
        let stranger = ask(&[app], "POST", "https://other.example").await;
        assert_eq!(told(&stranger, "access-control-allow-origin"), None);
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        let reads =
            |texts: &[&str]| browsers(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert!(reads(&[]).unwrap().is_none());
        assert!(reads(&["https://app.example", "http://localhost:3000"]).is_ok());
        for bad in [
            "https://app.example/",
            "app.example",
            "null",
            "https://app.example:443",
            "HTTPS://app.example",
            "ftp://x",
            "",
        ] {
            assert!(reads(&[bad]).is_err(), "{bad}");
        }
        assert!(reads(&["*", "https://app.example"]).is_err());
    }
}
