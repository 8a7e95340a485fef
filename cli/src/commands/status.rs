//! `salt402 status`: the state of a running salt402 or, if none runs, what its database says.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use salt402_http::clock::{now_s, since_ms};
use salt402_protocol::Problem;
use salt402_store::{ChainOverview, Coverage, Overview, Stretch, VoucherTotals};
use serde_json::{Value, json};

use super::watching::Watching;
use crate::args::StatusArgs;
use crate::config::{Config, behind_socket, unix_path, verifier_token_of_environment};
use crate::out::say;
use crate::visible::visible_line;

/// Asks and prints, once or repeatedly. Succeeds if everything is ready.
pub(crate) async fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10));
    let (client, base) = match unix_path(&args.url) {
        Some(path) => (client.unix_socket(path), behind_socket()?),
        None => (client, args.url.clone()),
    };
    let client = client.build()?;
    let url = base.join("v1/status")?;
    let mut watching = Watching::new(args.json);
    loop {
        let status = match ask(&client, &url, &args.url).await {
            Ok(status) => Ok(status),
            Err(error) => read(&args.at.config).await.ok_or(error),
        };
        if !args.watch {
            let status = status?;
            print(&status, args.json)?;
            let ready = status["ready"] == true;
            return Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(2) });
        }
        watching.show(status)?;
        if crate::out::is_closed() {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(args.interval)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// The verifier's status. It is not parsed into a type, so that what a newer verifier adds is shown too.
async fn ask(client: &reqwest::Client, url: &url::Url, at: &url::Url) -> anyhow::Result<Value> {
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
    let status: Value = response.json().await.context("the answer is no salt402's")?;
    if status["chains"].is_array() { Ok(status) } else { bail!("the answer is no salt402's") }
}

/// The same from the database of a configuration, if no verifier answers. `None` if there is no readable database.
async fn read(config: &Path) -> Option<Value> {
    let config = Config::load(config).ok()?;
    let overview = Overview::read(&config.database()).await.ok()?;
    let name = |chain: &ChainOverview| {
        let named = config
            .chains
            .iter()
            .find(|(name, known)| known.profile(name).is_ok_and(|profile| profile.chain_id == chain.chain));
        named.map_or_else(|| "not configured".to_owned(), |(name, _)| name.clone())
    };
    let chains: Vec<Value> = overview
        .chains
        .iter()
        .map(|chain| {
            json!({
                "chain": chain.chain,
                "network": name(chain),
                "indexed": chain.indexed,
                "head": chain.head,
                "behind_s": behind_s(chain),
                "phase": chain.halt.map(|_| "halted"),
                "payments": chain.payments,
                "open_incidents": chain.open_incidents,
                "unreadable": chain.unreadable,
                "covered": stretches(chain, |known| known.covered(chain.indexed)),
                "unread": stretches(chain, |known| known.unread.clone()),
                "vouchers": chain.vouchers.iter().map(vouchers).collect::<Vec<_>>(),
                "ready": false,
                "reason": reason(chain),
            })
        })
        .collect();
    Some(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "source": "database",
        "ready": false,
        "chains": chains,
        "open_incidents": overview.open_incidents,
        "claims": overview.claims,
    }))
}

/// What was read of a chain's contracts, or was not read.
fn stretches(chain: &ChainOverview, of: impl Fn(&Coverage) -> Vec<Stretch>) -> Vec<Value> {
    let told = chain.coverage.iter().flat_map(|known| {
        let contract = known.source.contract.to_string();
        of(known).into_iter().map(
            move |blocks| json!({ "contract": contract, "from_block": blocks.from, "to_block": blocks.to }),
        )
    });
    told.collect()
}

/// How long ago the newest indexed block was made, if the node has newer ones.
fn behind_s(chain: &ChainOverview) -> Option<u64> {
    if chain.head <= chain.indexed {
        return chain.indexed.map(|_| 0);
    }
    chain.indexed_timestamp.map(|made| now_s().saturating_sub(made))
}

fn vouchers(totals: &VoucherTotals) -> Value {
    json!({
        "asset": totals.asset,
        "unclaimed": totals.unclaimed,
        "at_risk": totals.at_risk,
        "channels_at_risk": totals.channels_at_risk,
    })
}

fn reason(chain: &ChainOverview) -> String {
    let silence = match chain.noted_at_ms {
        Some(at) => {
            format!("no verifier answers; the indexer last wrote {} s ago", since_ms(at).as_secs())
        }
        None => "no verifier answers, and the indexer never wrote".to_owned(),
    };
    match chain.halt {
        Some(halt) => format!("{silence}; {}", halt.kind.told()),
        None => silence,
    }
}

fn print(status: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        say!("{}", visible_line(&serde_json::to_string(status)?));
    } else {
        super::watching::lines(status, None).iter().for_each(|line| say!("{}", visible_line(line)));
    }
    Ok(())
}
