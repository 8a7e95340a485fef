//! Any HTTP service, sold by path: what is sent, what is answered, and what is given once.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use salt402_protocol::details::PaymentDetails;
use salt402_tests::{Act, Answer, Stack, StackOptions, TestService, payment_details};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::SALT402;

/// Lines that sell a service: `more` stands in its table, `paths` after it.
pub(crate) fn selling(service: &TestService, more: &str, paths: &[(&str, &str)]) -> StackOptions {
    let path =
        |(path, more): &(&str, &str)| format!("[[gateway.services.paths]]\npath = \"{path}\"\n{more}\n");
    let paths: String = paths.iter().map(path).collect();
    let sections =
        format!("[[gateway.services]]\nname = \"shop\"\nupstream = \"{}\"\n{more}\n{paths}", service.url());
    StackOptions { sections, ..Default::default() }
}

pub(crate) const PAID: (&str, &str) = ("/paid/*", "price = \"777\"");
pub(crate) const FREE: (&str, &str) = ("/free/*", "price = \"0\"");

/// A request that a client may pay for.
#[derive(Clone)]
pub(crate) struct Asked {
    method: Method,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Asked {
    pub(crate) fn get(stack: &Stack, target: &str) -> Self {
        Self::of(stack, Method::GET, target, Vec::new())
    }

    pub(crate) fn of(stack: &Stack, method: Method, target: &str, body: Vec<u8>) -> Self {
        Self { method, url: format!("{}{target}", stack.gateway), headers: Vec::new(), body }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn request(&self, stack: &Stack) -> reqwest::RequestBuilder {
        let mut request = stack.client.request(self.method.clone(), &self.url);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if self.body.is_empty() { request } else { request.body(self.body.clone()) }
    }

    pub(crate) async fn send(&self, stack: &Stack) -> Answer {
        let response = self.request(stack).send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.text().await.expect("a body") }
    }

    /// The same with a payment for it.
    pub(crate) async fn paid(&self, stack: &Stack) -> Self {
        let details = self.details(stack).await;
        self.paid_by(stack, &details).await
    }

    pub(crate) async fn details(&self, stack: &Stack) -> PaymentDetails {
        let unpaid = self.send(stack).await;
        if self.method != Method::HEAD {
            return payment_details(&unpaid);
        }
        assert_eq!(unpaid.status, StatusCode::PAYMENT_REQUIRED);
        let header = unpaid.headers["x-payment-details"].to_str().unwrap();
        PaymentDetails::from_header(header).unwrap()
    }

    pub(crate) async fn paid_by(&self, stack: &Stack, details: &PaymentDetails) -> Self {
        let proof = stack.payer().pay(details).await;
        self.clone()
            .with("x-payment-proof", proof.to_string())
            .with("x-payment-quote", details.quote_id.as_str())
    }
}

fn receipt(answer: &Answer) -> Value {
    serde_json::from_str(answer.headers["x-payment-receipt"].to_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_for_is_sent_as_it_came_and_once() {
    let service = TestService::start().await;
    let more = "max_body_bytes = 8388608\ndescription = \"a page\"";
    let mut stack = Stack::start_with(SALT402, selling(&service, more, &[PAID, FREE])).await;

    let target = "/paid/a%20b/?q=1&r=%2e%2E;x";
    let get = Asked::get(&stack, target)
        .with("accept-language", "sea")
        .with("authorization", "Bearer x")
        .with("cookie", "a=b")
        .with("x-x402-payer", "0x0000000000000000000000000000000000000001")
        .with("x_x402_payer", "0x0000000000000000000000000000000000000001")
        .with("x-forwarded-for", "6.6.6.6, 1.2.3.4")
        .with("x-forwarded-prefix", "/admin")
        .with("x-original-url", "/admin")
        .with("connection", "x-dropped")
        .with("x-dropped", "1");
    let details = get.details(&stack).await;
    assert_eq!((details.resource.path.as_str(), details.resource.method.as_str()), (target, "GET"));
    assert_eq!(
        (details.amount.to_string().as_str(), details.resource.description.as_str()),
        ("777", "a page")
    );
    assert_eq!(service.asked(), 0, "nothing is sent before it is paid for");
    let paid = get.paid_by(&stack, &details).await;
    // The hash alone can be read off the chain.
    let bare = paid.headers.iter().filter(|(name, _)| *name != "x-payment-quote").cloned().collect();
    let bare = Asked { headers: bare, ..paid.clone() }.send(&stack).await;
    assert_eq!((bare.code().as_str(), service.asked()), ("quote_required", 0));
    let elsewhere = Asked { url: paid.url.replace("q=1", "q=2"), ..paid.clone() }.send(&stack).await;
    assert_eq!((elsewhere.code().as_str(), service.asked()), ("quote_not_honoured", 0), "{}", elsewhere.body);

    service.script([Act::answer(
        "200 OK",
        "content-type: text/plain\r\nset-cookie: a=b\r\ncache-control: public\r\nserver: secret\r\netag: \"1\"\r\n\
         x-payment-details: {}\r\naccess-control-allow-origin: *\r\nconnection: x-hop\r\nx-hop: 1\r\n",
        "hello",
    )]);
    let answer = paid.send(&stack).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "hello"));
    let told = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!((told("content-type"), told("etag")), (Some("text/plain"), Some("\"1\"")));
    assert_eq!(told("cache-control"), Some("no-store, private"));
    for name in ["set-cookie", "server", "x-hop", "x-payment-details", "access-control-allow-origin"] {
        assert_eq!(told(name), None, "{name}");
    }
    let vary =
        answer.headers.get_all("vary").iter().any(|line| line.to_str().unwrap().contains("X-Payment-Proof"));
    assert!(vary && told("server-timing").unwrap().contains("service;dur="), "{:?}", answer.headers);
    assert_eq!(receipt(&answer)["amount"], "777");

    let received = service.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].line, format!("GET /base{target} HTTP/1.1"));
    let header = |name| received[0].header(name);
    assert_eq!(
        header("x-x402-payer").unwrap().to_lowercase(),
        stack.payer().address().to_string().to_lowercase()
    );
    assert_eq!(header("x-x402-payment").unwrap(), receipt(&answer)["payment_id"]);
    // Who asks from this machine is a proxy, which is believed for the hop before it.
    assert_eq!((header("accept-language"), header("x-forwarded-for")), (Some("sea"), Some("1.2.3.4")));
    assert_eq!(header("host"), Some(&*service.url().replace("http://", "").replace("/base", "")));
    for (name, _) in &received[0].headers {
        let ours =
            ["authorization", "cookie", "x-dropped", "x-original-url", "x-forwarded-prefix", "x_x402_payer"];
        assert!(
            !name.contains("payment-") && !ours.contains(&name.as_str()) || name == "x-x402-payment",
            "{name}"
        );
    }

    // It was given, and is not kept: nobody is led to pay again.
    let again = paid.send(&stack).await;
    assert_eq!((again.status, again.code().as_str()), (StatusCode::GONE, "outcome_gone"));
    assert_eq!(again.headers["x-should-retry"], "false");
    assert!(!again.headers.contains_key("x-payment-details") && service.asked() == 1);

    // Another method, another body, an upload of five megabytes, and a head alone.
    let body = json!({ "a": [1, 2, { "b": "ä" }] }).to_string().into_bytes();
    let json =
        Asked::of(&stack, Method::POST, "/paid/json", body.clone()).with("content-type", "application/json");
    let paid = json.paid(&stack).await;
    let other = Asked { body: b"{}".to_vec(), ..paid.clone() }.send(&stack).await;
    assert_eq!((other.code().as_str(), service.asked()), ("quote_not_honoured", 1), "{}", other.body);
    assert_eq!(paid.send(&stack).await.body, "POST /base/paid/json HTTP/1.1");
    assert_eq!(service.received()[1].body, body);
    assert_eq!(service.received()[1].header("content-type"), Some("application/json"));

    let upload: Vec<u8> =
        (0..5_000_000u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let put = Asked::of(&stack, Method::PUT, "/paid/file", upload.clone()).paid(&stack).await;
    assert_eq!(put.send(&stack).await.status, StatusCode::OK);
    assert!(service.received()[2].body == upload, "an upload arrives byte by byte");

    let head = Asked::of(&stack, Method::HEAD, "/paid/file", Vec::new()).paid(&stack).await;
    service.script([Act::send("HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n")]);
    let answer = head.send(&stack).await;
    assert_eq!(
        (answer.status, answer.headers["content-length"].to_str().unwrap()),
        (StatusCode::OK, "5000000")
    );
    assert_eq!(service.received()[3].line, "HEAD /base/paid/file HTTP/1.1");
    stack.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_free_streams_through_and_what_is_no_request_is_refused() {
    let service = TestService::start().await;
    let more = "max_body_bytes = 1024\npass_credentials = true";
    let mut stack = Stack::start_with(SALT402, selling(&service, more, &[PAID, FREE])).await;
    // Its length is known to nobody, and beyond what is read of a priced one.
    service.script([Act::answer(
        "201 Created",
        "set-cookie: a=b\r\ncache-control: public\r\nlocation: /base/free/new\r\n",
        "made",
    )]);
    let answer = upload_in_chunks(&stack).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 201 created\r\n") && answer.ends_with("\r\n\r\nmade"), "{answer}");
    // A place at the service is told as its clients know it.
    for line in ["set-cookie: a=b", "cache-control: public", "location: /free/new"] {
        assert!(answer.contains(&format!("\r\n{line}\r\n")), "{answer}");
    }
    let received = service.received();
    assert_eq!((received[0].body.len(), received[0].header("authorization")), (1_000_000, Some("Bearer x")));

    // A body beyond the limit is refused before a price is told.
    let large = Asked::of(&stack, Method::POST, "/paid/x", vec![b'x'; 1025]).send(&stack).await;
    assert_eq!(large.code(), "body_too_large");
    let upgrade = Asked::get(&stack, "/free/ws").with("connection", "upgrade").with("upgrade", "websocket");
    let refused = upgrade.send(&stack).await;
    assert_eq!(refused.code(), "malformed_header");
    assert!(refused.json()["detail"].as_str().unwrap().contains("WebSocket"), "{}", refused.body);
    assert_eq!(Asked::get(&stack, "/elsewhere").send(&stack).await.code(), "not_found");
    assert_eq!(Asked::get(&stack, "/v1/inference").send(&stack).await.code(), "method_not_allowed");
    assert_eq!(service.asked(), 1);
    stack.kill();
}

/// Sends a megabyte in a hundred pieces to a path that is free, and returns all that comes back.
async fn upload_in_chunks(stack: &Stack) -> String {
    let mut socket = TcpStream::connect(stack.gateway.trim_start_matches("http://")).await.unwrap();
    let head = "POST /free/up HTTP/1.1\r\nhost: shop\r\nconnection: close\r\nauthorization: Bearer x\r\n\
                transfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..100 {
        socket.write_all(format!("{:x}\r\n{}\r\n", 10_000, "x".repeat(10_000)).as_bytes()).await.unwrap();
    }
    socket.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Reads a response until its body has this text.
async fn until_read(response: &mut reqwest::Response, text: &str) {
    let mut read = String::new();
    while read != text {
        let piece = response.chunk().await.unwrap().unwrap_or_else(|| panic!("it ended after {read:?}"));
        read.push_str(std::str::from_utf8(&piece).unwrap());
        assert!(text.starts_with(&read), "{read:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_streams_to_whoever_paid() {
    let service = TestService::start().await;
    let kept = "keep_answers_bytes = 1000";
    let mut stack = Stack::start_with(SALT402, selling(&service, kept, &[PAID])).await;
    let go = Arc::new(Notify::new());
    let head = "HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream\r\ntransfer-encoding: chunked\r\n\r\n";
    service.script([
        Act::send(&format!("{head}9\r\ndata: 1\n\n\r\n")),
        Act::Wait(Arc::clone(&go)),
        Act::send("9\r\ndata: 2\n\n\r\n0\r\n\r\n"),
    ]);
    let paid = Asked::get(&stack, "/paid/events").paid(&stack).await;
    let mut response = paid.request(&stack).send().await.unwrap();
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    // Each event comes when it was sent, and not at the end.
    until_read(&mut response, "data: 1\n\n").await;
    let meanwhile = paid.send(&stack).await;
    assert_eq!(meanwhile.code(), "outcome_gone", "it is given to the first");
    go.notify_one();
    until_read(&mut response, "data: 2\n\n").await;
    assert!(response.chunk().await.unwrap().is_none());
    assert_eq!(service.asked(), 1);
    stack.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_answer_is_given_again_and_one_that_is_too_long_once() {
    let service = TestService::start().await;
    let mut stack = Stack::start_with(SALT402, selling(&service, "keep_answers_bytes = 1000", &[PAID])).await;
    service.script([Act::answer("404 Not Found", "content-type: text/plain\r\netag: \"x\"\r\n", "not here")]);
    let paid = Asked::get(&stack, "/paid/nothing").paid(&stack).await;
    for round in 0..3 {
        // What the service says of the request is an answer to it.
        let answer = paid.send(&stack).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NOT_FOUND, "not here"), "{round}");
        assert_eq!(
            (&answer.headers["etag"], &answer.headers["x-should-retry"]),
            (&"\"x\"".parse().unwrap(), &"false".parse().unwrap())
        );
        if round == 1 {
            stack.kill();
            stack.up().await;
        }
    }
    assert_eq!(service.asked(), 1);
    // One of the chunks that are not kept, and one whose length says so before.
    let long = "long ".repeat(300);
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (number, act) in [
        Act::send(&format!("{head}{:x}\r\n{long}\r\n3\r\nend\r\n0\r\n\r\n", long.len())),
        Act::answer("200 OK", "", &format!("{long}end")),
    ]
    .into_iter()
    .enumerate()
    {
        service.script([act]);
        let paid = Asked::get(&stack, &format!("/paid/long/{number}")).paid(&stack).await;
        // Nobody knows yet that it is too long. The hash alone can be read off the chain.
        let bare = paid.headers.iter().filter(|(name, _)| *name != "x-payment-quote").cloned().collect();
        let bare = Asked { headers: bare, ..paid.clone() };
        assert_eq!(
            (bare.send(&stack).await.code().as_str(), service.asked()),
            ("quote_required", 1 + number)
        );
        assert_eq!(paid.send(&stack).await.body, format!("{long}end"));
        assert_eq!(paid.send(&stack).await.code(), "outcome_gone");
        assert_eq!(service.asked(), 2 + number);
    }
    stack.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn c20_whoever_has_paid_is_not_led_to_where_it_has_to_be_paid_again() {
    let service = TestService::start().await;
    let mut stack = Stack::start_with(SALT402, selling(&service, "", &[PAID, FREE])).await;
    let redirect = |to: &str| Act::answer("301 Moved Permanently", &format!("location: {to}\r\n"), "");
    let staying = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    // To where it is free, or to somebody else's, a client may go.
    for (number, (told, known)) in [
        ("/base/free/x", "/free/x"),
        ("https://elsewhere.example/paid/x", "https://elsewhere.example/paid/x"),
        ("../free/x", "../free/x"),
    ]
    .into_iter()
    .enumerate()
    {
        service.script([redirect(told)]);
        let paid = Asked::get(&stack, &format!("/paid/{number}")).paid(&stack).await;
        let request = paid.request(&stack).build().unwrap();
        let answer = staying.execute(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::MOVED_PERMANENTLY);
        assert_eq!(answer.headers()["location"], known);
    }
    let own = format!("{}/paid/z", stack.gateway);
    for (number, told) in ["/base/paid/x/", "x/", "?again", &*own].into_iter().enumerate() {
        service.script([redirect(told)]);
        let paid = Asked::get(&stack, &format!("/paid/again/{number}")).paid(&stack).await;
        for _ in 0..2 {
            // This client would follow.
            let answer = paid.send(&stack).await;
            assert_eq!(answer.code(), "not_served", "{told}: {} {}", answer.status, answer.body);
            assert!(!answer.headers.contains_key("location"));
        }
        assert_eq!(service.asked(), 4 + number);
    }
    stack.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_payment_for_several_requests_gives_each_of_them_once() {
    let service = TestService::start().await;
    let paths = [("/paid/*", "price = \"777\"\nuses = 2")];
    let mut stack = Stack::start_with(SALT402, selling(&service, "keep_answers_bytes = 1000", &paths)).await;
    let first = Asked::get(&stack, "/paid/1").paid(&stack).await;
    let number = |number: u32| Asked { url: format!("{}/paid/{number}", stack.gateway), ..first.clone() };
    for (request, asked) in [(1, 1), (2, 2), (1, 2), (2, 2)] {
        let answer = number(request).send(&stack).await;
        assert_eq!(answer.body, format!("GET /base/paid/{request} HTTP/1.1"));
        assert_eq!(service.asked(), asked);
    }
    assert_eq!(number(3).send(&stack).await.code(), "uses_exhausted");
    assert_eq!(service.asked(), 2);

    // Each keeps its answer when the operator changes how many requests a payment pays for, and none is run again.
    let text = std::fs::read_to_string(stack.config()).unwrap();
    for (from, to) in [("uses = 2", "uses = 1"), ("uses = 1", "uses = 2")] {
        assert!(stack.process.take().unwrap().terminate().success());
        std::fs::write(stack.config(), text.replace("uses = 2", to)).unwrap();
        stack.up().await;
        for request in [2, 1] {
            let asked = Asked { url: format!("{}/paid/{request}", stack.gateway), ..first.clone() };
            let answer = asked.send(&stack).await;
            assert_eq!(answer.body, format!("GET /base/paid/{request} HTTP/1.1"), "{from} became {to}");
        }
        assert_eq!(service.asked(), 2, "{from} became {to}");
    }
    stack.kill();
}
