//! `salt402 refund`: a payment is given back by its payee, once.

mod amounts;
mod checks;
mod find;
mod order;
mod plan;

use std::process::ExitCode;

use anyhow::{anyhow, bail};
use salt402_client::{RefundSubject, RefundTerms, Refunder};
use salt402_protocol::{Address, B256, Payment, SourceKind};
use salt402_store::{RefundOrder, RefundState, Refunded, Refunds, Store};

use self::amounts::{amount, told};
use self::checks::{refuse_restored, refuse_risky};
use self::find::find;
use self::plan::plan;
use super::chain::choose;
use crate::args::RefundArgs;
use crate::config::{Config, ResolvedChain};
use crate::out::say;

pub(crate) use self::checks::refuse_unread;
pub(crate) use self::order::Orders;

/// The exit code of a refund that was sent and is in no block yet.
const OPEN: u8 = 3;

/// Finds the payment, and gives it back or goes on with what was begun.
pub(crate) async fn refund(args: &RefundArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.send.at.config)?;
    let (_, chain) = choose(&config, args.send.chain.as_deref())?;
    let store = super::open(config.database()).await?;
    let done = refund_from(args, &config, &chain, &store).await;
    store.close().await;
    done
}

async fn refund_from(
    args: &RefundArgs,
    config: &Config,
    chain: &ResolvedChain,
    store: &Store,
) -> anyhow::Result<ExitCode> {
    let found = find(args, chain, store).await?;
    let (payment, paid) = (&found.payment.placed.payment, found.paid);
    let of = Refunded::of(payment);
    let orders = Orders::new(&args.send, config, chain, store)?;
    let refunder = &orders.refunder;
    if payment.payee != refunder.account() {
        bail!(
            "{} paid {}, and the key belongs to {}: use the payee's key",
            payment.transaction,
            payment.payee,
            refunder.account()
        );
    }
    let known = store.refunds(of).await?;
    if let Some(transaction) = args.void {
        return void(chain, store, refunder, &known, of, transaction).await;
    }
    if let Some(order) = orders.begun(&known).await? {
        return ended(store, payment, orders.go_on(order, &known).await?).await;
    }
    if !args.force {
        refuse_risky(chain, &found)?;
        refuse_restored(store, payment).await?;
        refuse_unread(chain, store, refunder).await?;
    }
    let asked = args.amount.as_deref().map(|text| amount(chain, payment.asset, text)).transpose()?;
    let amount = plan(payment.amount, paid, &known, asked, args.again, args.force)
        .map_err(|refusal| anyhow!("{}: {}", payment.transaction, refusal.said(chain, payment.asset)))?;
    let contract = contract(chain)?;
    let subject = RefundSubject::Payment { reference: of.reference, payer: of.payer, asset: of.asset };
    let terms = RefundTerms { contract, subject, amount };
    let what = format!(
        "{} of {} to {}, who paid {} by {}",
        told(chain, of.asset, amount),
        told(chain, of.asset, payment.amount),
        of.payer,
        of.payee,
        payment.transaction
    );
    if args.send.dry_run {
        refunder.rehearse(&terms).await?;
        say!("would give back {what}, through {contract}; nothing was sent");
        return Ok(ExitCode::SUCCESS);
    }
    ended(store, payment, Some(orders.give(of, terms, &known, &what).await?)).await
}

/// The exit code, and what else is to be done.
async fn ended(store: &Store, payment: &Payment, order: Option<RefundOrder>) -> anyhow::Result<ExitCode> {
    let Some(order) = order else { return Ok(ExitCode::SUCCESS) };
    if order.state == RefundState::Mined {
        let whole = store.unserved(payment.id).await?;
        let parts = store.unserved_parts(payment.id).await?;
        for unserved in whole.iter().chain(&parts).filter(|unserved| unserved.settled.is_none()) {
            say!(
                "to close its incident: salt402 unserved settle {} --note \"refunded in {}\"",
                unserved.payment,
                order.transaction
            );
        }
    }
    Ok(exit_code(&order))
}

/// 0 where a refund was mined, 3 where it was sent and is in no block yet.
pub(crate) fn exit_code(order: &RefundOrder) -> ExitCode {
    if order.state == RefundState::Open { ExitCode::from(OPEN) } else { ExitCode::SUCCESS }
}

/// Writes down that a refund of another machine is void. Its nonce is not known here, so what can be seen is only that no node
/// has it, long after its block left the chain.
async fn void(
    chain: &ResolvedChain,
    store: &Store,
    refunder: &Refunder,
    known: &Refunds,
    of: Refunded,
    transaction: B256,
) -> anyhow::Result<ExitCode> {
    if known.orders.iter().any(|order| order.transaction == transaction) {
        bail!(
            "{transaction} was sent from this database: run the same command without --void, which sees it to its end"
        );
    }
    let rows = || known.indexed.iter().filter(|refund| refund.transaction == transaction);
    let Some(height) = rows().map(|refund| refund.block_number).max() else {
        bail!(
            "{transaction} is no refund of this payment that may still be mined: see `refunds` of \
               GET /v1/payments/{{tx}}"
        );
    };
    if let Some(refund) = rows().find(|refund| refund.canonical) {
        bail!("{transaction} is on the chain, in block {}: it gave money back", refund.block_number);
    }
    refuse_unread(chain, store, refunder).await?;
    let indexed =
        store.chain_state(of.chain).await?.and_then(|state| state.cursor).map_or(0, |cursor| cursor.number);
    let needed = height.saturating_add(chain.policy.final_at);
    if indexed < needed {
        bail!(
            "{transaction} left the chain at block {height}, and may soon be mined again: wait for block {needed}"
        );
    }
    match refunder.is_known(transaction).await {
        Some(false) => {}
        Some(true) => bail!("a node still has {transaction}, so it may be mined again"),
        None => bail!("not every node answers whether it has {transaction}: try again, or name one by --rpc"),
    }
    if !store.void_refund(of, transaction).await? {
        bail!("{transaction} came back in the meantime: run the command again");
    }
    say!("{transaction} is void: the payment can be granted on again, or given back");
    Ok(ExitCode::SUCCESS)
}

/// The contract through which this server is paid, whose refunds the index follows.
fn contract(chain: &ResolvedChain) -> anyhow::Result<Address> {
    let is_followed =
        |kind: &SourceKind, contract| *kind == SourceKind::SaltPay && contract == chain.contract;
    if !chain.sources.iter().any(|source| is_followed(&source.kind, source.contract)) {
        bail!(
            "{} is not followed as a SaltPay, so a refund through it would not be seen here",
            chain.contract
        );
    }
    Ok(chain.contract)
}
