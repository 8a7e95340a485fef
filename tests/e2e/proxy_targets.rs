//! Hostile requests through the real proxies, with the documented configurations as they are, to servers that each read a
//! request in their own way: whatever the spelling, nobody sees what is paid for without a payment.

use std::path::Path;
use std::time::{Duration, Instant};

use salt402_tests::{Stack, StackOptions, payment_details};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::SALT402;
use crate::backends::{self, Backend, SECRET};
use crate::proxies::{Proxy, caddy, haproxy, nginx};

/// A way to start a proxy before a server.
pub(crate) type Start = fn(&Path, &str, u16) -> Proxy;

pub(crate) const PROXIES: &[(&str, Start)] = &[("caddy", caddy), ("nginx", nginx), ("haproxy", haproxy)];

/// What is paid costs by its method; all the rest is free, so that what is not seen to be paid is served.
fn priced() -> StackOptions {
    let route = |path: &str, more: &str| format!("[[forward_auth.routes]]\npath = \"{path}\"\n{more}\n");
    let sections = [
        route("/paid/*", "methods = [\"GET\", \"HEAD\", \"POST\"]\nprice = \"777\""),
        route("/paid/*", "price = \"900\""),
        route("/*", "price = \"0\""),
    ];
    StackOptions { sections: sections.concat(), ..Default::default() }
}

/// Targets that some proxy, or some server, reads as a path to a paid file, byte for byte as they are sent.
const HOSTILE: &[&[u8]] = &[
    b"/free/#/../../paid/dear.txt",
    b"/free/x#/../../../paid/dear.txt",
    b"/free/file.txt#/../../paid/dear.txt",
    b"/#/../paid/dear.txt",
    b"/free/?#/../../paid/dear.txt",
    b"/free/%23/../../paid/dear.txt",
    b"/free/..;/paid/dear.txt",
    b"/free/..;x=y/paid/dear.txt",
    b"/free;/../paid/dear.txt",
    b"/;/paid/dear.txt",
    b"/free/;/../../paid/dear.txt",
    b"/paid;/dear.txt",
    b"/paid;x=y/dear.txt",
    b"/free/..%3b/paid/dear.txt",
    b"/paid%3b/dear.txt",
    b"/%70aid/dear.txt",
    b"/p%61id/dear.txt",
    b"/%50aid/dear.txt",
    b"/pai%64/dear.txt",
    b"/paid%2fdear.txt",
    b"/paid%2Fdear.txt",
    b"/paid%5cdear.txt",
    b"/paid\\dear.txt",
    b"\\paid\\dear.txt",
    b"/\\paid/dear.txt",
    b"/free/..\\paid\\dear.txt",
    b"/free\\..\\..\\paid\\dear.txt",
    b"/free/..%5cpaid%5cdear.txt",
    b"/free/../paid/dear.txt",
    b"/free/%2e%2e/paid/dear.txt",
    b"/free/.%2e/paid/dear.txt",
    b"/free/%2E./paid/dear.txt",
    b"/free/..%2fpaid/dear.txt",
    b"/free/%2e%2e%2fpaid%2fdear.txt",
    b"/free/%252e%252e/paid/dear.txt",
    b"/free/%25%32%65%25%32%65/paid/dear.txt",
    b"/free/%c0%ae%c0%ae/paid/dear.txt",
    b"/free/%u002e%u002e/paid/dear.txt",
    b"/./paid/dear.txt",
    b"/%2e/paid/dear.txt",
    b"//paid/dear.txt",
    b"///paid//dear.txt",
    b"/free//../paid/dear.txt",
    b"/free/deep/../../paid/dear.txt",
    b"paid/dear.txt",
    b"free/../paid/dear.txt",
    b"*/../paid/dear.txt",
    b"?/../paid/dear.txt",
    b"http://127.0.0.1/free/../paid/dear.txt",
    b"http://127.0.0.1/%70aid/dear.txt",
    b"http://127.0.0.1#/../paid/dear.txt",
    b"http://127.0.0.1?/../paid/dear.txt",
    b"http://127.0.0.1/free/#/../../paid/dear.txt",
    b"http:/paid/dear.txt",
    b"http:paid/dear.txt",
    b"http://free@127.0.0.1/paid/dear.txt",
    b"//h/paid/dear.txt",
    b"file:///paid/dear.txt",
    b"/free/\t/../../paid/dear.txt",
    b"/\tpaid/dear.txt",
    b"/free/\x0b/../../paid/dear.txt",
    b"/paid/\x00dear.txt",
    b"/free/%00/../../paid/dear.txt",
    b"/free/%0a/../../paid/dear.txt",
    b"/free/%0d%0a/../../paid/dear.txt",
    b"/free/file.txt%20HTTP/1.1/../../../../paid/dear.txt",
    b"/free/\xef\xbc\x8e\xef\xbc\x8e/paid/dear.txt",
    b"/free/%ef%bc%8e%ef%bc%8e/paid/dear.txt",
    b"/\xc0\xafpaid/dear.txt",
    b"/free/\xff/../../paid/dear.txt",
    b"/pa%ADid/dear.txt",
    b"/PAID/dear.txt",
    b"/Paid/dear.txt",
    b"/paid",
    b"/paid/",
    b"/paid?",
    b"/paid/dear.txt",
    b"/paid/dear.txt/",
    b"/paid/dear.txt?",
    b"/paid/dear.txt#",
    b"/paid/dear.txt?x#y",
    b"/paid/dear%2etxt",
    b"/paid/d%65ar.txt",
    b"/paid/dear.txt%00",
    b"/paid/dear.txt%20",
    b"/paid/dear.txt.",
    b"/paid/dear.txt::$DATA",
    b"/paid/a%20b.txt",
    b"/paid/a b.txt",
    b"/paid/a+b.txt",
    b"/paid/ask.php",
    b"/paid/ask.php/free",
    b"/paid/ask%2ephp",
    b"/paid/ask.php%00.txt",
    b"/free/../paid/ask.php/free",
    b"/paid/ask.php;x",
];

/// What else a request may say of another path or method.
const HEADERS: &[&str] = &[
    "X-Original-URL: /paid/dear.txt",
    "X-Rewrite-URL: /paid/dear.txt",
    "X-Original-URI: /free/file.txt",
    "X-Forwarded-Uri: /free/file.txt",
    "X-Forwarded-Method: OPTIONS",
    "X-Forwarded-Prefix: /free",
    "X-HTTP-Method-Override: OPTIONS",
    "X_HTTP_METHOD_OVERRIDE: OPTIONS",
    "Connection: close, X-Forwarded-Uri, X-Original-URI, X-Original-Method",
    "Connection: close, X-Payment-Payer",
];

/// Bytes to a proxy, and all that comes back.
async fn exchange(base: &str, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(base.trim_start_matches("http://")).await.unwrap();
    let _ = socket.write_all(bytes).await;
    let mut said = Vec::new();
    // A proxy that waits for more of what it takes for a request is not waited for.
    let _ = tokio::time::timeout(Duration::from_secs(2), socket.read_to_end(&mut said)).await;
    said
}

pub(crate) async fn ask(base: &str, method: &str, target: &[u8], headers: &str) -> String {
    let head = format!(" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n");
    let request = [method.as_bytes(), b" ", target, head.as_bytes()].concat();
    String::from_utf8_lossy(&exchange(base, &request).await).into_owned()
}

/// The status of an answer, in whatever version.
pub(crate) fn status(said: &str) -> &str {
    said.split(' ').nth(1).unwrap_or_default()
}

/// Asks for something until it is there: proxies and servers take their time to start.
pub(crate) async fn until_answered(base: &str, what: &str, target: &[u8], body: &str) {
    let give_up = Instant::now() + Duration::from_secs(60);
    let address = base.trim_start_matches("http://");
    loop {
        if TcpStream::connect(address).await.is_ok() {
            let said = ask(base, "GET", target, "").await;
            if status(&said) == "200" && said.contains(body) {
                return;
            }
            assert!(Instant::now() < give_up, "{what}: {said}");
        }
        assert!(Instant::now() < give_up, "{what} does not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Everything hostile at one proxy before one server.
pub(crate) async fn nothing_is_given_away(what: &str, base: &str) {
    for target in HOSTILE {
        let said = ask(base, "GET", target, "").await;
        let shown = String::from_utf8_lossy(target);
        assert!(!said.contains(SECRET), "{what}: {shown:?} was served for nothing\n{said}");
    }
    for target in
        [&b"/paid/dear.txt"[..], b"/paid/ask.php", b"/free/#/../../paid/ask.php", b"/free/..;/paid/ask.php"]
    {
        for method in ["POST", "OPTIONS", "PUT", "get", "TRACE", "X"] {
            let said = ask(base, method, target, "Content-Length: 0\r\n").await;
            assert!(!said.contains(SECRET), "{what}: {method} {target:?} was served for nothing\n{said}");
        }
        // As it was before there were headers.
        let said = exchange(base, &[b"GET ", target, b"\r\n"].concat()).await;
        assert!(!String::from_utf8_lossy(&said).contains(SECRET), "{what}: {target:?}");
    }
    for header in HEADERS {
        for target in [&b"/free/file.txt"[..], b"/paid/dear.txt", b"/paid/dear.txt?_method=OPTIONS"] {
            let said = ask(base, "GET", target, &format!("{header}\r\n")).await;
            assert!(!said.contains(SECRET), "{what}: {header}\n{said}");
        }
    }
}

/// What is free is served, by every spelling that has one reading; what is paid is asked to be paid for.
pub(crate) async fn what_is_plain_is_served(what: &str, base: &str) {
    for target in
        ["/free/file.txt?x=1&y=%2F..;/#".trim_end_matches('#'), "/free/a%20b.txt", "/free/caf%C3%A9.txt"]
    {
        let said = ask(base, "GET", target.as_bytes(), "").await;
        assert!(status(&said) == "200" && said.contains("a free file"), "{what}: {target}\n{said}");
    }
    // On a busy machine a server may not answer in time, and then it is not sold for a moment.
    let give_up = Instant::now() + Duration::from_secs(30);
    let said = loop {
        let said = ask(base, "GET", b"/paid/dear.txt?a=b&refuse_as=401", "").await;
        if status(&said) != "503" || Instant::now() > give_up {
            break said;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert!(status(&said) == "402", "{what}\n{said}");
    let said = said.to_ascii_lowercase();
    assert!(said.contains("\r\nx-payment-code: payment_required\r\n"), "{what}\n{said}");
    assert!(said.contains("\"code\":\"payment_required\""), "{what}\n{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_paid_path_is_served_unpaid_by_any_server_behind_any_proxy() {
    let mut stack = Stack::start_with(SALT402, priced()).await;
    let backends = backends::all(stack.folder());
    let mut running = Vec::new();
    for (proxy, start) in PROXIES {
        for Backend { name, port, .. } in &backends {
            let folder = stack.folder().join(format!("{proxy}-{name}"));
            std::fs::create_dir_all(&folder).unwrap();
            running.push((format!("{name} behind {proxy}"), start(&folder, &stack.verifier, *port)));
        }
    }
    let mut tried = tokio::task::JoinSet::new();
    for (what, proxy) in &running {
        let (what, base) = (what.clone(), proxy.base.clone());
        tried.spawn(async move {
            until_answered(&base, &what, b"/free/file.txt", "a free file").await;
            what_is_plain_is_served(&what, &base).await;
            nothing_is_given_away(&what, &base).await;
        });
    }
    while let Some(ended) = tried.join_next().await {
        ended.unwrap();
    }
    // A request with a query is served to whoever paid for it, through each proxy.
    for (what, proxy) in running.iter().filter(|(what, _)| what.starts_with("python")) {
        let url = format!("{}/paid/dear.txt?a=b&c=%20d", proxy.base);
        let details = payment_details(&stack.get(&url).await);
        assert_eq!(details.resource.path, "/paid/dear.txt?a=b&c=%20d", "{what}");
        let proof = stack.payer().pay(&details).await.to_string();
        let quote = details.quote_id.as_str().to_owned();
        let request =
            stack.client.get(&url).header("x-payment-proof", proof).header("x-payment-quote", quote);
        let body = request.send().await.unwrap().text().await.unwrap();
        assert!(body.contains(SECRET), "{what}: {body}");
    }
    stack.kill();
}
