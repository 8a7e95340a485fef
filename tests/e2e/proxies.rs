//! A paid path before a plain file server, by forward-auth: asked as each proxy asks, and through the real proxies with
//! the configurations of the documentation.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use salt402_tests::{Stack, StackOptions, payment_details, root};

use crate::SALT402;

pub(crate) fn priced() -> StackOptions {
    let sections = r#"
[forward_auth]
wait_ms = 5000

[[forward_auth.routes]]
path = "/free/*"
price = "0"

[[forward_auth.routes]]
path = "/paid/*"
methods = ["GET", "HEAD"]
price = "777"
description = "a file"
"#;
    StackOptions { sections: sections.into(), ..Default::default() }
}

/// A process that is ended with its test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let give_up = Instant::now() + Duration::from_secs(5);
        while Instant::now() < give_up && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn start(command: &mut Command) -> Running {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Running(child.unwrap_or_else(|error| panic!("{name}: {error}; run `make proxies`")))
}

/// A file server that knows nothing of payments, and counts what it serves in its log.
pub(crate) struct Files {
    _server: Running,
    pub(crate) port: u16,
    log: std::path::PathBuf,
}

impl Files {
    pub(crate) fn start(folder: &Path) -> Self {
        let files = folder.join("files");
        for place in ["paid", "free"] {
            std::fs::create_dir_all(files.join(place)).unwrap();
            std::fs::write(files.join(place).join("file.txt"), format!("a {place} file\n")).unwrap();
        }
        let (port, log) = (salt402_tests::free_port(), folder.join("files.log"));
        let server = Command::new("python3")
            .args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"])
            .arg(&files)
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .expect("python3");
        Self { _server: Running(server), port, log }
    }

    pub(crate) fn served(&self) -> usize {
        std::fs::read_to_string(&self.log).unwrap().matches("GET /paid/file.txt").count()
    }
}

/// Paid once, through a proxy at `base`: refused, paid, served, refused again.
async fn pays_its_way(stack: &mut Stack, base: &str, files: &Files) {
    let (free, paid) = (format!("{base}/free/file.txt"), format!("{base}/paid/file.txt"));
    let answer = stack.until(&free, |answer| answer.status == StatusCode::OK).await;
    assert_eq!(answer.body, "a free file\n");

    let unpaid = stack.get(&paid).await;
    let details = payment_details(&unpaid);
    assert_eq!(details.amount.to_string(), "777");
    assert_eq!(details.resource.path, "/paid/file.txt");
    assert!(unpaid.headers["cache-control"].to_str().unwrap().contains("no-store"));
    assert!(unpaid.headers["vary"].to_str().unwrap().contains("X-Payment-Proof"), "{:?}", unpaid.headers);
    let proof = stack.payer().pay(&details).await.to_string();
    let show = |path: &str, extra: Option<(&'static str, &'static str)>| {
        let mut request = stack.client.get(path).header("x-payment-proof", &proof);
        request = request.header("x-payment-quote", details.quote_id.as_str());
        if let Some((name, value)) = extra {
            request = request.header(name, value);
        }
        async move {
            let response = request.send().await.unwrap();
            (response.status(), response.headers().clone(), response.text().await.unwrap())
        }
    };
    // A client that names another request itself does not get it for this price.
    for name in ["X-Original-URI", "X-Forwarded-Uri"] {
        let (status, ..) = show(&format!("{base}/paid/other.txt"), Some((name, "/paid/file.txt"))).await;
        assert!(status != StatusCode::OK && status != StatusCode::NOT_FOUND, "{name}: {status}");
    }
    // Who reads the hash off the chain gets nothing for it, nor with a quote of its own.
    let own = payment_details(&stack.get(&paid).await);
    assert_ne!(own.reference, details.reference);
    for quote in [None, Some(own.quote_id.as_str())] {
        let mut request = stack.client.get(&paid).header("x-payment-proof", &proof);
        if let Some(quote) = quote {
            request = request.header("x-payment-quote", quote);
        }
        let status = request.send().await.unwrap().status();
        assert_eq!(status, StatusCode::PAYMENT_REQUIRED, "{quote:?}");
    }
    assert_eq!(files.served(), 0);
    let (status, headers, body) = show(&paid, None).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "a paid file\n"));
    // What the file server allowed a cache before is allowed no more.
    assert!(headers["cache-control"].to_str().unwrap().contains("no-store"));
    assert!(
        headers.get_all("vary").iter().any(|value| value.to_str().unwrap().contains("X-Payment-Proof")),
        "{headers:?}"
    );
    let (status, headers, _) = show(&paid, None).await;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED, "one payment is one request");
    assert!(headers.contains_key("x-payment-details"));
    assert_eq!(files.served(), 1);
    let (status, ..) = show(&format!("{base}/paid/../paid/file.txt"), None).await;
    assert_ne!(status, StatusCode::OK);
    assert_eq!(files.served(), 1);
}

/// A refusal that is no matter of payment reaches the client as what it is, with its code.
async fn says_what_else_is_wrong(stack: &Stack, base: &str) {
    for (path, proof, status, code) in [
        ("/paid/file.txt", Some("0x12"), StatusCode::BAD_REQUEST, "malformed_proof"),
        ("/none/file.txt", None, StatusCode::FORBIDDEN, "no_price"),
        ("/paid//file.txt", None, StatusCode::BAD_REQUEST, "malformed_parameter"),
    ] {
        let mut request = stack.client.get(format!("{base}{path}"));
        if let Some(proof) = proof {
            request = request.header("x-payment-proof", proof);
        }
        let answer = request.send().await.unwrap();
        let told = answer.headers().get("x-payment-code").map(|code| code.to_str().unwrap().to_owned());
        assert_eq!((answer.status(), told.as_deref()), (status, Some(code)), "{path}");
    }
}

/// A proxy that asks, and where.
pub(crate) struct Proxy {
    pub(crate) base: String,
    _process: Running,
}

impl Proxy {
    fn start(port: u16, command: &mut Command) -> Self {
        Self { base: format!("http://127.0.0.1:{port}"), _process: start(command) }
    }
}

/// Whose pages are let in.
const APP: &str = "https://app.example";

/// Caddy with the documented configuration, which asks at `salt402` before it hands on to `backend`.
pub(crate) fn caddy(folder: &Path, salt402: &str, backend: u16) -> Proxy {
    caddy_for(APP, folder, salt402, backend)
}

/// The same, for pages of an origin.
fn caddy_for(pages: &str, folder: &Path, salt402: &str, backend: u16) -> Proxy {
    let port = salt402_tests::free_port();
    let config = root().join("docs/proxies/Caddyfile");
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
    command.env("PORT", port.to_string()).env("SALT402", salt402.trim_start_matches("http://"));
    command.env("BACKEND", format!("127.0.0.1:{backend}")).env("PAGES", pages);
    for home in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(home, folder);
    }
    Proxy::start(port, &mut command)
}

/// nginx, likewise.
pub(crate) fn nginx(folder: &Path, salt402: &str, backend: u16) -> Proxy {
    let port = salt402_tests::free_port();
    let text = std::fs::read_to_string(root().join("docs/proxies/nginx.conf")).unwrap();
    let text = text
        .replace("@HOME@", &folder.display().to_string())
        .replace("@PORT@", &port.to_string())
        .replace("@SALT402@", salt402.trim_start_matches("http://"))
        .replace("@PAGES@", APP)
        .replace("@BACKEND@", &format!("127.0.0.1:{backend}"));
    let config = folder.join("nginx.conf");
    std::fs::write(&config, text).unwrap();
    Proxy::start(port, Command::new("nginx").arg("-p").arg(folder).arg("-c").arg(&config))
}

/// HAProxy, likewise.
pub(crate) fn haproxy(_folder: &Path, salt402: &str, backend: u16) -> Proxy {
    let port = salt402_tests::free_port();
    let mut command = Command::new("haproxy");
    command.arg("-f").arg(root().join("docs/proxies/haproxy.cfg"));
    command.env("HOME_DIR", root().join("docs/proxies")).env("PORT", port.to_string());
    command.env("SALT402", salt402.trim_start_matches("http://"));
    command.env("BACKEND", format!("127.0.0.1:{backend}")).env("PAGES", APP);
    Proxy::start(port, &mut command)
}

/// What a page needs to pay, for pages of one origin and of no other.
async fn lets_pages_in(stack: &Stack, base: &str, files: &Files) {
    let served = files.served();
    let ask = async |method: &str, path: &str, origin: &str| {
        let mut request = stack.client.request(method.parse().unwrap(), format!("{base}{path}"));
        request = request.header("origin", origin);
        if method == "OPTIONS" {
            request = request
                .header("access-control-request-method", "GET")
                .header("access-control-request-headers", "authorization,x-payment-proof,x-payment-quote");
        }
        let answer = request.send().await.unwrap();
        let told = |name: &str| {
            let values: Vec<_> = answer.headers().get_all(name).iter().collect();
            assert!(values.len() < 2, "{name}: {values:?}");
            values.first().map(|value| value.to_str().unwrap().to_lowercase())
        };
        let origin = told("access-control-allow-origin");
        let headers = (told("access-control-allow-headers"), told("access-control-expose-headers"));
        (answer.status(), origin, headers)
    };
    let stranger = "https://other.example";
    let (status, origin, (sends, _)) = ask("OPTIONS", "/paid/file.txt", APP).await;
    assert_eq!((status.is_success(), origin.as_deref()), (true, Some(APP)));
    assert_eq!(sends.as_deref(), Some("authorization,x-payment-proof,x-payment-quote"));
    let (status, origin, _) = ask("OPTIONS", "/paid/file.txt", stranger).await;
    assert_eq!((status, origin), (StatusCode::FORBIDDEN, None), "OPTIONS has no price");
    for (path, wanted) in [
        ("/paid/file.txt", StatusCode::PAYMENT_REQUIRED),
        ("/none/file.txt", StatusCode::FORBIDDEN),
        ("/free/file.txt", StatusCode::OK),
    ] {
        let (status, origin, (_, reads)) = ask("GET", path, APP).await;
        assert_eq!((status, origin.as_deref()), (wanted, Some(APP)), "{path}");
        let reads = reads.unwrap();
        for name in ["x-payment-details", "x-payment-code", "retry-after"] {
            assert!(reads.split(", ").any(|known| known == name), "{path}: {name} in {reads}");
        }
        let (status, origin, _) = ask("GET", path, stranger).await;
        assert_eq!((status, origin), (wanted, None), "{path}");
    }
    assert_eq!(files.served(), served);
}

/// A file server, and Caddy before it that lets all pages in.
pub(crate) fn files_for_pages(stack: &Stack) -> (Proxy, impl Drop + use<>) {
    let files = Files::start(stack.folder());
    let proxy = caddy_for("*", stack.folder(), &stack.verifier, files.port);
    (proxy, files._server)
}

async fn asks_before_it_serves(proxy: fn(&Path, &str, u16) -> Proxy) {
    let mut stack = Stack::start_with(SALT402, priced()).await;
    let files = Files::start(stack.folder());
    let proxy = proxy(stack.folder(), &stack.verifier, files.port);
    pays_its_way(&mut stack, &proxy.base, &files).await;
    says_what_else_is_wrong(&stack, &proxy.base).await;
    lets_pages_in(&stack, &proxy.base, &files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_asks_before_it_serves() {
    asks_before_it_serves(caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_asks_before_it_serves() {
    asks_before_it_serves(nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_asks_before_it_serves() {
    asks_before_it_serves(haproxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traefik_and_envoy_ask_in_their_own_ways() {
    let stack = Stack::start_with(SALT402, priced()).await;
    let auth = format!("{}/v1/forward-auth", stack.verifier);
    let ask = async |url: &str, headers: &[(&str, &str)]| {
        let mut request = stack.client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        salt402_tests::Answer { status, headers, body: response.text().await.unwrap() }
    };
    let traefik =
        [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/paid/x?a=b"), ("x-forwarded-host", "h")];
    let details = payment_details(&ask(&auth, &traefik).await);
    assert_eq!(details.resource.path, "/paid/x?a=b");
    let envoy = format!("{auth}/paid/x?a=b");
    assert_eq!(
        payment_details(&ask(&envoy, &[]).await).resource.request_digest,
        details.resource.request_digest
    );

    let proof = stack.payer().pay(&details).await.to_string();
    let payment = [("x-payment-proof", proof.as_str()), ("x-payment-quote", details.quote_id.as_str())];
    let passed = ask(&envoy, &payment).await;
    assert_eq!(passed.status, StatusCode::OK, "{}", passed.body);
    assert_eq!(passed.headers["cache-control"], "no-store, private");
    assert_eq!(passed.headers["vary"], salt402_http::PAYMENT_HEADERS);
    assert_eq!(passed.headers["x-payment-payer"], "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
    assert_eq!(passed.headers["x-payment-amount"], "777");
    let timing = passed.headers["server-timing"].to_str().unwrap();
    assert!(timing.starts_with("payment;desc=\"verify and claim\";dur="), "{timing}");
    let again = ask(&auth, &[&traefik[..], &payment].concat()).await;
    assert_eq!((again.status, again.code().as_str()), (StatusCode::PAYMENT_REQUIRED, "already_claimed"));

    // `again_within_s` is for who was quoted, and for nobody who reads the hash.
    let bare = ask(&auth, &[&traefik[..], &payment[..1]].concat()).await;
    assert_eq!((bare.status, bare.code().as_str()), (StatusCode::PAYMENT_REQUIRED, "quote_required"));

    // Which request? None, two, or one that no price is set for.
    let both = [&traefik[..], &[("x-original-method", "GET"), ("x-original-uri", "/free/x")]].concat();
    for (headers, status, code) in [
        (&[][..], 400, "malformed_header"),
        (&both[..], 400, "malformed_header"),
        (&[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/none")][..], 403, "no_price"),
        (&[("x-forwarded-method", "POST"), ("x-forwarded-uri", "/paid/x")][..], 403, "no_price"),
        (
            &[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/free/%2e%2e/paid/x")][..],
            400,
            "malformed_parameter",
        ),
    ] {
        let answer = ask(&auth, headers).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{headers:?}");
    }
    let free = ask(&auth, &[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/free/x")]).await;
    assert_eq!(free.status, StatusCode::OK);
}
