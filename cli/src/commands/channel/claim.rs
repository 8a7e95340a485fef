//! `salt402 channel claim` and `close`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use salt402_client::{Act, ClaimBatch, ClaimPlan, Claimer, NotClaimed};
use salt402_protocol::{Amount, B256};

use super::{Channels, PAGE, claimer, identifier, of};
use crate::args::{ChannelClaimArgs, ChannelCloseArgs, SendArgs};
use crate::config::{Config, ResolvedChain, parse_price};
use crate::out::say;
use crate::visible::visible_line;

/// Claims by the last voucher of each channel. Fails if a channel that was named cannot be claimed from, or a transaction
/// fails.
pub(crate) async fn claim(args: &ChannelClaimArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.send.at.config)?;
    let named = args.which.ids.iter().map(|id| identifier(id)).collect::<anyhow::Result<Vec<_>>>()?;
    let channels = Channels::open(&config, args.send.chain.as_deref()).await?;
    let claimed = claim_from(args, &channels, &named).await;
    channels.store.close().await;
    claimed.map(|()| ExitCode::SUCCESS)
}

async fn claim_from(args: &ChannelClaimArgs, channels: &Channels, named: &[B256]) -> anyhow::Result<()> {
    let chain = &channels.chain;
    let wanted = if args.which.all { channels.unclaimed().await? } else { named.to_vec() };
    let claimer = claimer(&args.send, chain)?;
    let least = parse_price(&args.min, &chain.profile.native_symbol, chain.profile.native_decimals)
        .map_err(|what| anyhow!("--min: {what}"))?;
    let most = args.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    // Some at a time: what comes first is claimed before the last are asked about.
    let (mut sum, mut asked) = (ClaimPlan::default(), 0);
    let mut failures = 0;
    while asked < wanted.len() {
        let room = most.saturating_sub(claims(&sum)).min(PAGE as usize).min(wanted.len() - asked);
        if room == 0 {
            break;
        }
        let page = &wanted[asked..asked + room];
        asked += room;
        let plan = claimer
            .plan(Act::Claim, channels.claimable(Act::Claim, page, args.which.all).await?, least)
            .await?;
        for (channel, why) in &plan.left {
            say!("{channel}: {why}");
        }
        // What could not be sent for one asset does not keep the others back.
        for batch in &plan.batches {
            if let Err(error) = send_batch(&args.send, chain, &claimer, batch).await {
                let why = format!("{}: {error:#}", of(chain, batch.asset, batch.amount()));
                say!("{}", visible_line(&why));
                failures += 1;
            }
        }
        sum.batches.extend(plan.batches);
        sum.left.extend(plan.left);
    }
    if sum.batches.is_empty() {
        say!("nothing is to be claimed; nothing was sent");
    }
    if asked < wanted.len() {
        say!(
            "{} more channels have something that is not claimed, and were not asked about",
            wanted.len() - asked
        );
    }
    if failures > 0 {
        bail!("{failures} of {} claims failed", sum.batches.len());
    }
    refuse_what_was_named(named, &sum)
}

/// How many channels are claimed from.
fn claims(plan: &ClaimPlan) -> usize {
    plan.batches.iter().map(|batch| batch.rows.len()).sum()
}

/// Sends one transaction of many channels, or says what it would do.
async fn send_batch(
    args: &SendArgs,
    chain: &ResolvedChain,
    claimer: &Claimer,
    batch: &ClaimBatch,
) -> anyhow::Result<()> {
    let (count, of) = (batch.rows.len(), |amount| of(chain, batch.asset, amount));
    let and_closed = if batch.act == Act::Close { ", which would be closed" } else { "" };
    if args.dry_run {
        let amount = claimer.rehearse(batch).await?;
        say!("{} would be claimed of {count} channels{and_closed}; nothing was sent", of(amount));
        for (row, amount) in &batch.rows {
            say!("  {}: {}", row.channel, of(*amount));
        }
        return Ok(());
    }
    let doing = if batch.act == Act::Close { "closing, and claiming" } else { "claiming" };
    let sent = |transaction: B256| {
        say!("{doing} {} of {count} channels by {transaction}", of(batch.amount()));
    };
    let claimed = claimer.claim(batch, Duration::from_secs(args.timeout), &sent).await;
    let claimed = claimed.map_err(|error| {
        let open = error.is_open();
        let error = anyhow::Error::from(error);
        if open {
            anyhow!("{error:#}; it is safe to run the same command again: it claims only what is left")
        } else {
            error
        }
    })?;
    for (channel, amount) in &claimed.channels {
        say!("  {channel}: {}", of(*amount));
    }
    for (channel, rest) in &claimed.closed {
        say!("  {channel}: closed, {} went back to its payer", of(*rest));
    }
    for (channel, why) in &claimed.skipped {
        say!("  {channel}: skipped by the contract: {why}");
    }
    say!(
        "{} came in, in block {} by {}",
        of(Amount(claimed.amount().0.saturating_sub(claimed.credited.0))),
        claimed.block_number,
        claimed.transaction
    );
    if claimed.credited > Amount::ZERO {
        say!(
            "{} could not be sent to {} and stands to its credit in {}: mend why, then `salt402 channel withdraw`",
            of(claimed.credited),
            batch.payee,
            batch.contract
        );
    }
    Ok(())
}

/// Whoever names a channel wants to know by the exit code that nothing came of it.
fn refuse_what_was_named(named: &[B256], plan: &ClaimPlan) -> anyhow::Result<()> {
    let left = plan.left.iter().filter(|(channel, _)| named.contains(channel)).count();
    if left > 0 {
        bail!("{left} of {} channels that were named were not claimed from", named.len());
    }
    let strange = plan.left.iter().filter(|(_, why)| matches!(why, NotClaimed::NotPayee { .. }));
    let strange = strange.count();
    if strange > 0 && plan.batches.is_empty() {
        bail!("{strange} channels pay other accounts than the key's: nothing was claimed");
    }
    Ok(())
}

/// Closes channels: claims what was accepted, and lets the rest go back. Fails if one of them cannot be closed.
pub(crate) async fn close(args: &ChannelCloseArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.send.at.config)?;
    let named = args.ids.iter().map(|id| identifier(id)).collect::<anyhow::Result<Vec<_>>>()?;
    let channels = Channels::open(&config, args.send.chain.as_deref()).await?;
    let closed = if args.give_up {
        give_up(&channels, &named).await
    } else {
        close_named(args, &channels, &named).await
    };
    channels.store.close().await;
    closed.map(|()| ExitCode::SUCCESS)
}

async fn close_named(args: &ChannelCloseArgs, channels: &Channels, named: &[B256]) -> anyhow::Result<()> {
    let (chain, claimer) = (&channels.chain, claimer(&args.send, &channels.chain)?);
    let plan = close_plan(&claimer, channels, named).await?;
    if !plan.left.is_empty() {
        bail!("nothing was sent, and no channel was closed");
    }
    let mut plan = plan;
    if !args.send.dry_run {
        // What was accepted after it is read would not be in the transaction, and be lost: so first nothing more is accepted,
        // and then it is read again.
        for row in plan.batches.iter().flat_map(|batch| &batch.rows) {
            let (contract, channel) = (row.0.contract, row.0.channel);
            channels.store.begin_closing(chain.profile.chain_id, contract, channel).await?;
        }
        let under_way = under_way(channels, &plan).await?;
        if under_way > 0 && !args.despite_requests {
            bail!(
                "{under_way} channels have requests under way, and what these use could not be claimed any more: no vouchers are \
                 taken of them now; run the same command again when the requests have ended, or with --despite-requests"
            );
        }
        plan = close_plan(&claimer, channels, named).await?;
    }
    let mut failures = 0;
    for batch in &plan.batches {
        if let Err(error) = send_batch(&args.send, chain, &claimer, batch).await {
            let why = format!("{}: {error:#}", of(chain, batch.asset, batch.amount()));
            say!("{}", visible_line(&why));
            failures += 1;
        }
    }
    if failures > 0 {
        if !args.send.dry_run {
            say!(
                "no vouchers are taken of the channels that were not closed: run the same command again; once no \
                 transaction that closes them can be mined any more, `salt402 channel close --give-up` takes them again"
            );
        }
        bail!("{failures} of {} transactions failed", plan.batches.len());
    }
    refuse_what_was_named(named, &plan)
}

/// Of how many channels it is not known yet what requests use that were granted. Says of which.
async fn under_way(channels: &Channels, plan: &ClaimPlan) -> anyhow::Result<usize> {
    let mut count = 0;
    for (row, _) in plan.batches.iter().flat_map(|batch| &batch.rows) {
        let (contract, channel) = (row.contract, row.channel);
        let known =
            channels.store.channel_account(channels.chain.profile.chain_id, contract, channel).await?;
        let reserved = known.map(|known| known.account.reserved).unwrap_or_default();
        if !reserved.is_zero() {
            say!(
                "{channel}: requests that are under way may use {}",
                of(&channels.chain, row.descriptor.asset, reserved)
            );
            count += 1;
        }
    }
    Ok(count)
}

/// What would be closed, as the database has it now. Says what cannot be.
async fn close_plan(claimer: &Claimer, channels: &Channels, named: &[B256]) -> anyhow::Result<ClaimPlan> {
    let rows = channels.claimable(Act::Close, named, false).await?;
    let plan = claimer.plan(Act::Close, rows, Amount::ZERO).await?;
    for (channel, why) in &plan.left {
        say!("{channel}: {why}");
    }
    Ok(plan)
}

async fn give_up(channels: &Channels, named: &[B256]) -> anyhow::Result<()> {
    for channel in named {
        let contract = channels.one(*channel).await?.contract;
        channels.store.give_up_closing(channels.chain.profile.chain_id, contract, *channel).await?;
        say!("{channel}: vouchers are taken of it while it is open");
    }
    Ok(())
}
