//! `salt402 status`: how a running salt402 is doing.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use salt402_protocol::Problem;
use salt402_protocol::api::StatusResponse;

use crate::args::StatusArgs;
use crate::config::{behind_socket, unix_path, verifier_token_of_environment};

/// Asks and prints, once or every second. Succeeds while everything is ready.
pub(crate) async fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10));
    let (client, base) = match unix_path(&args.url) {
        Some(path) => (client.unix_socket(path), behind_socket()?),
        None => (client, args.url.clone()),
    };
    let client = client.build()?;
    let url = base.join("v1/status")?;
    loop {
        let status = ask(&client, &url, &args.url).await;
        match &status {
            Ok(status) => print(status, args.json)?,
            Err(error) if args.watch => tracing::warn!("{error:#}"),
            Err(_) => {}
        }
        if !args.watch {
            return status.map(|status| if status.ready { ExitCode::SUCCESS } else { ExitCode::from(2) });
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
}

async fn ask(client: &reqwest::Client, url: &url::Url, at: &url::Url) -> anyhow::Result<StatusResponse> {
    let mut request = client.get(url.clone());
    if let Some(token) = verifier_token_of_environment() {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.with_context(|| {
        format!("no salt402 answers at {at}: is `salt402 up` running there? --url names another address")
    })?;
    if !response.status().is_success() {
        let problem: Problem = response.json().await.context("the answer is no salt402's")?;
        bail!("{}: {}", problem.title, problem.detail);
    }
    response.json().await.context("the answer is no salt402's")
}

#[expect(clippy::print_stdout, reason = "the status is what the command is for")]
fn print(status: &StatusResponse, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(status)?);
        return Ok(());
    }
    let known = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    println!("salt402 {}: {}", status.version, if status.ready { "ready" } else { "not ready" });
    for chain in &status.chains {
        println!(
            "  {} ({}): block {} of {}, {} payments through {}{}",
            chain.network,
            chain.chain,
            known(chain.indexed),
            known(chain.head),
            chain.payments,
            chain.payment_contract,
            chain.reason.as_ref().map(|reason| format!("\n    not current: {reason}")).unwrap_or_default(),
        );
    }
    println!(
        "  {} payments claimed, {} requests waiting, {} open incidents",
        status.claims, status.waiting, status.open_incidents
    );
    Ok(())
}
