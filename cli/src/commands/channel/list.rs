//! `salt402 channel list` and `show`.

use std::process::ExitCode;

use salt402_store::ChannelAccount;
use serde_json::{Value, json};

use super::{Channels, identifier, of};
use crate::args::{ChannelListArgs, ChannelShowArgs};
use crate::config::{Config, ResolvedChain};
use crate::out::say;

/// Prints channels with their accounts. The database may be in use.
pub(crate) async fn list(args: &ChannelListArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let after = args.after.as_deref().map(identifier).transpose()?;
    let channels = Channels::open(&config, args.chain.as_deref()).await?;
    let (accounts, next) = channels.page(args.all, after, args.limit).await?;
    channels.store.close().await;
    let chain = &channels.chain;
    if args.json {
        let shown = accounts.iter().map(|account| json!(account.view(chain.profile.chain_id)));
        say!("{}", Value::from_iter(shown));
        return Ok(ExitCode::SUCCESS);
    }
    if accounts.is_empty() {
        let more = if after.is_some() { "more " } else { "" };
        say!(
            "no {more}channels{}",
            if args.all { "" } else { " that pay this server; --all lists the others too" }
        );
    }
    for account in &accounts {
        say!("{}", line(chain, account));
    }
    if let Some(next) = next {
        say!("there may be more: --after {next}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints all of one channel.
pub(crate) async fn show(args: &ChannelShowArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let id = identifier(&args.id)?;
    let channels = Channels::open(&config, args.chain.as_deref()).await?;
    let account = channels.one(id).await;
    channels.store.close().await;
    let shown = json!(account?.view(channels.chain.profile.chain_id));
    if args.json {
        say!("{shown}");
        return Ok(ExitCode::SUCCESS);
    }
    for (name, value) in shown.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        say!("{name:>12}  {}", value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned));
    }
    Ok(ExitCode::SUCCESS)
}

fn line(chain: &ResolvedChain, account: &ChannelAccount) -> String {
    let (id, spent, unclaimed) = (account.id, account.account.spent, account.unclaimed());
    let Some((state, known)) = account.state.as_ref().and_then(|state| Some((state, state.descriptor?)))
    else {
        return format!("{id}: {spent} base units accepted, {unclaimed} unclaimed; not on the chain");
    };
    let of = |amount| of(chain, known.asset, amount);
    let status = match state.exit_at {
        _ if state.closed => "; closed".to_owned(),
        Some(at) => format!("; its payer leaves at {at}"),
        None => String::new(),
    };
    format!(
        "{id} from {}: {} deposited, {} claimed, {} accepted, {} unclaimed{status}",
        known.payer,
        of(state.deposit),
        of(state.claimed),
        of(spent),
        of(unclaimed)
    )
}
