//! `salt402 channel refund` and `operator`: what a payee does without vouchers.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use salt402_client::{ClaimError, Claimer, RefundSubject, RefundTerms};
use salt402_protocol::asset::parse_address;
use salt402_protocol::edition::ChannelEdition;
use salt402_protocol::{Address, Amount, Asset, B256, OperatorRight};
use salt402_store::Refunded;

use super::{Channels, claimer, identifier, node, of as of_asset};
use crate::args::{ChannelRefundArgs, OperatorSetArgs, OperatorShowArgs, RightArg};
use crate::commands::refund::{Orders, exit_code, refuse_unread};
use crate::config::{Config, parse_price};
use crate::out::say;

/// Gives an amount back to a channel's payer, out of the payee's own money, or goes on with what was begun.
pub(crate) async fn refund(args: &ChannelRefundArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.send.at.config)?;
    let id = identifier(&args.id)?;
    let channels = Channels::open(&config, args.send.chain.as_deref()).await?;
    let done = refund_from(args, &config, &channels, id).await;
    channels.store.close().await;
    done
}

async fn refund_from(
    args: &ChannelRefundArgs,
    config: &Config,
    channels: &Channels,
    id: B256,
) -> anyhow::Result<ExitCode> {
    let (chain, store) = (&channels.chain, &channels.store);
    let account = channels.one(id).await?;
    let contract = account.contract;
    let descriptor = account.state.as_ref().and_then(|state| state.descriptor);
    let channel =
        descriptor.ok_or_else(|| anyhow!("{id}: its opening is not on the chain, as the index has it"))?;
    let amount = match channel.asset {
        Asset::Native => {
            parse_price(&args.amount, &chain.profile.native_symbol, chain.profile.native_decimals)
                .map_err(|what| anyhow!("{}: {what}", args.amount))?
        }
        Asset::Token(_) => Amount::from_base_units(&args.amount).map_err(|_| {
            anyhow!("{:?}: of a token, an amount is a whole number of base units", args.amount)
        })?,
    };
    if claimer(&args.send, chain)?.edition(contract).await? == ChannelEdition::First {
        bail!("{id}: its contract {contract} is of the first edition, which has no refunds");
    }
    let orders = Orders::new(&args.send, config, chain, store)?;
    if channel.payee != orders.refunder.account() {
        bail!("{id}: its payee is {}, and only the payee gives back: use its key", channel.payee);
    }
    let of = Refunded {
        chain: chain.profile.chain_id,
        reference: id,
        channels: Some(contract),
        payer: channel.payer,
        payee: channel.payee,
        asset: channel.asset,
    };
    let known = store.refunds(of).await?;
    if let Some(order) = orders.begun(&known).await? {
        let ended = orders.go_on(order, &known).await?;
        return Ok(ended.map_or(ExitCode::SUCCESS, |order| exit_code(&order)));
    }
    let back = known.committed();
    if !back.is_zero() && !args.again {
        bail!(
            "{id}: {} was given back before: nothing was sent; use --again to give back more",
            of_asset(chain, channel.asset, back)
        );
    }
    if !args.force {
        refuse_unread(chain, store, &orders.refunder).await?;
    }
    let terms = RefundTerms { contract, subject: RefundSubject::Channel(channel), amount };
    let what = format!("{} to {}", of_asset(chain, channel.asset, amount), channel.payer);
    if args.send.dry_run {
        orders.refunder.rehearse(&terms).await?;
        say!("{what} would be given back; nothing was sent");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(exit_code(&orders.give(of, terms, &known, &what).await?))
}

/// Says for which of the payee's channels an account may claim and close.
pub(crate) async fn set_operator(args: &OperatorSetArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.send.at.config)?;
    let operator = address(&args.operator)?;
    let channels = Channels::open(&config, args.send.chain.as_deref()).await?;
    channels.store.clone().close().await;
    let chain = &channels.chain;
    let claimer = claimer(&args.send, chain)?;
    let right = match args.right {
        RightArg::Named => OperatorRight::Named,
        RightArg::All => OperatorRight::All,
        RightArg::Revoked => OperatorRight::Revoked,
    };
    let contract = channels.second(&claimer).await?;
    if operator == claimer.account() {
        bail!(
            "{operator} is the account of the key that was given, which is the payee: name another account"
        );
    }
    if channels.payee.is_some_and(|payee| payee != claimer.account()) {
        bail!("the key is of {}, and this server's payee is another account: use its key", claimer.account());
    }
    let what = format!("{operator} as operator of {} in {contract}: {right}", claimer.account());
    if args.send.dry_run {
        say!("{what}; nothing was sent");
        return Ok(ExitCode::SUCCESS);
    }
    let sent = |transaction: B256| say!("setting {what} by {transaction}");
    let timeout = Duration::from_secs(args.send.timeout);
    let transaction = claimer.set_operator(contract, operator, right, timeout, &sent).await?;
    say!("set by {transaction}");
    Ok(ExitCode::SUCCESS)
}

/// Prints what the contract says of operators: those of the configuration, and those that are named.
pub(crate) async fn show_operators(args: &OperatorShowArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let mut operators =
        args.operators.iter().map(|text| address(text)).collect::<anyhow::Result<Vec<_>>>()?;
    let channels = Channels::open(&config, args.chain.as_deref()).await?;
    channels.store.clone().close().await;
    let payee = match (&args.payee, channels.payee) {
        (Some(text), _) => address(text)?,
        (None, Some(payee)) => payee,
        (None, None) => bail!("--payee: whose operators? [payment] names no payee"),
    };
    operators.extend(&channels.chain.operators);
    operators.sort_unstable();
    operators.dedup();
    if operators.is_empty() {
        say!("no operators are configured; name those that are to be looked up");
    }
    let node = node(args.rpc.as_ref(), &channels.chain)?;
    for contract in channels.contracts.iter().filter(|contract| !channels.is_past(**contract)) {
        for operator in &operators {
            match Claimer::operator_right(&node, *contract, payee, *operator).await {
                Ok(right) => say!("{operator} in {contract}: {right}"),
                Err(ClaimError::Refused(_)) => {
                    say!("{contract} is of the first edition, which has no operators");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn address(text: &str) -> anyhow::Result<Address> {
    parse_address(text)
        .filter(|address| !address.is_zero())
        .ok_or_else(|| anyhow!("{text:?}: expected a 0x address with the right checksum"))
}
