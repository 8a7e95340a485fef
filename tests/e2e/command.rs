//! `salt402 pay` and `salt402 status`, as a user types them.

use std::process::{Command, Output, Stdio};

use salt402_tests::{Stack, StackOptions, inference};
use serde_json::Value;

use crate::SALT402;

const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

async fn salt402(stack: &Stack, arguments: &[&str], key: Option<&str>) -> (Output, String, String) {
    let mut command = Command::new(SALT402);
    let receipts = stack.config().with_file_name("receipts");
    command.args(arguments).env_remove("SALT402_KEY").env("SALT402_RPC_URL", stack.anvil.http());
    command.env("SALT402_RECEIPTS", receipts);
    if let Some(key) = key {
        command.env("SALT402_KEY", key);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output, out, err)
}

#[tokio::test(flavor = "multi_thread")]
async fn pay_pays_within_its_limit_and_prints_the_answer_and_its_cost() {
    let stack = Stack::start(SALT402).await;
    let url = format!("{}/v1/inference", stack.gateway);
    let body = inference("hello").to_string();
    let pay = ["pay", &url, "--network", "local", "--data", &body];
    let with = |more: &[&'static str]| [&pay[..], more].concat();

    let (output, _, err) = salt402(&stack, &with(&["--max", "1015"]), Some(KEY)).await;
    assert!(!output.status.success() && err.contains("the limit is 1015: not paid"), "{err}");
    let (output, _, err) = salt402(&stack, &pay, Some(KEY)).await;
    assert!(!output.status.success() && err.contains("--max"), "{err}");
    let (output, _, err) = salt402(&stack, &with(&["--max", "0.01 SALT"]), None).await;
    assert!(!output.status.success() && err.contains("SALT402_KEY"), "{err}");
    let (output, _, err) = salt402(&stack, &with(&["--max", "0.01 SALT"]), Some("0xnonsense-5ecret")).await;
    assert!(!output.status.success() && !err.contains("5ecret"), "a key is never repeated: {err}");
    let other = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
    let (output, _, err) =
        salt402(&stack, &with(&["--max", "1 SALT", "--recipient", other]), Some(KEY)).await;
    assert!(!output.status.success() && err.contains("not paid"), "{err}");
    assert_eq!(
        (stack.upstream.asked(), stack.status().await["chains"][0]["payments"].clone()),
        (0, Value::from(0))
    );

    let (output, out, err) = salt402(&stack, &with(&["--max", "0.01 SALT"]), Some(KEY)).await;
    assert!(output.status.success(), "{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["output"], "answer 1");
    assert!(err.contains("cost 0.000000000000001016 SALT"), "{err}");
    assert!(!format!("{out}{err}").contains(&KEY[2..]), "a key is never printed");

    let (output, _, err) = salt402(&stack, &with(&["--max", "0.01 SALT", "--json"]), Some(KEY)).await;
    assert!(output.status.success(), "{err}");
    let report: Value = serde_json::from_str(err.lines().last().unwrap()).unwrap();
    assert_eq!(report["amount"], "1016");
    // The payment made just now can be shown again, and costs nothing more.
    let (proof, quote) = (report["transaction"].as_str().unwrap(), report["quote_id"].as_str().unwrap());
    let again = [&pay[..], &["--max", "1", "--proof", proof, "--quote", quote]].concat();
    let (output, out, err) = salt402(&stack, &again, Some(KEY)).await;
    assert!(output.status.success(), "{err}");
    assert!(out.contains("answer 2"), "{out}");
    assert_eq!(stack.upstream.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_people_and_machines_and_its_exit_code_tells_scripts() {
    let mut stack = Stack::start_with(SALT402, StackOptions { idle: true, ..Default::default() }).await;
    let verifier = stack.verifier.clone();
    let ask = ["status", "--url", &verifier];
    let (output, _, err) = salt402(&stack, &ask, None).await;
    assert!(!output.status.success() && err.contains("is `salt402 up` running"), "{err}");
    stack.up().await;
    let (output, out, _) = salt402(&stack, &ask, None).await;
    assert!(output.status.success() && out.contains("ready") && out.contains("eip155:40204"), "{out}");
    let (_, out, _) = salt402(&stack, &[&ask[..], &["--json"]].concat(), None).await;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["ready"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_of_each_chain_its_incidents_what_was_read_and_how_far_behind_it_is() {
    let mut stack =
        Stack::start_with(SALT402, StackOptions { gateway: "wait_ms = 0".into(), ..Default::default() })
            .await;
    let body = inference("lost");
    let details = stack.quote(&body).await;
    let proof = stack.payer().pay(&details).await;
    stack.indexed(stack.anvil.height().await).await;
    assert_eq!(stack.infer_with(&body, proof).await.status, reqwest::StatusCode::OK);
    assert_eq!(stack.status().await["chains"][0]["open_incidents"], 0);
    stack.anvil.reorg(1).await;
    let url = format!("{}/v1/status", stack.verifier);
    stack.until(&url, |answer| answer.json()["chains"][0]["open_incidents"] == 1).await;
    let height = stack.anvil.height().await;
    stack.indexed(height).await;

    let contract = stack.deployment.salt_pay.to_string();
    let told = |status: &Value| {
        let chain = &status["chains"][0];
        assert_eq!((&status["open_incidents"], &chain["open_incidents"]), (&Value::from(1), &Value::from(1)));
        assert_eq!((&chain["indexed"], &chain["behind_s"]), (&Value::from(height), &Value::from(0)));
        let covered = chain["covered"].as_array().unwrap();
        let own: Vec<_> = covered.iter().filter(|blocks| blocks["contract"] == contract.as_str()).collect();
        assert_eq!(own.len(), 1, "all of it was read: {chain}");
        assert!(own[0]["from_block"].as_u64() < Some(height) && own[0]["to_block"] == height, "{chain}");
        own[0]["from_block"].as_u64().unwrap()
    };
    let config = stack.config();
    let ask = ["status", "--url", &stack.verifier.clone(), "--config", config.to_str().unwrap()];
    let (_, out, _) = salt402(&stack, &[&ask[..], &["--json"]].concat(), None).await;
    let from = told(&serde_json::from_str(&out).unwrap());
    let line = format!("read: blocks {from} to {height} of {contract}");
    let (_, out, _) = salt402(&stack, &ask, None).await;
    assert!(
        out.contains("0 behind (0 s)") && out.contains("1 open incidents") && out.contains(&line),
        "{out}"
    );

    // The database says the same when nobody answers.
    stack.kill();
    let (output, out, _) = salt402(&stack, &[&ask[..], &["--json"]].concat(), None).await;
    assert_eq!(output.status.code(), Some(2), "{out}");
    assert_eq!(told(&serde_json::from_str(&out).unwrap()), from);
    let (_, out, _) = salt402(&stack, &ask, None).await;
    assert!(out.contains("1 open incidents") && out.contains(&line), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c35_a_command_whose_output_nobody_reads_ends_quietly() {
    let stack = Stack::start(SALT402).await;
    let at = stack.config();
    let (config, url) = (["--config", at.to_str().unwrap()], ["--url", stack.verifier.as_str()]);
    for (command, at) in [
        (&["config", "check"][..], &config[..]),
        (&["config", "example"], &[]),
        (&["status"], &url),
        (&["status", "--json"], &url),
        (&["status", "--watch"], &url),
        (&["incidents", "list"], &config),
        (&["unserved", "list"], &config),
        (&["channel", "list"], &config),
        (&["chain", "resume"], &config),
    ] {
        // One whose reader is gone before the first line, as of `| head -0`; and one without standard error too.
        for silent in [false, true] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut process = Command::new(SALT402);
            process.args(command).args(at).env_remove("SALT402_KEY");
            let error = if silent { writer.try_clone().unwrap().into() } else { Stdio::piped() };
            process.stdout(writer).stderr(error);
            let output = tokio::task::spawn_blocking(move || process.output().unwrap()).await.unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success() && !said.contains("panicked"), "{command:?}: {said}");
        }
    }
    // What fails says so, and does not panic where that cannot be said.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut process = Command::new(SALT402);
    process.args(["config", "check", "--config", "/nowhere"]).stderr(writer);
    let output = tokio::task::spawn_blocking(move || process.output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn pay_pays_in_a_token_where_that_is_asked() {
    let payment = "asset = \"WRAPPED_SALT\"\nasset_symbol = \"wSALT\"\nasset_decimals = 18".to_owned();
    let stack = Stack::start_with(SALT402, StackOptions { payment, ..Default::default() }).await;
    let token = stack.deployment.wrapped_salt;
    stack.payer().wrap(token, "5000".parse().unwrap()).await;
    let details = stack.quote(&inference("in tokens")).await;
    assert_eq!((details.asset.to_string(), details.symbol.as_str()), (token.to_string(), "wSALT"));

    let url = format!("{}/v1/inference", stack.gateway);
    let (body, token) = (inference("in tokens").to_string(), token.to_string());
    let pay = ["pay", &url, "--network", "local", "--max", "1016", "--data", &body];
    let (output, _, err) = salt402(&stack, &pay, Some(KEY)).await;
    assert!(!output.status.success() && err.contains("the limit is in native: not paid"), "{err}");
    let (output, out, err) = salt402(&stack, &[&pay[..], &["--token", &token]].concat(), Some(KEY)).await;
    assert!(output.status.success(), "{err}");
    assert!(out.contains("answer 1") && err.contains(&format!("cost 1016 base units of {token}")), "{err}");
    assert_eq!((stack.upstream.asked(), stack.status().await["claims"].clone()), (1, Value::from(1)));
    // A payment in the native coin for the same reference is not what was asked.
    let native = stack.quote(&inference("in coins")).await;
    let proof = stack.payer().pay(&native).await;
    let told = stack.infer_with(&inference("in coins"), proof).await;
    assert_eq!(told.code(), "wrong_asset");
    assert!(!told.headers.contains_key("x-payment-details"), "its payee has the coins");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_watched_tells_rates_line_by_line_and_without_a_verifier_what_the_database_says() {
    use std::io::{BufRead as _, BufReader};
    let mut stack = Stack::start(SALT402).await;
    let watch = |stack: &Stack| {
        let mut child = Command::new(SALT402)
            .args(["status", "--watch", "--json", "--interval", "100", "--url", &stack.verifier, "--config"])
            .arg(stack.config())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).expect("an object a line")))
    };
    let (mut child, mut lines) = watch(&stack);
    let first = lines.next().unwrap();
    assert_eq!(
        (&first["ready"], &first["chains"][0]["phase"]),
        (&Value::from(true), &Value::from("following"))
    );
    stack.anvil.mine(20).await;
    let moving =
        lines.by_ref().take(60).find(|status| status["chains"][0]["blocks_per_s"].as_u64() > Some(0));
    assert!(moving.is_some_and(|status| status["chains"][0]["reorganizations"] == 0));
    stack.kill();
    let alone =
        lines.by_ref().take(60).find(|status| status["source"] == "database").expect("the database's word");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(alone["ready"], false);
    assert_eq!(alone["chains"][0]["network"], "local");
    assert!(alone["chains"][0]["reason"].as_str().unwrap().contains("the indexer last wrote"), "{alone}");

    let config = stack.config();
    let ask = ["status", "--url", &stack.verifier, "--config", config.to_str().unwrap()];
    let (output, out, _) = salt402(&stack, &ask, None).await;
    assert_eq!(output.status.code(), Some(2), "{out}");
    assert!(out.contains("not ready") && out.contains("no verifier answers"), "{out}");
}

/// Whether a line says so much time is left: "12s left", "3m left".
fn tells_time_left(shown: &str) -> bool {
    shown.match_indices(" left").any(|(end, _)| {
        let time = shown[..end].rsplit(' ').next().unwrap_or_default();
        time.starts_with(|first: char| first.is_ascii_digit()) && time.ends_with(['s', 'm', 'h', 'd'])
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_a_status_is_drawn_in_place_and_a_back_fill_has_a_bar_and_elsewhere_there_is_a_log() {
    let terminal = |command: String| {
        // Wide enough for a whole line: what does not fit is cut.
        let command = format!("stty cols 200; exec {command}");
        let output = Command::new("timeout")
            .args(["--kill-after=1", "--signal=INT", "6", "script", "-qec", &command, "/dev/null"])
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        // What `timeout` says of a command that is not there.
        assert_ne!(output.status.code(), Some(127), "there is no `script`: run `make terminal`");
        shown
    };
    let mut options = StackOptions { idle: true, ..Default::default() };
    // Slow enough to be seen.
    options.chain = "[chains.local.overrides]\nlogs_range = 1".into();
    let mut stack = Stack::start_with(SALT402, options).await;
    stack.anvil.ask("anvil_mine", serde_json::json!(["0x1770"])).await;
    let shown = terminal(format!("{SALT402} up --config {}", stack.config().display()));
    assert!(shown.contains("local [") && shown.contains("payments/s"), "{shown}");
    assert!(tells_time_left(&shown), "how long it takes: {shown}");
    assert!(!shown.contains("back-filling"), "the bar says it: {shown}");

    // The terminal is gone, and what ran in it may still be about to end.
    let lock = std::fs::File::open(stack.folder().join("data/salt402.db.indexer.lock")).unwrap();
    tokio::task::spawn_blocking(move || lock.lock().unwrap()).await.unwrap();
    stack.process = Some(stack.role("up"));
    stack.until(&format!("{}/healthz", stack.verifier), |answer| answer.body == "ok\n").await;
    let watched = terminal(format!("{SALT402} status --watch --interval 200 --url {}", stack.verifier));
    assert!(watched.contains("blocks/s") && watched.contains("\u{1b}["), "{watched}");
    let behind = watched.split(" behind (").nth(1).unwrap_or_else(|| panic!("how far behind: {watched}"));
    let seconds = behind.split(" s)").next().unwrap();
    assert!(seconds.parse::<u64>().is_ok(), "{seconds}; {watched}");

    // JSON, and no bar, where nobody looks.
    let folder = tempfile::tempdir().unwrap();
    let config =
        std::fs::read_to_string(stack.config()).unwrap().replace("data = \"data\"", "data = \"other\"");
    let path = stack.config().with_file_name("other.toml");
    std::fs::write(&path, config.replace(stack.verifier.trim_start_matches("http://"), "127.0.0.1:0"))
        .unwrap();
    let log = folder.path().join("log");
    let mut child = Command::new(SALT402)
        .args(["index", "--config"])
        .arg(&path)
        .env("SALT402_LOG_FORMAT", "json")
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !std::fs::read_to_string(&log).unwrap().contains("back-filling") {
        assert!(std::time::Instant::now() < give_up, "{}", std::fs::read_to_string(&log).unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in std::fs::read_to_string(&log).unwrap().lines() {
        assert!(serde_json::from_str::<Value>(line).unwrap()["level"].is_string(), "{line}");
    }
}
