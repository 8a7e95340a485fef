//! The page of metrics says what the program says, and the alerts use nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use salt402_tests::x402::{Terms, X402Payer};
use salt402_tests::{Facilitating, FacilitatorOptions, PAYEE, Stack, StackOptions, inference, root};
use serde_json::json;

use crate::SALT402;

/// A metric as the page has it.
struct Documented {
    kind: String,
    labels: BTreeSet<String>,
}

fn page() -> BTreeMap<String, Documented> {
    let text = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let mut metrics = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `salt402_")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells[..] else { panic!("four cells: {line}") };
        assert!(meaning.len() > 10, "{line}");
        let labels = labels.split(',').map(str::trim).filter(|label| !label.is_empty());
        let documented =
            Documented { kind: kind.to_owned(), labels: labels.map(ToOwned::to_owned).collect() };
        assert!(metrics.insert(name.trim_matches('`').to_owned(), documented).is_none(), "twice: {line}");
    }
    assert!(metrics.len() > 20);
    metrics
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of metrics in a text: whatever begins so and goes on with small letters, digits and underscores.
fn names(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (start, _) in text.match_indices("salt402_") {
        let name: String = text[start..]
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
            .collect();
        found.insert(name);
    }
    found
}

#[test]
fn every_metric_of_the_sources_is_on_the_page_and_every_one_on_the_page_is_in_the_sources() {
    let mut used = BTreeSet::new();
    for floor in ["chain", "store", "http", "indexer", "facilitator", "paywall", "verifier", "gateway", "cli"]
    {
        let mut files = Vec::new();
        sources(&root().join(floor).join("src"), &mut files);
        for file in files {
            let text = std::fs::read_to_string(file).unwrap();
            for macro_name in ["counter!(", "gauge!(", "histogram!("] {
                for (at, _) in text.match_indices(macro_name) {
                    let argument = text[at + macro_name.len()..].trim_start();
                    let name = argument.strip_prefix('"').and_then(|rest| rest.split('"').next());
                    used.insert(
                        name.unwrap_or_else(|| panic!("a metric without a plain name: {argument:.60}"))
                            .to_owned(),
                    );
                }
            }
        }
    }
    let documented: BTreeSet<String> = page().into_keys().collect();
    assert_eq!(used, documented);
}

/// What clients choose is in no label: a flood of other paths, models, proofs and chains makes no series of its own.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_makes_a_series_of_its_own() {
    let stack =
        Stack::start_with(SALT402, StackOptions { gateway: "wait_ms = 0".into(), ..Default::default() })
            .await;
    let series = async || {
        let mut names = BTreeSet::new();
        let page = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
        let lines = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        names.extend(lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()));
        names
    };
    let flood = async |round: u8| {
        for place in 0..20 {
            let made_up = format!("{round}x{place}");
            let digits = format!("{round:02x}{place:02x}").repeat(16);
            let body = inference(&made_up);
            stack.infer(&body, &[("x-payment-proof", &format!("0x{digits}"))]).await;
            stack.infer(&body, &[("x-payment-proof", &format!("permit2:0x{}:{place}", &digits[..40]))]).await;
            stack.infer(&body, &[("x-payment-quote", &made_up)]).await;
            stack.infer(&json!({ "model": made_up, "prompt": "a" }), &[("user-agent", &made_up)]).await;
            stack.get(&format!("{}/{made_up}", stack.gateway)).await;
            stack.get(&format!("{}/{made_up}", stack.verifier)).await;
            stack.get(&format!("{}/v1/payments/0x{digits}?chain=eip155:{place}", stack.verifier)).await;
            stack.get(&format!("{}/v1/forward-auth/{made_up}", stack.verifier)).await;
        }
    };
    flood(1).await;
    let before = series().await;
    assert!(before.len() > 20, "{before:?}");
    flood(2).await;
    let after = series().await;
    let more: Vec<_> = after.difference(&before).collect();
    // The service itself begins some as it goes on: of questions to its node, of blocks, of checkpoints. No label of these
    // is made of what was sent. Of every other family, there is none.
    const OWN: [&str; 3] = ["salt402_node_", "salt402_indexer_", "salt402_store_"];
    for name in &more {
        assert!(OWN.iter().any(|family| name.starts_with(family)), "{name} of {more:?}");
        assert!(!name.contains("2x") && !name.contains("0x02"), "{name} of {more:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_running_service_says_is_what_the_page_says() {
    let mut stack =
        Stack::start_with(SALT402, StackOptions { gateway: "wait_ms = 0".into(), ..Default::default() })
            .await;
    let body = inference("measured");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.infer_with(&body, proof).await.status, StatusCode::OK);
    stack.infer_with(&inference("not paid"), proof).await;
    stack.infer_with(&inference("nobody"), salt402_protocol::B256::repeat_byte(9)).await;
    stack.anvil.reorg(1).await;
    let metrics = format!("{}/metrics", stack.verifier);
    stack
        .until(&metrics, |answer| answer.body.contains("salt402_incidents_open{database=\"salt402.db\"} 1"))
        .await;
    let scraped = stack.get(&metrics).await.body;

    let seen = documented_in(&scraped);
    for wanted in [
        "salt402_indexer_lag_seconds",
        "salt402_indexer_phase",
        "salt402_indexer_reorganization_depth",
        "salt402_store_commit_seconds",
        "salt402_store_wal_bytes",
        "salt402_store_queue",
        "salt402_store_disk_free_bytes",
        "salt402_verdicts_total",
        "salt402_gateway_executions_total",
        "salt402_402_total",
        "salt402_incidents_open",
    ] {
        assert!(seen.contains(wanted), "{wanted} is missing:\n{scraped}");
    }
    assert!(
        scraped.contains("salt402_indexer_phase{chain=\"eip155:40204\",phase=\"following\"} 1"),
        "{scraped}"
    );
    assert!(
        scraped.contains("salt402_indexer_reorganization_depth_bucket{chain=\"eip155:40204\",le=\"1\"} 1"),
        "{scraped}"
    );
}

/// The metrics of a scrape, each with the type and the labels that the page has.
fn documented_in(scraped: &str) -> BTreeSet<String> {
    let page = page();
    let mut seen = BTreeSet::new();
    for line in scraped.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let documented = page.get(name).unwrap_or_else(|| panic!("{name} is not on the page"));
            assert_eq!(documented.kind, kind, "{name}");
            seen.insert(name.to_owned());
        } else if !line.starts_with('#') && !line.is_empty() {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
                name.strip_suffix(end)
                    .filter(|base| page.get(*base).is_some_and(|metric| metric.kind == "histogram"))
            });
            let documented = page.get(base.unwrap_or(name)).unwrap_or_else(|| panic!("{line}"));
            let labels = line.split_once('{').map_or("", |(_, rest)| rest.split('}').next().unwrap());
            let labels: BTreeSet<String> = labels
                .split(',')
                .filter_map(|label| label.split_once('=').map(|(name, _)| name.to_owned()))
                .filter(|label| label != "le")
                .collect();
            // "model or service" is one of the two.
            let named = |label: &String| label.split(" or ").any(|name| labels.contains(name));
            let same = labels.len() == documented.labels.len() && documented.labels.iter().all(named);
            assert!(same, "{line} has other labels than {:?}", documented.labels);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_facilitator_says_is_what_the_page_says() {
    let options = FacilitatorOptions {
        chain: "low_water = \"20000 SALT\"".into(),
        facilitator: "gas_per_day = { payer = 350000 }".into(),
        ..Default::default()
    };
    let mut stand = Facilitating::start_with(SALT402, options).await;
    let (payer, payee) = (X402Payer::new(), PAYEE.parse().unwrap());
    let body = |amount, number| payer.eip3009(&stand.wrapped, &Terms::new(payee, amount, number));
    let (good, poor, more) = (body(5, 1), body(10_u128.pow(30), 2), body(5, 3));
    stand.verify(&good).await;
    assert_eq!(stand.settle(&good).await["success"], true);
    stand.verify(&poor).await;
    stand.settle(&poor).await;
    stand.stack.post(&format!("{}/settle", stand.url), &more, &[]).await;
    let metrics = format!("{}/metrics", stand.stack.verifier);
    let scraped =
        stand.stack.until(&metrics, |answer| answer.body.contains("salt402_settlement_balance{")).await;
    let seen = documented_in(&scraped.body);
    for wanted in [
        "salt402_facilitator_verified_total",
        "salt402_facilitator_settle_seconds",
        "salt402_settlements_total",
        "salt402_settlement_seconds",
        "salt402_settlement_gas_total",
        "salt402_settlement_batch",
        "salt402_settlement_queue",
        "salt402_settlement_low_water",
        "salt402_settlement_refused_total",
    ] {
        assert!(seen.contains(wanted), "{wanted} is missing:\n{}", scraped.body);
    }
    assert!(
        scraped.body.contains("salt402_settlement_low_water{chain=\"eip155:40204\"} 20000"),
        "{}",
        scraped.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_when_a_dollar_was_last_worth_something() {
    let rate = |name: &str, value: &str| {
        let sections = format!("[gateway.usd]\ncommand = [\"/bin/{name}\", \"{value}\"]");
        StackOptions { sections, ..Default::default() }
    };
    let told_at = async |stack: &Stack| -> f64 {
        let page = stack.get(&format!("{}/metrics", stack.verifier)).await.body;
        let name = "salt402_gateway_usd_rate_timestamp_seconds ";
        page.lines().find_map(|line| line.strip_prefix(name)).expect("the metric").parse().unwrap()
    };
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let before = now();
    let stack = Stack::start_with(SALT402, rate("echo", "4 SALT")).await;
    while told_at(&stack).await < before {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(told_at(&stack).await <= now());
    // A program that tells nothing.
    let stack = Stack::start_with(SALT402, rate("false", "4 SALT")).await;
    assert!(told_at(&stack).await == 0.0);
}

#[test]
fn alerts_are_sound_use_documented_metrics_and_are_all_explained() {
    let (page, text) = (page(), std::fs::read_to_string(root().join("docs/alerts.yml")).unwrap());
    let told = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rules: serde_json::Value = serde_yaml_ng::from_str(&text).expect("YAML");
    let rules = rules["groups"][0]["rules"].as_array().expect("rules");
    assert!(rules.len() > 10);
    for rule in rules {
        let name = rule["alert"].as_str().expect("a name");
        assert!(told.contains(&format!("| `{name}` |")), "{name} is not explained in docs/metrics.md");
        assert!(
            rule["labels"]["severity"].is_string() && rule["annotations"]["summary"].is_string(),
            "{name}"
        );
        let expression = rule["expr"].as_str().expect("an expression");
        for metric in names(expression) {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end));
            let known = page.contains_key(&metric)
                || base.and_then(|base| page.get(base)).is_some_and(|metric| metric.kind == "histogram");
            assert!(known, "{name} uses {metric}, which nobody sets");
        }
    }
    let explained = told.lines().filter(|line| line.starts_with("| `Salt402")).count();
    assert_eq!(explained, rules.len(), "an alert is explained that is not in the file");
    // Where Prometheus is at hand, it has the last word.
    if let Ok(checked) = std::process::Command::new("promtool")
        .args(["check", "rules"])
        .arg(root().join("docs/alerts.yml"))
        .output()
    {
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}
