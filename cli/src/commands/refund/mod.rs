//! `salt402 refund`: a payment is given back by its payee, once.

mod amounts;
mod checks;
mod find;
mod plan;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use async_trait::async_trait;
use salt402_chain::{Endpoint, RpcNode};
use salt402_client::{BeforeSending, PayError, RefundOutcome, RefundTerms, Refunder, SignedPayment};
use salt402_indexer::{Look, ReceiptLookup};
use salt402_protocol::{Address, B256, Payment, SourceKind};
use salt402_store::{RefundOrder, RefundState, Refunded, Refunds, Store};

use self::amounts::{amount, told};
use self::checks::{refuse_restored, refuse_risky, refuse_unread};
use self::find::find;
use self::plan::{on_chain, plan};
use super::chain::choose;
use crate::args::RefundArgs;
use crate::config::{Config, ResolvedChain, payer_key};
use crate::out::say;
use crate::wire::follower_options;

/// How often the receipt of a refund is looked at until the index has its block.
const LOOKS: usize = 10;
/// The pause between these looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The exit code of a refund that was sent and is in no block yet.
const OPEN: u8 = 3;

/// Finds the payment, and gives it back or goes on with what was begun.
pub(crate) async fn refund(args: &RefundArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let (_, chain) = choose(&config, args.chain.as_deref())?;
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
    let refunder = refunder(args, config, chain)?;
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
        return void(chain, store, &refunder, &known, of, transaction).await;
    }
    if let Some(order) = begun(&known, &refunder).await? {
        let amount = told(chain, order.of.asset, order.amount);
        say!("going on with the refund of {amount} by {}, which was begun before", order.transaction);
        if args.dry_run {
            say!("nothing was sent");
            return Ok(ExitCode::SUCCESS);
        }
        return finish(args, chain, store, &refunder, &order, payment, &known).await;
    }
    if !args.force {
        refuse_risky(chain, &found)?;
        refuse_restored(store, payment).await?;
        refuse_unread(chain, store, &refunder).await?;
    }
    let asked = args.amount.as_deref().map(|text| amount(chain, payment.asset, text)).transpose()?;
    let amount = plan(payment.amount, paid, &known, asked, args.again, args.force)
        .map_err(|refusal| anyhow!("{}: {}", payment.transaction, refusal.said(chain, payment.asset)))?;
    let contract = contract(chain)?;
    let terms = RefundTerms { contract, reference: of.reference, payer: of.payer, asset: of.asset, amount };
    let what = format!(
        "{} of {} to {}, who paid {} by {}",
        told(chain, of.asset, amount),
        told(chain, of.asset, payment.amount),
        of.payer,
        of.payee,
        payment.transaction
    );
    if args.dry_run {
        refunder.rehearse(&terms).await?;
        say!("would give back {what}, through {contract}; nothing was sent");
        return Ok(ExitCode::SUCCESS);
    }
    let write_down = WriteDown { store, of, terms, known: known.clone() };
    let signed = refunder.send(&terms, &write_down).await?;
    say!("giving back {what}: transaction {}", signed.transaction);
    finish(args, chain, store, &refunder, &write_down.order(&signed), payment, &known).await
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

/// A refund of before that is still to be seen to its end: one that is on its way, or one whose block left the chain.
async fn begun(known: &Refunds, refunder: &Refunder) -> anyhow::Result<Option<RefundOrder>> {
    if let Some(open) = known.open() {
        return Ok(Some(open.clone()));
    }
    for order in known.orders.iter().filter(|order| order.state == RefundState::Mined) {
        if on_chain(known, order).is_some() {
            continue;
        }
        match refunder.is_mined(order.transaction).await {
            Some(true) => {}
            Some(false) => return Ok(Some(order.clone())),
            None => bail!(
                "no node answers whether the refund {} is on the chain: nothing was sent; try again",
                order.transaction
            ),
        }
    }
    Ok(None)
}

/// Sees a refund to its end, which is written down.
async fn finish(
    args: &RefundArgs,
    chain: &ResolvedChain,
    store: &Store,
    refunder: &Refunder,
    order: &RefundOrder,
    payment: &Payment,
    known: &Refunds,
) -> anyhow::Result<ExitCode> {
    let signed = SignedPayment {
        network: chain.profile.name.clone(),
        payer: order.of.payee,
        transaction: order.transaction,
        nonce: order.nonce,
        raw: order.raw.clone().into(),
        deadline: None,
    };
    let mut overtaken_at = order.overtaken_at;
    let outcome = match on_chain(known, order) {
        Some(block) => RefundOutcome::Mined { block },
        None => refunder.finish(&signed, &mut overtaken_at, Duration::from_secs(args.timeout)).await,
    };
    let state = match outcome {
        RefundOutcome::Mined { .. } => RefundState::Mined,
        RefundOutcome::Void(_) => RefundState::Void,
        RefundOutcome::Open(_) => RefundState::Open,
    };
    store.note_refund(order.of.chain, order.transaction, state, overtaken_at).await?;
    match outcome {
        RefundOutcome::Mined { block } => {
            say!(
                "{} was given back, in block {block} by {}",
                told(chain, order.of.asset, order.amount),
                order.transaction
            );
            index_merged(chain, store, refunder, order.transaction).await;
            let last = block.saturating_add(chain.policy.final_at);
            if refunder.head().await.is_none_or(|head| head < last) {
                say!(
                    "it is final at block {last}: run the same command again then, which sends it again if its block left the \
                     chain"
                );
            }
            if store.unserved(payment.id).await?.is_some_and(|unserved| unserved.settled.is_none()) {
                say!(
                    "to close its incident: salt402 unserved settle {} --note \"refunded in {}\"",
                    payment.id,
                    order.transaction
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        RefundOutcome::Void(why) => {
            bail!(
                "{} gave nothing back: {why}; run the same command again to give it back anew",
                order.transaction
            )
        }
        RefundOutcome::Open(why) => {
            say!(
                "{} is in no block yet ({why}): run the same command again, which goes on with it and sends nothing twice",
                order.transaction
            );
            Ok(ExitCode::from(OPEN))
        }
    }
}

/// On a chain that merges blocks, the logs may not show the refund: its receipt is read into the index. Where that fails, the
/// order that was written down still keeps it from being made twice.
async fn index_merged(chain: &ResolvedChain, store: &Store, refunder: &Refunder, transaction: B256) {
    let Some(node) = refunder.node().filter(|_| chain.profile.merges_blocks) else { return };
    let lookup = ReceiptLookup::new(node, store.clone(), follower_options(chain));
    for _ in 0..LOOKS {
        // A refund alone is no payment.
        if let Ok(Look::Found | Look::NoPayment { .. }) = lookup.look(transaction).await {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    say!("its receipt could not be read into the index yet");
}

/// Writes a refund down before it is sent.
struct WriteDown<'a> {
    store: &'a Store,
    of: Refunded,
    terms: RefundTerms,
    known: Refunds,
}

impl WriteDown<'_> {
    fn order(&self, signed: &SignedPayment) -> RefundOrder {
        RefundOrder {
            of: self.of,
            contract: self.terms.contract,
            amount: self.terms.amount,
            transaction: signed.transaction,
            nonce: signed.nonce,
            raw: signed.raw.to_vec(),
            state: RefundState::Open,
            overtaken_at: None,
        }
    }
}

#[async_trait]
impl BeforeSending for WriteDown<'_> {
    async fn signed(&self, signed: &SignedPayment) -> Result<(), PayError> {
        let failed = |what: String| PayError::NotKept(std::io::Error::other(what));
        match self.store.order_refund(self.order(signed), self.known.clone()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(failed(
                "something else was given back for this payment in the meantime: run the command again"
                    .to_owned(),
            )),
            Err(error) => Err(failed(error.to_string())),
        }
    }
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

fn refunder(args: &RefundArgs, config: &Config, chain: &ResolvedChain) -> anyhow::Result<Refunder> {
    let endpoints: Vec<Endpoint> = match &args.rpc {
        Some(rpc) => vec![Endpoint::new(rpc.clone())],
        None => chain.nodes.endpoints.iter().map(|(endpoint, _)| endpoint.clone()).collect(),
    };
    if endpoints.is_empty() {
        bail!("--rpc: which node is to take the transaction?");
    }
    let account = payer_key(args.key_file.as_deref())?;
    let mut nodes = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        nodes.push(Arc::new(RpcNode::connect(endpoint, chain.profile.clone())?));
    }
    let turn = config.database().with_file_name(format!("{}-{}.lock", chain.profile.name, account.address()));
    Ok(Refunder::new(nodes, account, turn))
}
