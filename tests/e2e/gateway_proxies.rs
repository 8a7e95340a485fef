//! The gateway behind proxies, by the lines of the documentation, and what it tells strangers.

use std::net::IpAddr;
use std::process::Command;

use reqwest::StatusCode;
use salt402_tests::{Stack, StackOptions, free_port, inference, root};

use crate::SALT402;
use crate::proxies::start;

/// A block of the page about proxies, in a language, that says something.
fn snippet(language: &str, says: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/proxy.md")).unwrap();
    let begins = format!("```{language}\n");
    let mut blocks = page.split(&begins).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.contains(says)).expect("a block of the page").to_owned()
}

/// Nobody is whom it says it is, and each address has its own limit.
async fn goes_by_who_asks(stack: &Stack, port: u16, what: &str) {
    let ask = async |from: &str, claims: Option<&str>| {
        let from: IpAddr = from.parse().unwrap();
        let client = reqwest::Client::builder().no_proxy().local_address(from).build().unwrap();
        let mut request = client.post(format!("http://127.0.0.1:{port}/v1/inference")).json(&inference(what));
        if let Some(claims) = claims {
            request = request.header("x-forwarded-for", claims);
        }
        request.send().await.map(|answer| answer.status())
    };
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(std::time::Instant::now() < give_up, "{what} did not start");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(ask("127.0.0.2", Some("203.0.113.9")).await.unwrap(), StatusCode::PAYMENT_REQUIRED, "{what}");
    assert_eq!(ask("127.0.0.2", Some("203.0.113.8")).await.unwrap(), StatusCode::TOO_MANY_REQUESTS, "{what}");
    assert_eq!(ask("127.0.0.2", None).await.unwrap(), StatusCode::TOO_MANY_REQUESTS, "{what}");
    // Nobody else's limit was used up.
    assert_eq!(ask("127.0.0.3", Some("127.0.0.2")).await.unwrap(), StatusCode::PAYMENT_REQUIRED, "{what}");
    let direct = stack.infer(&inference(what), &[("x-forwarded-for", "203.0.113.9")]).await;
    assert_eq!(direct.status, StatusCode::PAYMENT_REQUIRED, "{what}");
}

fn limited() -> StackOptions {
    let sections =
        "[limits]\nper_address = { per_minute = 1, burst = 1 }\ntrusted_proxies = [\"127.0.0.1/32\"]";
    StackOptions { sections: sections.into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_documented_nginx_a_client_is_who_it_is() {
    let stack = Stack::start_with(SALT402, limited()).await;
    let (port, home) = (free_port(), stack.folder().display().to_string());
    let location =
        snippet("nginx", "location /").replace("127.0.0.1:4021", stack.gateway.trim_start_matches("http://"));
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|of| format!("{of}_temp_path {home}/{of};\n"));
    let config = format!(
        "daemon off;\npid {home}/nginx.pid;\nerror_log {home}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n{}\
         server {{ listen 127.0.0.1:{port};\n{location} }} }}",
        paths.concat()
    );
    let file = stack.folder().join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let _nginx = start(Command::new("nginx").arg("-p").arg(stack.folder()).arg("-c").arg(&file));
    goes_by_who_asks(&stack, port, "nginx").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_documented_caddy_a_client_is_who_it_is() {
    let stack = Stack::start_with(SALT402, limited()).await;
    let port = free_port();
    let site = snippet("caddyfile", "reverse_proxy")
        .replace("api.example.com", &format!("http://127.0.0.1:{port}"))
        .replace("127.0.0.1:4021", stack.gateway.trim_start_matches("http://"));
    let file = stack.folder().join("Caddyfile");
    std::fs::write(&file, format!("{{\nadmin off\nauto_https off\n}}\n{site}")).unwrap();
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
    for home in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(home, stack.folder());
    }
    let _caddy = start(&mut command);
    goes_by_who_asks(&stack, port, "caddy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_not_told_of_nodes() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    std::fs::write(stack.folder().join("token"), "a token for the verifier\n").unwrap();
    let options = StackOptions {
        verifier: "token_file = \"token\"".into(),
        nodes: "rpc = \"http://node.invalid:8545\"".into(),
        ..Default::default()
    };
    stack.configure(&options);
    stack.process = Some(stack.role("up"));
    let bearer = [("authorization", "Bearer a token for the verifier")];
    let ask = async |stack: &Stack, url: String, known: bool| {
        let mut request = stack.client.get(url);
        for (name, value) in bearer.into_iter().filter(|_| known) {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let ready = |base: &str| format!("{base}/readyz");
    let metrics = |base: &str| format!("{base}/metrics");
    for base in [stack.gateway.clone(), stack.verifier.clone()] {
        stack.until(&ready(&base), |answer| answer.status == StatusCode::SERVICE_UNAVAILABLE).await;
        let (_, said) = ask(&stack, ready(&base), false).await;
        assert!(said.contains("not_ready") && !said.contains("invalid") && !said.contains("local"), "{said}");
        let (status, said) = ask(&stack, metrics(&base), false).await;
        assert!([StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND].contains(&status), "{status} {said}");
        let (status, _) = ask(&stack, metrics(&base), true).await;
        assert_eq!(
            status,
            if base == stack.gateway { StatusCode::NOT_FOUND } else { StatusCode::OK },
            "{base}"
        );
    }
    let (status, said) = ask(&stack, ready(&stack.verifier), true).await;
    assert!(
        status == StatusCode::SERVICE_UNAVAILABLE && said.contains("local"),
        "the operator is told: {said}"
    );
    let (_, said) = ask(&stack, ready(&stack.gateway), true).await;
    assert!(!said.contains("local"), "{said}");

    // A gateway alone has its metrics behind the token.
    stack.process = None;
    let _verifier = stack.role("verify");
    let _alone = stack.role("serve");
    stack.until(&metrics(&stack.gateway), |answer| answer.status == StatusCode::UNAUTHORIZED).await;
    assert_eq!(ask(&stack, metrics(&stack.gateway), true).await.0, StatusCode::OK);
}
