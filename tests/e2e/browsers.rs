//! A page in a real browser pays for a request at a gateway of another origin.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Html;
use axum::routing::{get, post};
use reqwest::Method;
use salt402_protocol::details::PaymentDetails;
use salt402_tests::{Stack, StackOptions};
use tokio::sync::{Mutex, mpsc};

use crate::SALT402;
use crate::proxies::{files_for_pages, priced, start};

/// Asks, reads how to pay, has its own server pay, and shows the proof. What it read it tells its own server.
const PAGE: &str = r#"<script type="module">
    const tell = (what) => fetch('/told', { method: 'POST', body: JSON.stringify(what) });
    try {
        const ask = (headers) => fetch('GATEWAY/v1/inference', {
            method: 'POST',
            headers: { 'content-type': 'application/json', ...headers },
            body: JSON.stringify({ model: 'counted', prompt: 'from a page' }),
        });
        const unpaid = await ask({ 'x-stainless-lang': 'js' });
        const details = unpaid.headers.get('x-payment-details');
        const transaction = await (await fetch('/pay', { method: 'POST', body: details })).text();
        const quote = JSON.parse(details).quoteId;
        const paid = await ask({ 'x-payment-proof': transaction, 'x-payment-quote': quote, authorization: 'Bearer none' });
        await tell({ unpaid: unpaid.status, code: unpaid.headers.get('x-payment-code'), paid: paid.status,
            receipt: paid.headers.get('x-payment-receipt'), output: (await paid.json()).output });
    } catch (error) { await tell({ error: String(error) }); }
</script>"#;

/// The same of a file behind a proxy that asks: its preflight is the proxy's to answer.
const FILE: &str = r#"<script type="module">
    const tell = (what) => fetch('/told', { method: 'POST', body: JSON.stringify(what) });
    try {
        const ask = (headers) => fetch('PROXY/paid/file.txt', { headers });
        const unpaid = await ask({ authorization: 'Bearer none' });
        const details = unpaid.headers.get('x-payment-details');
        const transaction = await (await fetch('/pay', { method: 'POST', body: details })).text();
        const quote = JSON.parse(details).quoteId;
        const paid = await ask({ 'x-payment-proof': transaction, 'x-payment-quote': quote });
        await tell({ unpaid: unpaid.status, code: unpaid.headers.get('x-payment-code'), paid: paid.status,
            output: await paid.text() });
    } catch (error) { await tell({ error: String(error) }); }
</script>"#;

/// What the page's server works with: details to pay, transactions that paid, and what it is told.
struct Site {
    page: String,
    details: mpsc::Sender<String>,
    transactions: Mutex<mpsc::Receiver<String>>,
    told: mpsc::Sender<String>,
}

/// Opens the page in a browser, pays what it asks for, and returns what it tells.
async fn visit(stack: &Stack, page: String) -> serde_json::Value {
    let (details, mut asked) = mpsc::channel(1);
    let (pays, transactions) = mpsc::channel(1);
    let (told, mut hears) = mpsc::channel(1);
    let site = Arc::new(Site { page, details, transactions: Mutex::new(transactions), told });
    let router = Router::new()
        .route("/", get(async |State(site): State<Arc<Site>>| Html(site.page.clone())))
        .route(
            "/pay",
            post(async |State(site): State<Arc<Site>>, details: String| {
                site.details.send(details).await.unwrap();
                site.transactions.lock().await.recv().await.unwrap()
            }),
        )
        .route(
            "/told",
            post(async |State(site): State<Arc<Site>>, what: String| site.told.send(what).await.unwrap()),
        )
        .with_state(site);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut browser = Command::new("chromium");
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
    browser.args(["--disable-background-networking", "--no-first-run", "--no-proxy-server"]);
    browser.arg(format!(
        "--user-data-dir={}",
        stack.folder().join(format!("browser-{}", address.port())).display()
    ));
    let _browser = start(browser.arg(format!("http://{address}/")));
    let heard = async {
        loop {
            tokio::select! {
                Some(details) = asked.recv() => {
                    let details = PaymentDetails::from_header(&details).unwrap();
                    pays.send(stack.payer().pay(&details).await.to_string()).await.unwrap();
                }
                Some(told) = hears.recv() => return serde_json::from_str(&told).unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), heard).await.expect("the page says how it went")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_pays_where_it_is_let_in_and_nowhere_else() {
    let options = StackOptions { gateway: "origins = [\"*\"]".into(), ..Default::default() };
    let mut stack = Stack::start_with(SALT402, options).await;
    let page = PAGE.replace("GATEWAY", &stack.gateway);
    let told = visit(&stack, page.clone()).await;
    assert_eq!((&told["unpaid"], &told["paid"]), (&402.into(), &200.into()), "{told}");
    assert_eq!(told["code"], "payment_required");
    assert!(told["receipt"].as_str().unwrap().contains("payment_id"), "{told}");
    assert!(!told["output"].as_str().unwrap().is_empty(), "{told}");

    // Its preflight costs nothing and asks for nothing.
    let asked = stack
        .client
        .request(Method::OPTIONS, format!("{}/v1/inference", stack.gateway))
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .send()
        .await
        .unwrap();
    assert!(asked.status().is_success() && asked.headers()["access-control-allow-origin"] == "*");

    // A head that is too large reaches no router, and can be read all the same.
    let long =
        stack.client.get(format!("{}/v1/models", stack.gateway)).header("origin", "https://app.example");
    let long = long.header("x-long", "x".repeat(20_000)).send().await.unwrap();
    assert_eq!(
        (long.status().as_u16(), &long.headers()["access-control-allow-origin"]),
        (431, &"*".parse().unwrap())
    );
    assert!(long.headers()["access-control-expose-headers"].to_str().unwrap().contains("x-payment-code"));

    stack.kill();
    stack.configure(&StackOptions::default());
    stack.up().await;
    let told = visit(&stack, page).await;
    assert!(told["error"].as_str().is_some_and(|error| error.contains("fetch")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_pays_for_a_file_behind_a_proxy_that_asks() {
    let mut stack = Stack::start_with(SALT402, priced()).await;
    let (proxy, _files) = files_for_pages(&stack);
    stack.until(&format!("{}/free/file.txt", proxy.base), |answer| answer.status == 200).await;
    let told = visit(&stack, FILE.replace("PROXY", &proxy.base)).await;
    assert_eq!((&told["unpaid"], &told["paid"]), (&402.into(), &200.into()), "{told}");
    assert_eq!((&told["code"], &told["output"]), (&"payment_required".into(), &"a paid file\n".into()));
}
