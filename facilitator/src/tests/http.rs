//! The API as its clients see it.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use salt402_http::{Rate, Token};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::Caller;
use crate::http::{ApiOptions, router};
use crate::policy::CallerRules;
use crate::settler::SettleFault;
use crate::testing::{FACILITATOR, Payer, request};
use crate::tests::{Stand, with};

async fn ask(router: &axum::Router, request: Request<Body>) -> (StatusCode, axum::http::HeaderMap, Value) {
    crate::testing::set_clock();
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

fn post(path: &str, body: impl ToString, token: Option<&str>) -> Request<Body> {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Body::from(body.to_string())).unwrap()
}

#[tokio::test]
async fn what_can_be_judged_is_a_200_and_what_cannot_be_read_is_a_400_without_a_question() {
    let stand = Stand::new();
    let api = router(stand.facilitator.clone(), ApiOptions::default());
    let good = request("exact", Payer::new(1).authorize(1));
    let (status, headers, body) = ask(&api, post("/verify", &good, None)).await;
    assert_eq!((status, &body["isValid"]), (StatusCode::OK, &Value::Bool(true)));
    assert_eq!(body["payer"], Payer::new(1).account().to_string());
    assert_eq!(headers[header::CACHE_CONTROL], "no-store, private");
    let bad = with(&good, "/paymentRequirements/amount", "5");
    let (status, _, body) = ask(&api, post("/verify", &bad, None)).await;
    assert_eq!((status, &body["isValid"]), (StatusCode::OK, &Value::Bool(false)));
    let (status, _, body) = ask(&api, post("/settle", &bad, None)).await;
    assert_eq!(
        (status, &body["success"], body["transaction"].as_str()),
        (StatusCode::OK, &Value::Bool(false), Some(""))
    );
    let before = stand.accounts.asked().questions;
    for unreadable in ["", "[]", "{}", "nonsense", &good.to_string().replace("\"1000\"", "1000")] {
        let (status, _, body) = ask(&api, post("/verify", unreadable, None)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(
            (body["isValid"].as_bool(), body["invalidReason"].as_str()),
            (Some(false), Some("invalid_payload"))
        );
        assert_eq!(body["code"], "malformed_json");
        let (status, _, body) = ask(&api, post("/settle", unreadable, None)).await;
        assert_eq!((status, body["success"].as_bool()), (StatusCode::BAD_REQUEST, Some(false)));
    }
    let large = format!("{}{}", good, " ".repeat(70_000));
    assert_eq!(ask(&api, post("/verify", large, None)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let untyped = Request::post("/verify").body(Body::from(good.to_string())).unwrap();
    assert_eq!(ask(&api, untyped).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(stand.accounts.asked().questions, before);
}

#[tokio::test]
async fn each_caller_has_its_token_its_rules_and_its_rate() {
    let stand = Stand::new();
    let caller =
        |name: &str, rules| (Token::new(&format!("secret of {name}")), Caller { name: name.into(), rules });
    let rate = Some(Rate { per_minute: 1, burst: 2 });
    let callers = vec![
        caller("shop", CallerRules::default()),
        caller("slow", CallerRules { rate, ..Default::default() }),
        caller("other", CallerRules { payees: Some(Vec::new()), ..Default::default() }),
    ];
    let api = router(stand.facilitator.clone(), ApiOptions { callers, ..Default::default() });
    let good = request("exact", Payer::new(1).authorize(1));
    for token in [None, Some("secret"), Some("shop")] {
        let (status, _, body) = ask(&api, post("/verify", &good, token)).await;
        assert_eq!((status, body["isValid"].as_bool()), (StatusCode::UNAUTHORIZED, Some(false)));
    }
    assert_eq!(stand.accounts.asked().questions, 0);
    for _ in 0..2 {
        assert_eq!(ask(&api, post("/verify", &good, Some("secret of slow"))).await.0, StatusCode::OK);
    }
    let (status, headers, _) = ask(&api, post("/verify", &good, Some("secret of slow"))).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(headers.contains_key(header::RETRY_AFTER));
    let (_, _, body) = ask(&api, post("/verify", &good, Some("secret of other"))).await;
    assert_eq!(body["isValid"], false);
    let (_, _, body) = ask(&api, post("/settle", &good, Some("secret of shop"))).await;
    assert_eq!(body["success"], true);
    assert_eq!(stand.settler.approved.lock().unwrap()[0].caller.as_deref(), Some("shop"));
    // What is offered is for all to see.
    let supported = Request::get("/supported").body(Body::empty()).unwrap();
    assert_eq!(ask(&api, supported).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let stand = Stand::new();
    let api = router(stand.facilitator.clone(), ApiOptions::default());
    *stand.settler.fault.lock().unwrap() =
        Some(SettleFault::Busy { retry_after_ms: 2500, what: "the queue is full".into() });
    let good = request("exact", Payer::new(1).authorize(1));
    let (status, headers, body) = ask(&api, post("/settle", &good, None)).await;
    assert_eq!(
        (status, headers[header::RETRY_AFTER].to_str().unwrap()),
        (StatusCode::SERVICE_UNAVAILABLE, "3")
    );
    assert_eq!((body["success"].as_bool(), body["code"].as_str()), (Some(false), Some("facilitator_busy")));
}

#[tokio::test]
async fn supported_says_what_official_clients_look_for() {
    let stand = Stand::new();
    let api = router(stand.facilitator.clone(), ApiOptions::default());
    let (_, _, body) = ask(&api, Request::get("/supported").body(Body::empty()).unwrap()).await;
    let has = |version: u64, scheme: &str, network: &str| {
        body["kinds"].as_array().unwrap().iter().find(|kind| {
            kind["x402Version"] == version && kind["scheme"] == scheme && kind["network"] == network
        })
    };
    assert!(has(2, "exact", "eip155:40204").is_some() && has(2, "exact", "eip155:84532").is_some());
    let upto = has(2, "upto", "eip155:40204").unwrap();
    assert_eq!(upto["extra"]["facilitatorAddress"], FACILITATOR.to_string());
    assert!(has(1, "exact", "base-sepolia").is_some());
    assert!(
        body["kinds"]
            .as_array()
            .unwrap()
            .iter()
            .all(|kind| kind["x402Version"] == 2 || kind["network"] == "base-sepolia")
    );
    assert_eq!(body["extensions"], serde_json::json!(["eip2612GasSponsoring"]));
    for pattern in ["eip155:*", "eip155:40204"] {
        assert_eq!(body["signers"][pattern], serde_json::json!([FACILITATOR.to_string()]));
    }
    for path in ["/", "/health", "/healthz", "/openapi.json"] {
        let (status, _, _) = ask(&api, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{path}");
    }
    let (status, _, _) = ask(&api, Request::get("/verify").body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let (_, _, document) = ask(&api, Request::get("/openapi.json").body(Body::empty()).unwrap()).await;
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(paths, ["/", "/health", "/healthz", "/openapi.json", "/settle", "/supported", "/verify"]);
    for status in ["400", "401", "408", "413", "415", "429", "503"] {
        assert!(document["paths"]["/verify"]["post"]["responses"].get(status).is_some(), "{status}");
    }
}

#[tokio::test]
async fn pages_ask_where_the_operator_lets_them() {
    use tower_http::cors::{AllowHeaders, AllowMethods, CorsLayer};
    let stand = Stand::new();
    let origin: axum::http::HeaderValue = "https://shop.example".parse().unwrap();
    let cors = CorsLayer::new()
        .allow_origin(origin.clone())
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request());
    let preflight = || {
        Request::options("/verify")
            .header(header::ORIGIN, "https://shop.example")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type")
            .body(Body::empty())
            .unwrap()
    };
    let api = router(stand.facilitator.clone(), ApiOptions { cors: Some(cors), ..Default::default() });
    let (status, headers, _) = ask(&api, preflight()).await;
    assert_eq!((status, headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN)), (StatusCode::OK, Some(&origin)));
    let closed = router(stand.facilitator.clone(), ApiOptions::default());
    let (_, headers, _) = ask(&closed, preflight()).await;
    assert_eq!(headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN), None);
}

/// Whoever asks too often from one address is told so before anything of a payment is looked at.
#[tokio::test]
async fn an_address_is_limited_before_its_payment_is_read() {
    use salt402_http::{AddressLimits, Limits, Listener, serve};
    let stand = Stand::new();
    let addresses = Some(AddressLimits::new(Rate { per_minute: 1, burst: 1 }));
    let api = router(stand.facilitator.clone(), ApiOptions { addresses, ..Default::default() });
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener = Listener::tcp(free).await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let served = tokio::spawn(serve(
        "test",
        listener,
        api,
        Limits { proxies: Vec::new(), ..Limits::default() },
        stop.clone(),
    ));
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(over_tcp(free, "Host: localhost").await);
    }
    assert!(answers[0].starts_with("HTTP/1.1 400"), "{}", answers[0]);
    assert!(answers[1].starts_with("HTTP/1.1 429") && answers[1].contains("retry-after"), "{}", answers[1]);
    stop.cancel();
    served.await.unwrap();
}

/// What a listener answers to an empty request with these header lines.
async fn over_tcp(address: std::net::SocketAddr, headers: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /settle HTTP/1.1\r\n{headers}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2"
    );
    stream.write_all(format!("{head}\r\n\r\n{{}}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A listener on loopback hears of other machines through a proxy, and of pages in browsers by names that they let point to it.
#[tokio::test]
async fn without_tokens_nobody_asks_from_elsewhere() {
    use salt402_http::{Limits, Listener, serve};
    let stand = Stand::new();
    let stop = tokio_util::sync::CancellationToken::new();
    let mut listening = Vec::new();
    let known =
        vec![(Token::new("secret of shop"), Caller { name: "shop".into(), rules: CallerRules::default() })];
    for callers in [Vec::new(), known] {
        let api = router(stand.facilitator.clone(), ApiOptions { callers, ..Default::default() });
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = Listener::tcp(free).await.unwrap();
        let served = tokio::spawn(serve("test", listener, api, Limits::default(), stop.clone()));
        listening.push((free, served));
    }
    for (headers, open) in [
        ("Host: localhost:4022", true),
        ("Host: 127.0.0.1", true),
        ("Host: [::1]:4022\r\nX-Forwarded-For: 127.0.0.1", true),
        ("Host: localhost\r\nX-Forwarded-For: 203.0.113.9", false),
        ("Host: rebound.example:4022", false),
    ] {
        let answer = over_tcp(listening[0].0, headers).await;
        let status = if open { "HTTP/1.1 400" } else { "HTTP/1.1 401" };
        assert!(answer.starts_with(status), "{headers}: {answer}");
        // Whoever has a token asks from wherever he is.
        let answer =
            over_tcp(listening[1].0, &format!("{headers}\r\nAuthorization: Bearer secret of shop")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{headers}: {answer}");
    }
    stop.cancel();
    for (_, served) in listening {
        served.await.unwrap();
    }
}

/// Servers hold what a payer accepted against what they offer themselves, and several servers ask each for itself.
#[tokio::test]
async fn supported_names_the_same_account_to_all() {
    let stand = Stand::new();
    stand.settler.others.lock().unwrap().push(crate::testing::PAYEE);
    for _ in 0..3 {
        let supported = stand.facilitator.supported();
        let named: Vec<_> =
            supported.kinds.iter().filter_map(|kind| kind.extra.as_ref()?.facilitator_address).collect();
        assert_eq!(named, [FACILITATOR; 2], "on both chains");
        assert_eq!(supported.signers["eip155:*"], [FACILITATOR, crate::testing::PAYEE]);
    }
}

/// A node's address may hold a key, and a file's path is nobody's business.
#[tokio::test]
async fn callers_are_not_told_which_node_or_file_failed() {
    use crate::verify::facts::FactsError;
    let stand = Stand::new();
    let api = router(stand.facilitator.clone(), ApiOptions::default());
    let secret = "https://c0ffee.node.example:8545";
    let good = request("exact", Payer::new(1).authorize(1));
    let told = async |path: &str| {
        let (status, headers, body) = ask(&api, post(path, &good, None)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(headers.contains_key(header::RETRY_AFTER));
        body.to_string()
    };
    let failed = |what: &str| format!("cannot {what} {secret}: refused");
    for fault in [FactsError::Node(failed("reach")), FactsError::Storage(failed("read"))] {
        *stand.accounts.2.lock().unwrap() = Some(fault);
        for path in ["/verify", "/settle"] {
            let told = told(path).await;
            assert!(!told.contains("c0ffee"), "{told}");
        }
    }
    // What the operator must do is said.
    let before = stand.accounts.asked().questions;
    *stand.accounts.2.lock().unwrap() = Some(FactsError::Blind("the index stands still".to_owned()));
    for path in ["/verify", "/settle"] {
        assert!(told(path).await.contains("the index stands still"), "{path}");
    }
    assert_eq!(stand.accounts.asked().questions, before, "the node is not asked");
    *stand.accounts.2.lock().unwrap() = None;
    *stand.settler.fault.lock().unwrap() = Some(SettleFault::Storage(failed("write")));
    let told = told("/settle").await;
    assert!(!told.contains("c0ffee") && told.contains("nothing can be stored now"), "{told}");
}

/// A page in a browser can have its own name point to this machine.
#[tokio::test]
async fn metrics_without_a_token_are_for_programs_of_this_machine() {
    let stand = Stand::new();
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let metrics = || Some(recorder.handle());
    let open = router(stand.facilitator.clone(), ApiOptions { metrics: metrics(), ..ApiOptions::default() });
    let get = |host: &str| Request::get("/metrics").header(header::HOST, host).body(Body::empty()).unwrap();
    for (host, status) in [
        ("localhost:4023", StatusCode::OK),
        ("127.0.0.1:4023", StatusCode::OK),
        ("rebound.example:4023", StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(ask(&open, get(host)).await.0, status, "{host}");
    }
    let options = ApiOptions {
        metrics: metrics(),
        metrics_token: Some(Token::new("a token of metrics")),
        ..ApiOptions::default()
    };
    let guarded = router(stand.facilitator.clone(), options);
    assert_eq!(ask(&guarded, get("localhost")).await.0, StatusCode::UNAUTHORIZED);
    let mut shown = get("metrics.example");
    shown.headers_mut().insert(header::AUTHORIZATION, "Bearer a token of metrics".parse().unwrap());
    assert_eq!(ask(&guarded, shown).await.0, StatusCode::OK);
}
