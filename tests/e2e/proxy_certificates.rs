//! A verifier for other machines, behind Caddy that asks callers for certificates; and configurations of proxies that are
//! not run here.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use salt402_tests::{Stack, free_port, root};
use serde_json::{Value, json};

use crate::SALT402;
use crate::proxies::start;

/// Makes an authority `<name>-ca`, and a key and a certificate of it for `<name>`.
fn certificate(folder: &Path, name: &str) {
    let commands = r#"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=authority of $0" \
            -keyout "$0-ca.key" -out "$0-ca.pem"
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$0" -keyout "$0.key" -out "$0.csr"
        openssl x509 -req -days 2 -in "$0.csr" -CA "$0-ca.pem" -CAkey "$0-ca.key" -CAcreateserial -out "$0.pem" \
            -extfile <(echo "subjectAltName=DNS:localhost")
    "#;
    let made = Command::new("bash").args(["-ec", commands, name]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_lets_only_callers_with_a_certificate_reach_the_verifier() {
    let stack = Stack::start(SALT402).await;
    let folder = stack.folder();
    for name in ["server", "caller", "stranger"] {
        certificate(folder, name);
    }
    let port = free_port();
    let mut command = Command::new("caddy");
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(root().join("docs/proxies/Caddyfile.mtls"));
    command.current_dir(folder).env("BIND", "127.0.0.1").env("PORT", port.to_string());
    command.env("SALT402", stack.verifier.trim_start_matches("http://")).env("CALLERS", "caller-ca.pem");
    for home in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(home, folder);
    }
    let _caddy = start(&mut command);
    let status = |scheme: &str, as_whom: Option<&str>| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--noproxy", "*", "--cacert", "server-ca.pem"]).current_dir(folder);
        if let Some(name) = as_whom {
            curl.args(["--cert", &format!("{name}.pem"), "--key", &format!("{name}.key")]);
        }
        let output = curl.arg(format!("{scheme}://localhost:{port}/v1/status")).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let give_up = Instant::now() + Duration::from_secs(30);
    let (_, answer) = loop {
        let answered = status("https", Some("caller"));
        if answered.0 {
            break answered;
        }
        assert!(Instant::now() < give_up, "Caddy did not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["chains"][0]["chain"], stack.status().await["chains"][0]["chain"]);
    assert_ne!(answer["chains"][0]["chain"], Value::Null);

    for stranger in [None, Some("stranger")] {
        let (answered, text) = status("https", stranger);
        assert!(!answered && text.is_empty(), "{stranger:?} was answered: {text}");
    }
    let (_, text) = status("http", Some("caller"));
    assert!(!text.contains("chains"), "without TLS: {text}");
    assert!(status("https", Some("caller")).0, "it still answers those it knows");
}

fn yaml(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("docs/proxies").join(name)).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

const SHOWN: [&str; 8] = [
    "x-payment-proof",
    "x-payment-quote",
    "x-payment-binding",
    "accept",
    "payment-signature",
    "x-payment",
    "payment-authorization",
    "x402-proof",
];
/// What pages may read of an answer.
const READ: [&str; 15] = [
    "x-payment-details",
    "x-payment-code",
    "retry-after",
    "payment-required",
    "payment-response",
    "x-payment-response",
    "www-authenticate",
    "payment-receipt",
    "x-payment-required",
    "x-payment-amount",
    "x-payment-asset",
    "x-payment-network",
    "x-payment-recipient",
    "x-payment-domain",
    "x-payment-requirements",
];
const TOLD: [&str; 3] = ["x-payment-payer", "x-payment-id", "x-payment-amount"];
/// What asks a server to see another method or path than the one that was paid for.
const TAKEN_AWAY: [&str; 6] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-method",
    "x-original-url",
    "x-rewrite-url",
];
/// What some servers take for a payment's header, or for such a one.
const LIKE: [&str; 2] =
    ["x[^a-z0-9]payment[^a-z0-9].*", "x[^a-z0-9](http[^a-z0-9])?method([^a-z0-9]override)?[^a-z0-9]*"];

#[test]
fn traefiks_configuration_names_the_headers_in_the_right_order() {
    let http = &yaml("traefik.yaml")["http"];
    assert_eq!(http["routers"]["paid"]["middlewares"], json!(["pages", "take-away", "ask", "not-stored"]));
    let ask = &http["middlewares"]["ask"]["forwardAuth"];
    assert_eq!(ask["trustForwardHeader"], false);
    let handed_on = ask["authResponseHeaders"].as_array().unwrap();
    let handed_on: Vec<_> = handed_on.iter().map(|name| name.as_str().unwrap().to_lowercase()).collect();
    assert_eq!(handed_on, TOLD);
    let taken = http["middlewares"]["take-away"]["headers"]["customRequestHeaders"].as_object().unwrap();
    for name in TOLD.into_iter().chain(TAKEN_AWAY) {
        let value = taken.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).expect(name).1;
        assert_eq!(value, "", "an empty value removes");
    }
    let pages = &http["middlewares"]["pages"]["headers"];
    // Browsers let every page send Accept.
    for name in SHOWN.into_iter().filter(|name| *name != "accept") {
        let sent = pages["accessControlAllowHeaders"].as_array().unwrap();
        assert!(sent.iter().any(|sent| sent.as_str().unwrap().eq_ignore_ascii_case(name)), "{name}");
    }
    let read = pages["accessControlExposeHeaders"].as_array().unwrap().iter();
    assert_eq!(read.map(|name| name.as_str().unwrap().to_lowercase()).collect::<Vec<_>>(), READ);
    let set = &http["middlewares"]["not-stored"]["headers"]["customResponseHeaders"];
    assert_eq!(set["Cache-Control"], "no-store, private");
}

#[test]
fn envoys_configuration_shows_what_salt402_needs_and_waits_for_a_block() {
    let listeners = yaml("envoy.yaml")["static_resources"]["listeners"].take();
    let manager = &listeners[0]["filter_chains"][0]["filters"][0]["typed_config"];
    let filters = manager["http_filters"].as_array().unwrap();
    let names: Vec<_> = filters.iter().map(|filter| filter["name"].as_str().unwrap()).collect();
    let wanted =
        ["cors", "header_mutation", "ext_authz", "router"].map(|name| format!("envoy.filters.http.{name}"));
    assert_eq!(names, wanted);
    let hosts = &manager["route_config"]["virtual_hosts"];
    let pages = &hosts[0]["typed_per_filter_config"]["envoy.filters.http.cors"];
    let sent: Vec<_> = pages["allow_headers"].as_str().unwrap().split(", ").collect();
    assert!(SHOWN.iter().all(|name| *name == "accept" || sent.contains(name)), "{sent:?}");
    assert_eq!(pages["expose_headers"], READ.join(", "));
    let removed = &filters[1]["typed_config"]["mutations"]["request_mutations"];
    let taken_away = [&TOLD[..], &TAKEN_AWAY[..]].concat();
    assert_eq!(removed, &json!(taken_away.iter().map(|name| json!({ "remove": name })).collect::<Vec<_>>()));
    let auth = &filters[2]["typed_config"];
    let patterns = |list: &Value| -> Vec<String> {
        let patterns = list["patterns"].as_array().unwrap();
        patterns.iter().filter_map(|pattern| pattern["exact"].as_str().map(str::to_owned)).collect()
    };
    // What only salt402 can tell from the real names is shown to it.
    let like: Vec<_> = auth["allowed_headers"]["patterns"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["safe_regex"]["regex"].as_str())
        .collect();
    assert_eq!(like, LIKE);
    assert_eq!(auth["failure_mode_allow"], false);
    assert_eq!(patterns(&auth["allowed_headers"]), SHOWN);
    let service = &auth["http_service"];
    assert_eq!(
        (&service["path_prefix"], &service["server_uri"]["timeout"]),
        (&json!("/v1/forward-auth"), &json!("60s"))
    );
    let answers = &service["authorization_response"];
    assert_eq!(patterns(&answers["allowed_upstream_headers"]), TOLD);
    let refusals = patterns(&answers["allowed_client_headers"]);
    let receipts = ["payment-response", "x-payment-response", "payment-receipt"];
    let how = READ.into_iter().filter(|name| !receipts.contains(name));
    for name in how.chain(["content-type", "content-security-policy", "cache-control", "vary"]) {
        assert!(refusals.iter().any(|known| known == name), "{name}");
    }
    assert_eq!(patterns(&answers["allowed_client_headers_on_success"]), receipts);
}
