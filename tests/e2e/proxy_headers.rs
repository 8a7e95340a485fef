//! What a proxy that asks hands on: who paid, by salt402's word alone, and refusals as they are.

use std::path::Path;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse as _;
use salt402_tests::{Stack, payment_details};

use crate::SALT402;
use crate::backends;
use crate::proxies::{Proxy, caddy, haproxy, nginx, priced};
use crate::proxy_targets::{PROXIES, ask, status, until_answered};

const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const FORGED: &str = "forged";

/// Serves on a free port for as long as the test runs.
async fn serve(router: Router) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    port
}

/// A server that answers with the headers it got, and lets caches keep it.
async fn echo() -> u16 {
    serve(Router::new().fallback(async |headers: HeaderMap| {
        let line = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            format!("{name}: {}\n", value.to_str().unwrap())
        };
        ([("cache-control", "public, max-age=60")], headers.iter().map(line).collect::<String>())
    }))
    .await
}

/// What the server behind was told of the payment, with names as a server reads them that takes _ for -.
fn told(body: &str) -> Vec<(String, String)> {
    let mut told: Vec<_> = body
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.replace('_', "-"), value.to_owned()))
        .filter(|(name, _)| ["x-payment-payer", "x-payment-id", "x-payment-amount"].contains(&name.as_str()))
        .collect();
    told.sort();
    told
}

async fn hands_on_only_what_salt402_says(proxy: fn(&Path, &str, u16) -> Proxy) {
    let mut stack = Stack::start_with(SALT402, priced()).await;
    let proxy = proxy(stack.folder(), &stack.verifier, echo().await);
    let (free, paid) = (format!("{}/free/x", proxy.base), format!("{}/paid/x", proxy.base));
    stack.until(&free, |answer| answer.status == StatusCode::OK).await;
    let client = &stack.client;
    let forged = |url: &str| {
        let mut request = client.get(url).header("x-known-to-arrive", "yes");
        for what in ["Payer", "Id", "Amount"] {
            for name in [format!("X-Payment-{what}"), format!("X_Payment_{what}")] {
                request = request.header(name, FORGED);
            }
            request = request.header(format!("X-Payment_{what}"), FORGED);
            request = request.header(format!("x_payment-{what}"), FORGED);
        }
        request
    };
    let answer = forged(&free).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.text().await.unwrap();
    assert!(body.contains("x-known-to-arrive: yes"), "{body}");
    assert_eq!(told(&body), [], "nobody paid for what is free");

    let refused = forged(&paid).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::PAYMENT_REQUIRED);
    let details = payment_details(&stack.get(&paid).await);
    let proof = stack.payer().pay(&details).await.to_string();
    let quote = details.quote_id.as_str();
    let shown = forged(&paid).header("x-payment-proof", &proof).header("x-payment-quote", quote);
    let answer = shown.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let caching: Vec<_> = answer.headers().get_all("cache-control").iter().collect();
    assert_eq!(caching, ["no-store, private"]);
    let body = answer.text().await.unwrap();
    assert!(!body.contains(FORGED), "{body}");
    let told = told(&body);
    let id = told.iter().find(|(name, _)| name == "x-payment-id").expect("the payment's id").1.clone();
    assert!(id.len() == 66 && id.starts_with("0x"), "{id}");
    let expected = [("x-payment-amount", "777"), ("x-payment-id", &id), ("x-payment-payer", PAYER)];
    assert_eq!(told, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_hands_on_who_paid_and_nothing_that_a_client_made_up() {
    hands_on_only_what_salt402_says(caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_hands_on_who_paid_and_nothing_that_a_client_made_up() {
    hands_on_only_what_salt402_says(nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_hands_on_who_paid_and_nothing_that_a_client_made_up() {
    hands_on_only_what_salt402_says(haproxy).await;
}

/// Names that CGI, WSGI, PHP or a servlet may read as a header of ours.
fn spellings(what: &str) -> Vec<String> {
    let marks = ["-", "_", ".", "+", "~", "!"];
    let pairs = marks.iter().flat_map(|one| marks.map(|two| format!("X{one}Payment{two}{what}")));
    pairs.flat_map(|name| [name.to_lowercase(), name.to_uppercase(), name]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_header_tells_php_or_wsgi_who_paid() {
    let mut stack = Stack::start_with(SALT402, priced()).await;
    let site = backends::site(stack.folder());
    for (name, start) in PROXIES {
        for server in [backends::php(&site), backends::wsgi()] {
            let folder = stack.folder().join(format!("{name}-{}", server.name));
            std::fs::create_dir_all(&folder).unwrap();
            let proxy = start(&folder, &stack.verifier, server.port);
            let what = format!("{} behind {name}", server.name);
            until_answered(&proxy.base, &what, b"/free/told.php", "PAYER -\nID -\nAMOUNT -\n").await;
            let details = payment_details(&stack.get(&format!("{}/paid/told.php", proxy.base)).await);
            let proof = stack.payer().pay(&details).await;
            let mut forged: Vec<String> = ["Payer", "Id", "Amount"].into_iter().flat_map(spellings).collect();
            for name in forged.iter_mut() {
                name.push_str(": forged\r\n");
            }
            for line in &forged {
                let said = ask(&proxy.base, "GET", b"/free/told.php", line).await;
                assert!(!said.contains("forged"), "{what}: {line}\n{said}");
                assert!(["200", "400"].contains(&status(&said)), "{what}: {line}\n{said}");
            }
            // Those of them that a proxy takes away do not harm whoever paid.
            let proof =
                format!("X-Payment-Proof: {proof}\r\nX-Payment-Quote: {}\r\n", details.quote_id.as_str());
            let lines = format!("{proof}X-Payment-Payer: forged\r\nX-PAYMENT-ID: forged\r\n");
            let said = ask(&proxy.base, "GET", b"/paid/told.php", &lines).await;
            assert!(
                said.contains(&format!("PAYER {PAYER}\n")) && said.contains("AMOUNT 777\n"),
                "{what}: {said}"
            );
        }
    }
    stack.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_hands_on_refusals_of_salt402_as_they_are() {
    let mut stack = Stack::start_with(SALT402, priced()).await;
    let proxy = haproxy(stack.folder(), &stack.verifier, echo().await);
    let at = |path: &str| format!("{}{path}", proxy.base);
    stack.until(&at("/free/x"), |answer| answer.status == StatusCode::OK).await;
    let hash = format!("0x{}", "11".repeat(32));
    for (path, proofs, status, code, again) in [
        ("/none", &[][..], 403, "no_price", false),
        ("/paid/x", &["zzz"][..], 400, "malformed_proof", false),
        ("/paid/x", &[&hash[..], &hash[..]][..], 400, "malformed_header", false),
        ("/free/a%2fb", &[][..], 400, "malformed_parameter", false),
        ("/paid/x", &[&hash[..]][..], 402, "quote_required", false),
    ] {
        let mut request = stack.client.get(at(path));
        for proof in proofs {
            request = request.header("x-payment-proof", *proof);
        }
        let answer = request.send().await.unwrap();
        let headers = answer.headers().clone();
        assert_eq!((answer.status().as_u16(), headers["x-payment-code"].to_str().unwrap()), (status, code));
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["cache-control"], "no-store, private");
        assert_eq!(headers.contains_key("retry-after"), again, "{code}: {headers:?}");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()));
    }
}

/// Statuses that salt402 gives seldom, by a server that gives the one in the path.
#[tokio::test(flavor = "multi_thread")]
async fn haproxy_hands_on_every_4xx_and_takes_anything_else_for_503() {
    let says = serve(Router::new().fallback(async |headers: HeaderMap, _: Uri| {
        let asked = headers["x-original-uri"].to_str().unwrap().trim_start_matches('/').parse().unwrap();
        let status = StatusCode::from_u16(asked).unwrap();
        let headers = [
            ("content-type", "application/problem+json"),
            ("x-payment-code", "a_code"),
            ("retry-after", "7"),
            ("location", "http://elsewhere.invalid/"),
        ];
        (status, headers, "{\"detail\":\"100% as it is %[src]\"}").into_response()
    }))
    .await;
    let folder = tempfile::tempdir().unwrap();
    let proxy = haproxy(folder.path(), &format!("127.0.0.1:{says}"), echo().await);
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while client.get(format!("{}/200", proxy.base)).send().await.is_err() {
        assert!(std::time::Instant::now() < give_up, "HAProxy did not start");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for (said, status) in [
        (400, 400),
        (401, 401),
        (402, 402),
        (403, 403),
        (408, 408),
        (409, 409),
        (410, 410),
        (429, 429),
        (431, 431),
        (500, 503),
        (502, 503),
        (503, 503),
    ] {
        let answer = client.get(format!("{}/{said}", proxy.base)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{said}");
        let headers = answer.headers();
        assert_eq!(headers["x-payment-code"], "a_code");
        assert_eq!(headers["retry-after"], "7");
        assert_eq!(headers["cache-control"], "no-store, private");
        assert_eq!(answer.text().await.unwrap(), "{\"detail\":\"100% as it is %[src]\"}");
    }
    // No refusal and no leave: what has no reading does not pass.
    for said in [201, 204, 302] {
        let answer = client.get(format!("{}/{said}", proxy.base)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{said}");
        assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["code"], "verifier_unavailable");
    }
    // Nobody there.
    let nobody = haproxy(folder.path(), &format!("127.0.0.1:{}", salt402_tests::free_port()), echo().await);
    let answer = loop {
        match client.get(format!("{}/200", nobody.base)).send().await {
            Ok(answer) => break answer,
            Err(error) => assert!(std::time::Instant::now() < give_up, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["code"], "verifier_unavailable");
}
