//! `salt402 channel withdraw`: what a contract could not send to a payee, and owes it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use salt402_protocol::{Address, Asset, B256};

use super::payee::address;
use super::{Channels, claimer, of};
use crate::args::ChannelWithdrawArgs;
use crate::config::Config;
use crate::out::say;
use crate::visible::visible_line;

/// Has the credit of a payee sent, in each contract and asset.
pub(crate) async fn withdraw(args: &ChannelWithdrawArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.send.at.config)?;
    let channels = Channels::open(&config, args.send.chain.as_deref()).await?;
    channels.store.clone().close().await;
    let chain = &channels.chain;
    let claimer = claimer(&args.send, chain)?;
    let payee = match (&args.payee, channels.payee) {
        (Some(text), _) => address(text)?,
        (None, Some(payee)) => payee,
        (None, None) => claimer.account(),
    };
    let to = args.to.as_deref().map(address).transpose()?;
    if to.is_some() && payee != claimer.account() {
        bail!("--to: the credit is {payee}'s, and only its own key sends it elsewhere");
    }
    let mut assets = vec![Asset::Native];
    let token = config.token_on(chain.profile.chain_id)?.map(|(token, _)| token);
    assets.extend(token.map(Asset::Token));
    for text in &args.tokens {
        assets.push(Asset::Token(address(text)?));
    }
    assets.sort_unstable_by_key(|asset| asset.address());
    assets.dedup();
    let (mut found, mut failures) = (0, 0);
    for contract in &channels.contracts {
        for asset in &assets {
            let credit = claimer.credit(*contract, payee, *asset).await?;
            if credit.is_zero() {
                continue;
            }
            found += 1;
            let what = format!("{} of {payee} in {contract}", of(chain, *asset, credit));
            if let Err(error) = send(args, &claimer, *contract, payee, *asset, to, &what).await {
                say!("{}", visible_line(&format!("{what}: {error:#}")));
                failures += 1;
            }
        }
    }
    if found == 0 {
        say!("{payee} has no credit: nothing was sent");
    }
    if failures > 0 {
        bail!("{failures} of {found} withdrawals failed");
    }
    Ok(ExitCode::SUCCESS)
}

async fn send(
    args: &ChannelWithdrawArgs,
    claimer: &salt402_client::Claimer,
    contract: Address,
    payee: Address,
    asset: Asset,
    to: Option<Address>,
    what: &str,
) -> anyhow::Result<()> {
    let recipient = to.unwrap_or(payee);
    if args.send.dry_run {
        claimer.rehearse_withdrawal(contract, payee, asset, to).await?;
        say!("{what} would be sent to {recipient}; nothing was sent");
        return Ok(());
    }
    let sent = |transaction: B256| say!("sending {what} to {recipient} by {transaction}");
    let timeout = Duration::from_secs(args.send.timeout);
    let transaction = claimer.withdraw(contract, payee, asset, to, timeout, &sent).await?;
    say!("{what} was sent to {recipient} by {transaction}");
    Ok(())
}
