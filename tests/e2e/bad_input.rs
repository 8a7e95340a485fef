//! Bad input gets a typed refusal, and leaves nothing behind.

use std::process::Command;

use reqwest::StatusCode;
use salt402_tests::{Answer, Stack, StackOptions, inference};
use serde_json::{Value, json};

use crate::SALT402;

/// A token's address.
const TOKEN: &str = "0x3333333333333333333333333333333333333333";

fn problem(answer: &Answer, status: u16, code: &str) {
    let problem = answer.json();
    assert_eq!(answer.status.as_u16(), status, "{problem}");
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:salt402:problem:{code}"));
    assert!(problem["title"].is_string() && problem["detail"].as_str().is_some_and(|text| text.len() > 10));
    assert_eq!(answer.headers["content-type"], "application/problem+json");
}

async fn raw(stack: &Stack, url: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
    let response = stack.client.post(url).header("content-type", kind).body(body).send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, body: response.text().await.unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verifier_refuses_what_has_no_one_reading() {
    let stack = Stack::start(SALT402).await;
    let quotes = format!("{}/v1/quotes", stack.verifier);
    let verify = format!("{}/v1/verify", stack.verifier);
    let good = json!({
        "chain": "eip155:40204",
        "payee": salt402_tests::PAYEE,
        "asset": "native",
        "amount": "5",
        "request_digest": format!("0x{}", "77".repeat(32)),
    });
    assert_eq!(stack.post(&quotes, &good, &[]).await.status, StatusCode::OK);
    let with = |key: &str, value: Value| {
        let mut changed = good.clone();
        changed[key] = value;
        changed
    };
    let beyond = format!("1{}", "0".repeat(78));
    for bad in [
        with("amount", json!("-1")),
        with("amount", json!("1.5")),
        with("amount", json!("1e18")),
        with("amount", json!(beyond)),
        with("amount", json!(5)),
        with("amount", json!("")),
        with("chain", json!("40204")),
        with("chain", json!("eip155:99999999999999999999")),
        with("asset", json!("SALT")),
        with("payee", json!("0x3c44CdDdB6a900fa2b585dd299e03d12FA4293BC")),
        with("payee", json!("0x3C44")),
        with("request_digest", json!("0x77")),
        with("unknown_field", json!(1)),
        json!([]),
        json!("text"),
    ] {
        problem(&stack.post(&quotes, &bad, &[]).await, 400, "malformed_json");
    }
    problem(&stack.post(&quotes, &with("amount", json!("0")), &[]).await, 422, "invalid_request");
    problem(&stack.post(&quotes, &with("chain", json!("eip155:1")), &[]).await, 400, "unknown_chain");
    let zero = format!("0x{}", "0".repeat(40));
    problem(&stack.post(&quotes, &with("payee", json!(zero)), &[]).await, 422, "invalid_request");

    for bad in ["", "{", "{\"chain\":\"eip155:40204\",\"chain\":\"eip155:40204\"}", "\u{0}", "null"] {
        problem(&raw(&stack, &quotes, "application/json", bad).await, 400, "malformed_json");
    }
    problem(&raw(&stack, &quotes, "application/json", vec![0xff, 0xfe]).await, 400, "malformed_json");
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    problem(&raw(&stack, &quotes, "application/json", deep).await, 400, "malformed_json");
    problem(&raw(&stack, &quotes, "text/plain", good.to_string()).await, 415, "unsupported_media_type");
    problem(&raw(&stack, &quotes, "application/json", vec![b' '; 20_000]).await, 413, "body_too_large");

    let ask = |proof: Value, quote: Value| {
        let mut ask = json!({ "proof": proof, "requirement": good, "claim": true });
        if !quote.is_null() {
            ask["quote_id"] = quote;
        }
        ask
    };
    for proof in [json!("0x12"), json!("zz"), json!(format!("0x{}", "12".repeat(33))), json!(7), Value::Null]
    {
        problem(&stack.post(&verify, &ask(proof, Value::Null), &[]).await, 400, "malformed_json");
    }
    let hash = json!(format!("0x{}", "12".repeat(32)));
    problem(&stack.post(&verify, &ask(hash.clone(), json!("short")), &[]).await, 400, "malformed_json");
    let forged = stack.post(&verify, &ask(hash.clone(), json!("A".repeat(264))), &[]).await.json();
    // Nobody knows yet what the transaction paid.
    assert_eq!((&forged["status"], &forged["code"]), (&json!("pending"), &json!("payment_not_seen")));
    assert!(forged["detail"].as_str().unwrap().contains("quote_forged"), "{forged}");

    let payments = format!("{}/v1/payments", stack.verifier);
    let hash = hash.as_str().unwrap();
    problem(&stack.get(&format!("{payments}/0x12?chain=eip155:40204")).await, 400, "malformed_proof");
    problem(&stack.get(&format!("{payments}/{hash}")).await, 400, "malformed_parameter");
    problem(&stack.get(&format!("{payments}/{hash}?chain=citrate")).await, 400, "malformed_parameter");
    problem(&stack.get(&format!("{payments}/{hash}?chain=eip155:8453")).await, 400, "unknown_chain");
    problem(&stack.get(&format!("{}/v2/none", stack.verifier)).await, 404, "not_found");
    problem(&stack.get(&quotes).await, 405, "method_not_allowed");
    let status = stack.status().await;
    assert_eq!((status["claims"].as_u64(), status["chains"][0]["payments"].as_u64()), (Some(0), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_refuses_what_has_no_one_reading() {
    let options = StackOptions { gateway: "max_body_bytes = 4096".into(), ..Default::default() };
    let stack = Stack::start_with(SALT402, options).await;
    let url = format!("{}/v1/inference", stack.gateway);
    let body = inference("hello");
    let hash = format!("0x{}", "12".repeat(32));
    for (name, value, code) in [
        ("x-payment-proof", "0x12", "malformed_proof"),
        ("x-payment-proof", "", "malformed_proof"),
        ("x-payment-quote", "nonsense", "malformed_quote"),
        ("x-payment-binding", "other", "malformed_header"),
    ] {
        problem(&stack.infer(&body, &[(name, value)]).await, 400, code);
    }
    problem(
        &stack.infer(&body, &[("x-payment-proof", &hash), ("X-PAYMENT-PROOF", &hash)]).await,
        400,
        "malformed_header",
    );
    let not_text = reqwest::header::HeaderValue::from_bytes(b"0x\xff\xfe").unwrap();
    let response =
        stack.client.post(&url).json(&body).header("x-payment-proof", not_text).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.json::<Value>().await.unwrap()["code"], "malformed_header");

    for bad in [
        json!({ "model": "counted" }),
        json!({ "model": "counted", "prompt": 5 }),
        json!({ "model": "counted", "prompt": "x", "max_tokens": -1 }),
        json!({ "model": "counted", "prompt": "x", "max_tokens": 1.5 }),
        json!({ "model": "counted", "prompt": "x", "max_tokens": 4_294_967_296_u64 }),
        json!({ "model": "counted", "prompt": "x", "surprise": true }),
    ] {
        problem(&stack.infer(&bad, &[]).await, 400, "malformed_json");
    }
    for bad in [
        json!({ "model": "counted", "prompt": "" }),
        json!({ "model": "counted", "prompt": "x", "max_tokens": 0 }),
        json!({ "model": "counted", "prompt": "x", "max_tokens": 4097 }),
        json!({ "model": "counted", "prompt": "x", "temperature": 3 }),
    ] {
        problem(&stack.infer(&bad, &[]).await, 422, "invalid_request");
    }
    problem(&stack.infer(&json!({ "model": "none", "prompt": "x" }), &[]).await, 404, "unknown_model");
    problem(&stack.infer(&inference(&"x".repeat(5000)), &[]).await, 413, "body_too_large");
    problem(&raw(&stack, &url, "application/json", "{").await, 400, "malformed_json");
    problem(&raw(&stack, &url, "text/plain", body.to_string()).await, 415, "unsupported_media_type");
    problem(&stack.get(&url).await, 405, "method_not_allowed");
    assert_eq!(stack.upstream.asked(), 0);
    assert_eq!(stack.status().await["claims"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_not_waited_for_for_ever() {
    use std::io::{Read as _, Write as _};
    let stack = Stack::start(SALT402).await;
    for address in [&stack.verifier, &stack.gateway] {
        let path = if address == &stack.verifier { "/v1/quotes" } else { "/v1/inference" };
        let host = address.trim_start_matches("http://").to_owned();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
        );
        let said = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(host).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut said = vec![0; 4096];
            let length = stream.read(&mut said).unwrap();
            String::from_utf8_lossy(&said[..length]).into_owned()
        });
        let said = said.await.unwrap();
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("request_timeout"), "{said}");
    }
}

/// Bytes as they are, and everything that comes back.
async fn bytes(address: &str, request: Vec<u8>) -> String {
    use std::io::{Read as _, Write as _};
    let host = address.trim_start_matches("http://").to_owned();
    let said = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        let _ = stream.write_all(&request);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    said.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_with_two_readings_have_none() {
    let stack = Stack::start(SALT402).await;
    let good = inference("bytes").to_string();
    let ask = async |headers: &str, body: &[u8]| {
        let head = format!(
            "POST /v1/inference HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        bytes(&stack.gateway, [head.as_bytes(), body].concat()).await
    };
    let json = "content-type: application/json\r\n";
    assert!(ask(json, good.as_bytes()).await.starts_with("HTTP/1.1 402 "));

    // Bodies: a key twice, half a character, more than one value, another encoding of text, numbers beyond any.
    let deep = format!("{{\"model\":\"counted\",\"prompt\":{}{}}}", "[".repeat(400), "]".repeat(400));
    for body in [
        "{\"model\":\"counted\",\"prompt\":\"a\",\"prompt\":\"b\"}".as_bytes(),
        "{\"model\":\"counted\",\"prompt\":\"a\",\"prom\\u0070t\":\"b\"}".as_bytes(),
        b"{\"model\":\"counted\",\"prompt\":\"\\ud800\"}",
        b"{\"model\":\"counted\",\"prompt\":\"\\udc00\\ud800\"}",
        b"{\"model\":\"counted\",\"prompt\":\"\xff\"}",
        b"\xef\xbb\xbf{\"model\":\"counted\",\"prompt\":\"a\"}",
        b"{\"model\":\"counted\",\"prompt\":\"a\"}{}",
        b"{\"model\":\"counted\",\"prompt\":\"a\"}\0",
        b"{\"model\":\"counted\",\"prompt\":\"a\",\"max_tokens\":1e1}",
        b"{\"model\":\"counted\",\"prompt\":\"a\",\"max_tokens\":5.0}",
        b"{\"model\":\"counted\",\"prompt\":\"a\",\"max_tokens\":-0}",
        b"{\"model\":\"counted\",\"prompt\":\"a\",\"max_tokens\":99999999999999999999999999}",
        b"{\"model\":\"counted\",\"prompt\":\"a\",\"temperature\":1e999}",
        b"{\"model\":\"counted\",\"prompt\":\"a\",\"temperature\":NaN}",
        b"{\"model\":\"counted\",\"prompt\":\"a\",}",
        b"{'model':'counted','prompt':'a'}",
        b"[\"counted\",\"a\"]",
        deep.as_bytes(),
    ] {
        let said = ask(json, body).await;
        let shown = String::from_utf8_lossy(body);
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("malformed_json"), "{shown}\n{said}");
    }
    // What kind of body: declared twice, in another alphabet, or packed.
    for kind in [
        "content-type: application/json\r\ncontent-type: text/plain\r\n",
        "content-type: application/json\r\ncontent-type: application/json\r\n",
        "content-type: application/json, text/plain\r\n",
        "content-type: application/json; charset=utf-16\r\n",
        "content-type: application/json\r\ncontent-encoding: gzip\r\n",
        "",
    ] {
        let said = ask(kind, good.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 415 "), "{kind}\n{said}");
    }
    // Payment headers: doubled under two spellings, joined, folded, not ASCII, with a space or a null inside.
    let hash = format!("0x{}", "12".repeat(32));
    for (headers, code) in [
        (format!("X-Payment-Proof: {hash}\r\nx-payment-PROOF: {hash}\r\n"), "malformed_header"),
        (format!("X-Payment-Quote: {0}\r\nX-Payment-Quote: {0}\r\n", "A".repeat(264)), "malformed_header"),
        ("X-Payment-Binding: quote\r\nX-Payment-Binding: quote\r\n".to_owned(), "malformed_header"),
        ("X-Payment-Binding: Quote\r\n".to_owned(), "malformed_header"),
        (format!("X-Payment-Proof: {hash}, {hash}\r\n"), "malformed_proof"),
        (format!("X-Payment-Proof: {} {}\r\n", &hash[..30], &hash[30..]), "malformed_proof"),
        (format!("X-Payment-Proof: \"{hash}\"\r\n"), "malformed_proof"),
        (format!("X-Payment-Proof: {}\r\n", hash.replacen("0x", "0X", 1)), "malformed_proof"),
        (format!("X-Payment-Proof: {}\u{e9}\r\n", &hash[..64]), "malformed_header"),
        (format!("X-Payment-Quote: {}==\r\n", "A".repeat(262)), "malformed_quote"),
        (format!("X-Payment-Quote: {}+/\r\n", "A".repeat(262)), "malformed_quote"),
        (format!("X-Payment-Quote: {}\r\n", "A".repeat(265)), "malformed_quote"),
    ] {
        let said = ask(&format!("{json}{headers}"), good.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains(code), "{headers}\n{said}");
    }
    // What the parser of HTTP itself refuses is refused before us, with the status alone.
    for headers in [
        format!("X-Payment-Proof: {hash}\r\n folded\r\n"),
        format!("X-Payment-Proof: {}\0\r\n", &hash[..64]),
        format!("X-Payment-Proof : {hash}\r\n"),
        "content-length: 5\r\n".to_owned(),
    ] {
        let said = ask(&format!("{json}{headers}"), good.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{headers:?}\n{said}");
    }
    // A length and chunks are two lengths. The parser goes by the chunks, as RFC 9112 has it, and takes no second request
    // from such a connection: bytes behind the last chunk are nobody's.
    let both = format!(
        "POST /v1/inference HTTP/1.1\r\nhost: x\r\n{json}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{good}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        good.len()
    );
    let said = bytes(&stack.gateway, both.into_bytes()).await;
    assert!(!said.contains("ok\n") && said.matches("HTTP/1.1 ").count() == 1, "{said}");
    assert_eq!(stack.upstream.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_and_tokens_with_two_readings_have_none() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    std::fs::write(stack.folder().join("token"), "a token for the verifier\n").unwrap();
    let sections =
        "[[forward_auth.routes]]\npath = \"/paid/*\"\nmethods = [\"GET\"]\nprice = \"5\"\n".to_owned();
    let verifier = "token_file = \"token\"".to_owned();
    stack.configure(&StackOptions { verifier, sections, ..Default::default() });
    stack.up().await;
    let ask = async |target: &str, headers: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        bytes(&stack.verifier, request.into_bytes()).await
    };
    let token = "authorization: Bearer a token for the verifier\r\n";
    assert!(ask("/v1/status", token).await.starts_with("HTTP/1.1 200 "));
    for (headers, status) in [
        ("authorization: Bearer a token for the verifier\r\nauthorization: Bearer x\r\n", 400),
        ("x-salt402-token: a token for the verifier\r\nx-salt402-token: a token for the verifier\r\n", 400),
        ("authorization: Bearer a token for the verifier, Bearer x\r\n", 401),
        ("authorization: Bearer  a token for the verifier\r\n", 401),
        ("authorization: Bearer\r\n", 401),
        ("authorization: a token for the verifier\r\n", 401),
        ("x-salt402-token: wrong\r\nauthorization: Bearer a token for the verifier\r\n", 401),
    ] {
        let said = ask("/v1/status", headers).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}\n{said}");
    }
    let payment = format!("/v1/payments/0x{}", "12".repeat(32));
    for target in [
        format!("{payment}?chain=eip155:40204&chain=eip155:40204"),
        format!("{payment}?chain=eip155:40204&chain=eip155:1"),
        format!("{payment}?chain=eip155:040204"),
        format!("{payment}?chain=eip155:40204&x=1"),
        format!("{payment}?chain=%ff"),
        "/v1/incidents?limit=1&limit=2".into(),
        "/v1/incidents?limit=1.0".into(),
    ] {
        let said = ask(&target, token).await;
        assert!(
            said.starts_with("HTTP/1.1 400 ") && said.contains("malformed_parameter"),
            "{target}\n{said}"
        );
    }
    let about = |method: &str, uri: &str| {
        format!("{token}x-forwarded-method: {method}\r\nx-forwarded-uri: {uri}\r\n")
    };
    assert!(ask("/v1/forward-auth", &about("GET", "/paid/x")).await.starts_with("HTTP/1.1 402 "));
    for (headers, code) in [
        (about("get", "/paid/x"), "malformed_header"),
        (about("GET, POST", "/paid/x"), "malformed_header"),
        (about("", "/paid/x"), "malformed_header"),
        (format!("{}x-forwarded-uri: /free/x\r\n", about("GET", "/paid/x")), "malformed_header"),
        (format!("{}x-forwarded-method: POST\r\n", about("GET", "/paid/x")), "malformed_header"),
        (format!("{token}x-forwarded-uri: /paid/x\r\nx-original-method: GET\r\n"), "malformed_header"),
        (about("GET", "http://h/paid/x"), "malformed_parameter"),
        (about("GET", "/paid/x y"), "malformed_parameter"),
        (about("GET", "/paid/\u{e9}"), "malformed_header"),
        (about("GET", "/free/#/../../paid/x"), "malformed_parameter"),
        (about("GET", "/free/..;/paid/x"), "malformed_parameter"),
        (about("GET", "/p%61id/x"), "malformed_parameter"),
        (about("GET", "/paid/x?_method=POST"), "malformed_header"),
        (format!("{}x_http_method_override: POST\r\n", about("GET", "/paid/x")), "malformed_header"),
        (format!("{}x.payment.payer: 0x12\r\n", about("GET", "/free/x")), "malformed_header"),
        (format!("{}x-payment_payer: 0x12\r\n", about("GET", "/paid/x")), "malformed_header"),
    ] {
        let said = ask("/v1/forward-auth", &headers).await;
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains(code), "{headers}\n{said}");
    }
    // The query of the asking address is a client's: it says nothing. Behind the path it is the request's own.
    for query in ["?a=b", "?refuse_as=401", "?/free/x", "?#", "?x-forwarded-uri=/free/x&_method=POST"] {
        let said = ask(&format!("/v1/forward-auth{query}"), &about("GET", "/paid/x")).await;
        assert!(said.starts_with("HTTP/1.1 402 "), "{query}\n{said}");
    }
    assert!(ask("/v1/forward-auth/paid/x?refuse_as=401", token).await.starts_with("HTTP/1.1 402 "));
    assert!(ask("/v1/forward-auth/", token).await.starts_with("HTTP/1.1 403 "));
    let said = ask("/v1/auth-request?refuse_as=402", &about("GET", "/paid/x")).await;
    assert!(said.starts_with("HTTP/1.1 401 ") && said.contains("x-payment-status: 402\r\n"), "{said}");
}

#[test]
fn a_bad_configuration_names_the_key_and_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("salt402.toml");
    let chain = "[chains.local]\nrpc = \"http://127.0.0.1:1\"\ncontract = \"0x1111111111111111111111111111111111110001\"\n";
    let gateway =
        "[payment]\nchain = \"local\"\npayee = \"0x2222222222222222222222222222222222220002\"\n[gateway]\n";
    let model = "[gateway.models.m]\nupstream = \"demo\"\n";
    let check = |text: &str, variables: &[(&str, &str)]| {
        std::fs::write(&path, text).unwrap();
        let output = Command::new(SALT402)
            .args(["config", "check", "--config"])
            .arg(&path)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), said)
    };
    let good = format!("{chain}{gateway}{model}price_per_request = \"0.001 SALT\"\n");
    assert!(check(&good, &[]).0, "{}", check(&good, &[]).1);
    for (text, expected) in [
        (String::new(), "missing field `chains`"),
        ("[chains.local]\nrpc = 5\n".into(), "line 2"),
        (format!("{chain}colour = \"red\"\n"), "unknown field `colour`"),
        ("[chains.atlantis]\n".into(), "chains.atlantis: there is no network \"atlantis\""),
        (
            chain.replace("0x1111111111111111111111111111111111110001", "0x11"),
            "chains.local.contract: expected a 0x address",
        ),
        (format!("{chain}confirmations = 0\n"), "chains.local.confirmations: expected at least 1"),
        (
            format!("{chain}confirmations = 0\n"),
            "has paid nothing: its sender can still replace it, let it be dropped or let it revert",
        ),
        (format!("{chain}confirmations = \"safe\"\n"), "expected a number of blocks, or \"final\""),
        (
            format!("{chain}confirmations = 1\n[chains.local.policy]\nconfirmations = 2\n"),
            "chains.local.confirmations: is said in chains.local.policy.confirmations too",
        ),
        (
            format!("{chain}[chains.local.policy]\ndepths = [{{ from = \"1\", confirmations = 0 }}]\n"),
            "chains.local.policy.depths[0].confirmations: expected at least 1",
        ),
        (
            format!("{chain}[chains.local.policy]\nexposure = [{{ most = \"1 ETH\" }}]\n"),
            "chains.local.policy.exposure[0].most: expected an amount",
        ),
        (
            format!("{chain}[chains.local.policy]\nexposure = [{{ most = \"1\" }}, {{ most = \"2\" }}]\n"),
            "chains.local.policy.exposure[1]: native is named twice",
        ),
        (
            format!("{chain}least_exit_delay_s = 172800\n"),
            "chains.local.least_exit_delay_s: no vouchers are taken",
        ),
        (
            format!("{chain}vouchers = true\nleast_exit_delay_s = 899\n"),
            "chains.local.least_exit_delay_s: expected 900 to 2592000",
        ),
        (
            format!("{chain}vouchers = true\nleast_exit_delay_s = 2592001\n"),
            "chains.local.least_exit_delay_s: expected 900 to 2592000",
        ),
        (format!("{chain}[chains.local.policy]\nassets = []\n"), "chains.local.policy.assets: an empty list"),
        (
            format!("{chain}[chains.local.policy]\npayees = [\"0x22\"]\n"),
            "chains.local.policy.payees: expected 0x",
        ),
        (format!("{chain}[chains.local.policy]\nafter_loss = \"hope\"\n"), "unknown variant `hope`"),
        (
            format!(
                "{good}[chains.local.policy]\npayees = [\"0x3333333333333333333333333333333333333333\"]\n"
            ),
            "payment.payee: 0x2222222222222222222222222222222222220002 is not in chains.local.policy.payees",
        ),
        (
            format!("{chain}[limits]\nper_address = {{ per_minute = 0 }}\n"),
            "limits.per_address.per_minute: expected 1 to",
        ),
        (
            format!("{chain}[limits]\ntrusted_proxies = [\"localhost\"]\n"),
            "expected an address or a network such as \"10.0.0.0/8\", found \"localhost\"",
        ),
        (
            format!("{good}[[forward_auth.routes]]\npath = \"/paid/*\"\nprice = \"1\"\nuses = 0\n"),
            "forward_auth.routes[0].uses: expected 1 to",
        ),
        ("[chains.local]\nrpc = \"http://127.0.0.1:1\"\n".into(), "either `contract` or `deployments`"),
        (format!("{chain}[verifier]\nmax_wait_ms = 999999\n"), "verifier.max_wait_ms: expected 0 to 120000"),
        (format!("{chain}[verifier]\nlisten = \"nowhere\"\n"), "line 5"),
        (
            format!("{chain}[verifier]\nlisten = \"0.0.0.0:4020\"\n"),
            "verifier.listen: 0.0.0.0:4020 is not loopback",
        ),
        (good.replace("0x2222", "0x22"), "payment.payee: expected"),
        (
            good.replace("chain = \"local\"", "chain = \"base\""),
            "payment.chain: expected a table of [chains]",
        ),
        (good.replace("0.001 SALT", "0.001"), "gateway.models.m.price_per_request: expected an amount"),
        (good.replace("0.001 SALT", "0.001 ETH"), "found the unit \"ETH\""),
        (good.replace("0.001 SALT", "0"), "expected a price"),
        (
            good.replace("[gateway]\n", "[gateway]\nmax_runs = 1\n"),
            "gateway.max_runs: expected 2 to 1000, found 1",
        ),
        (
            good.replace(
                "[gateway]\n",
                "[gateway]\nconnections = { max_bodies_bytes = 1048576 }\nmax_body_bytes = 1048577\n",
            ),
            "gateway.max_body_bytes: is more than gateway.connections.max_bodies_bytes",
        ),
        (format!("{good}max_prompt_bytes = 0\n"), "gateway.models.m.max_prompt_bytes: expected at least 1"),
        (
            format!("{good}price_per_prompt_token = \"{}\"\n", salt402_protocol::U256::MAX),
            "price_per_prompt_token for the longest prompt is beyond",
        ),
        (good.replace("[payment]\n", "[payments]\n"), "unknown field `payments`"),
        (
            format!("{chain}[gateway]\n{model}price_per_request = \"5\"\n"),
            "payment: expected a table [payment]",
        ),
        (
            format!("{good}[[forward_auth.routes]]\npath = \"paid\"\nprice = \"1\"\n"),
            "forward_auth.routes[0].path: expected",
        ),
        (good.replace("\"demo\"", "\"ftp://x\""), "gateway.models.m.upstream: expected"),
        (
            good.replace("[gateway]\n", "[gateway]\nverifier = \"ftp://x\"\n"),
            "gateway.verifier: expected an http(s) address, or unix:/path",
        ),
        (format!("{chain}[verifier]\nsocket_mode = \"0999\"\n"), "expected permissions in octal"),
        (
            format!("{chain}[verifier.connections]\nmax_head_bytes = 5\n"),
            "verifier.connections.max_head_bytes: expected 2048 to 131072, found 5",
        ),
        (
            format!("{chain}[verifier.connections]\ntrusted = [\"10.0.0\"]\n"),
            "verifier.connections.trusted: proxies are named once: write their addresses in trusted_proxies in [limits]",
        ),
        (
            format!("{chain}[webhook]\nurl = \"http://example.com/hook\"\n"),
            "webhook.url: expected an https address, or http on loopback",
        ),
        (format!("{chain}[[chains.local.sources]]\nkind = \"bank\"\n"), "unknown variant `bank`"),
        (
            format!("{chain}[[chains.local.sources]]\nkind = \"salt-channels\"\n"),
            "chains.local.sources[0].contract: expected the 0x address",
        ),
        (
            format!("{chain}[[chains.local.sources]]\nkind = \"eip3009-token\"\ncontract = \"{TOKEN}\"\n"),
            "chains.local.sources[0].payees: expected the 0x addresses",
        ),
        (
            format!("{good}[[chains.local.sources]]\nkind = \"x402-exact-proxy\"\n"),
            "chains.local.sources[0].tokens: expected the 0x addresses",
        ),
        (
            format!("{good}[[chains.local.sources]]\nkind = \"citrate-paywall\"\ntokens = [\"{TOKEN}\"]\n"),
            "chains.local.sources[0].contract: expected",
        ),
        (
            format!(
                "{good}[[chains.local.sources]]\nkind = \"salt-channels\"\ncontract = \"{TOKEN}\"\npayees = []\n"
            ),
            "chains.local.sources[0].payees: is not for channels",
        ),
        (
            format!(
                "{good}[[chains.local.sources]]\nkind = \"salt-channels\"\ncontract = \
                 \"0x1111111111111111111111111111111111110001\"\n"
            ),
            "is followed twice",
        ),
    ] {
        let (ok, said) = check(&text, &[]);
        assert!(!ok && said.contains(expected), "{text}\ngave: {said}\nexpected: {expected}");
    }
    let (ok, said) = check(
        &format!(
            "{good}[[chains.local.sources]]\nkind = \"eip3009-token\"\ncontract = \"{TOKEN}\"\nstart_block = 7\n\
             [[chains.local.sources]]\nkind = \"x402-upto-proxy\"\ntokens = [\"{TOKEN}\"]\n\
             [[chains.local.sources]]\nkind = \"x402-batch-settlement\"\n"
        ),
        &[],
    );
    assert!(ok, "{said}");
    for expected in [
        format!("in the token {TOKEN} by EIP-3009 authorization, from block 7"),
        "the upto proxy 0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002 settled over Permit2".to_owned(),
        "channels in x402's batch settlement 0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003".to_owned(),
        "payments through SaltPay 0x1111111111111111111111111111111111110001".to_owned(),
    ] {
        assert!(said.contains(&expected), "{said}\nexpected: {expected}");
    }
    let (ok, said) = check(&good, &[("SALT402__VERIFIER__MAX_WAIT_MS", "soon")]);
    assert!(!ok && said.contains("SALT402__VERIFIER__MAX_WAIT_MS: invalid type"), "{said}");
    assert!(said.contains("expected u64"), "{said}");
    assert!(check(&good, &[]).1.contains("prompts cost nothing: one of 262144 bytes"));
    let routes = "[[forward_auth.routes]]\npath = \"/paid/*\"\nprice = \"0.0005 SALT\"\nuses = 3\n\
                  [[forward_auth.routes]]\npath = \"/free/*\"\nprice = \"0\"\n";
    let (ok, said) = check(&format!("{good}{routes}"), &[]);
    for price in [
        "m: 0.001 SALT a request and 0 SALT a token, up to 8192 tokens",
        "/paid/* (any method): 0.0005 SALT for 3 requests",
        "/free/* (any method): free",
        "paid to 0x2222222222222222222222222222222222220002 in SALT on eip155:40204",
    ] {
        assert!(ok && said.contains(price), "{said}\nexpected: {price}");
    }
    assert!(!said.contains("base units"), "{said}");
    let (ok, said) = check(&format!("{good}price_per_prompt_token = \"5\"\nmax_prompt_bytes = 99\n"), &[]);
    assert!(
        ok && said.contains("0.000000000000000005 SALT a byte of the prompt")
            && said.contains("up to 99 bytes"),
        "{said}"
    );
    let (ok, said) = check(&good, &[("SALT402__VERIFIER__MAX_WAIT_MS", "1234")]);
    assert!(ok && said.contains("up to 1234 ms"), "{said}");
    let policy = r#"
[chains.local.policy]
confirmations = 2
depths = [{ from = "10 SALT", confirmations = 5 }, { from = "100 SALT", confirmations = "final" }]
exposure = [{ most = "50 SALT" }]
assets = ["native"]
payees = ["0x2222222222222222222222222222222222220002"]
max_age_s = 60
after_loss = "refuse"

[limits]
cool_down_s = 3
per_account = { per_minute = 60, burst = 20 }
per_address = { per_minute = 600 }
trusted_proxies = ["10.0.0.0/8"]
"#;
    let (ok, said) = check(&format!("{good}{policy}"), &[]);
    assert!(ok, "{said}");
    for sentence in [
        "blocks are final with 9 confirmations",
        "less than 10 SALT counts with 2 confirmations, about 1 s after its block",
        "10 SALT and more counts with 5 confirmations, about 4 s after its block",
        "100 SALT and more counts with 9 confirmations, about 8 s after its block, which is final",
        "paid in nothing but SALT",
        "paid to nobody but 0x2222222222222222222222222222222222220002",
        "a payment is accepted up to 60 s after its block",
        "a payer may be granted 50 SALT on payments that are not final; beyond it a payment must be final",
        "a payer whose granted payment left the chain is granted nothing until that is resolved",
        "payments of one account: 60 a minute, 20 at once",
        "between two payments of one account pass 3 s",
        "requests of one address: 600 a minute, 600 at once",
        "X-Forwarded-For is believed of 10.0.0.0/8",
    ] {
        assert!(said.contains(sentence), "{sentence}\nis not in: {said}");
    }
    // What the page on policy shows is what is said.
    let page = std::fs::read_to_string(salt402_tests::root().join("docs/policy.md")).unwrap();
    let block = |kind: &str| page.split(&format!("```{kind}\n")).nth(1).unwrap().split("```").next().unwrap();
    let contract = "contract = \"0x1111111111111111111111111111111111110001\"";
    let (ok, said) = check(&block("toml").replace("deployments = \"deployments\"", contract), &[]);
    assert!(ok, "{said}");
    for line in block("text").lines() {
        assert!(said.contains(line), "{line}\nis not in: {said}");
    }
    let example =
        String::from_utf8(Command::new(SALT402).args(["config", "example"]).output().unwrap().stdout)
            .unwrap();
    // As it is, it would sell to nobody: both placeholders must go.
    let (contract, payee) = (format!("0x{}", "1".repeat(40)), format!("0x{}", "2".repeat(40)));
    let unedited = [
        (example.clone(), "payment.payee"),
        (
            example.replacen(&payee, "0x2222222222222222222222222222222222220002", 9),
            "chains.citrate.contract",
        ),
        (example.replacen(&contract, "0x1111111111111111111111111111111111110001", 9), "payment.payee"),
    ];
    for (text, key) in unedited {
        let (ok, said) = check(&text, &[]);
        let expected = format!("{key}: 0x");
        assert!(!ok && said.contains(&expected) && said.contains("stands in the example"), "{said}");
    }
    let edited = example.replace(&contract, "0x1111111111111111111111111111111111110001");
    let (ok, said) = check(&edited.replace(&payee, "0x2222222222222222222222222222222222220002"), &[]);
    assert!(ok, "{said}");
}

#[test]
fn c35_what_the_check_finds_good_is_not_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("salt402.toml");
    let contract = "contract = \"0x1111111111111111111111111111111111110001\"\n";
    let node = |rpc: &str, ws: &str| format!("[[chains.local.nodes]]\nrpc = \"{rpc}\"\nws = \"{ws}\"\n");
    let http = "http://127.0.0.1:1";
    let webhook = "[webhook]\nurl = \"https://example.com/hook\"\n";
    for (text, expected) in [
        (format!("[chains.local]\nrpc = \"localhost:8545\"\n{contract}"), "rpc has the scheme \"localhost\""),
        (format!("[chains.local]\nrpc = \"ws://127.0.0.1:1\"\n{contract}"), "rpc has the scheme \"ws\""),
        (
            format!("[chains.local]\nrpc = \"{http}\"\nws = \"{http}\"\n{contract}"),
            "ws has the scheme \"http\"",
        ),
        (format!("[chains.local]\n{contract}{}", node("localhost:8545", "ws://127.0.0.1:1")), "nodes[0]"),
        (format!("[chains.local]\n{contract}{}", node(http, http)), "ws has the scheme \"http\""),
        (format!("[chains.local]\nrpc = \"{http}\"\n{contract}{webhook}"), "what signs?"),
        (
            format!("[chains.local]\nrpc = \"{http}\"\n{contract}patience_s = 5\n"),
            "chains.local.patience_s: is stale_after_s now",
        ),
        (
            format!("[chains.local]\nrpc = \"{http}\"\n{contract}stale_after_s = 0\n"),
            "stale_after_s: expected 1 to 90",
        ),
    ] {
        std::fs::write(&path, &text).unwrap();
        let run = |arguments: &[&str]| {
            let mut command = Command::new(SALT402);
            let output = command.args(arguments).arg("--config").arg(&path).output().unwrap();
            (output.status.success(), String::from_utf8(output.stderr).unwrap())
        };
        let (checked, started) = (run(&["config", "check"]), run(&["up"]));
        assert!(!checked.0 && checked.1.contains(expected), "{text}\ngave: {}", checked.1);
        assert!(!started.0 && started.1.contains(expected), "{text}\ngave: {}", started.1);
    }
}
