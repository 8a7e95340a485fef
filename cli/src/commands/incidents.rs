//! `salt402 incidents`: lists grants whose payment left the chain, and settles them.

use std::process::ExitCode;

use anyhow::bail;
use salt402_store::Incident;

use crate::args::{ListArgs, SettleArgs};
use crate::config::Config;
use crate::out::say;
use crate::visible::visible_line;

/// Prints incidents, the newest first. The database may be in use.
pub(crate) async fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let store = super::open(Config::load(&args.at.config)?.database()).await?;
    let incidents = store.incidents(!args.all, args.limit).await?;
    store.close().await;
    if incidents.is_empty() {
        say!("no {}incidents", if args.all { "" } else { "open " });
    }
    for incident in &incidents {
        say!("{}", visible_line(&line(incident)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Settles an incident.
pub(crate) async fn settle(args: &SettleArgs) -> anyhow::Result<ExitCode> {
    let note = args.made_good.note.trim();
    if note.is_empty() {
        bail!("--note: say how it was made good, as in --note \"paid again, 0x…\"");
    }
    let store = super::open(Config::load(&args.made_good.at.config)?.database()).await?;
    let settled = store.settle_incident(args.id, note.to_owned()).await?;
    store.close().await;
    if !settled {
        bail!("there is no open incident {}; `salt402 incidents list` names those that are open", args.id);
    }
    say!("incident {} is settled: its payer is treated as any other again", args.id);
    Ok(ExitCode::SUCCESS)
}

fn line(incident: &Incident) -> String {
    let payer = incident.payer.or(incident.risk.and_then(|risk| risk.payer));
    let payer = payer.map_or_else(|| "unknown".to_owned(), |payer| payer.to_string());
    let state = match (&incident.settled, incident.resolved_at_ms) {
        (Some(note), _) => format!("settled: {note}"),
        (None, Some(_)) if incident.risk.is_some() => {
            "resolved: it was claimed, or the money stays".to_owned()
        }
        (None, Some(_)) => "resolved: the payment is back".to_owned(),
        (None, None) => "open".to_owned(),
    };
    format!(
        "{} {} on {} by {payer} in {}: {}; {state}",
        incident.id, incident.kind, incident.chain, incident.transaction, incident.detail
    )
}
