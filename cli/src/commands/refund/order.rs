//! Refunds as orders: on disk before they are sent, gone on with by whoever runs the command again, and seen to their end.
//! Payments and channels have them alike.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;
use salt402_chain::{Endpoint, RpcNode};
use salt402_client::{BeforeSending, PayError, RefundOutcome, RefundTerms, Refunder, SignedPayment};
use salt402_indexer::{Look, ReceiptLookup};
use salt402_protocol::B256;
use salt402_store::{RefundOrder, RefundState, Refunded, Refunds, Store};

use super::amounts::told;
use super::plan::on_chain;
use crate::args::SendArgs;
use crate::config::{Config, ResolvedChain, payer_key};
use crate::out::say;
use crate::wire::follower_options;

/// How often the receipt of a refund is looked at until the index has its block.
const LOOKS: usize = 10;
/// The pause between these looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Sends refunds of one payee on one chain, with the database that remembers them.
pub(crate) struct Orders<'a> {
    pub(crate) args: &'a SendArgs,
    pub(crate) chain: &'a ResolvedChain,
    pub(crate) store: &'a Store,
    pub(crate) refunder: Refunder,
}

impl<'a> Orders<'a> {
    pub(crate) fn new(
        args: &'a SendArgs,
        config: &Config,
        chain: &'a ResolvedChain,
        store: &'a Store,
    ) -> anyhow::Result<Self> {
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
        let turn =
            config.database().with_file_name(format!("{}-{}.lock", chain.profile.name, account.address()));
        Ok(Self { args, chain, store, refunder: Refunder::new(nodes, account, turn) })
    }

    /// A refund of before that is still to be seen to its end: one that is on its way, or one whose block left the chain.
    pub(crate) async fn begun(&self, known: &Refunds) -> anyhow::Result<Option<RefundOrder>> {
        if let Some(open) = known.open() {
            return Ok(Some(open.clone()));
        }
        for order in known.orders.iter().filter(|order| order.state == RefundState::Mined) {
            if on_chain(known, order).is_some() {
                continue;
            }
            match self.refunder.is_mined(order.transaction).await {
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

    /// Goes on with one of before. `None`: with --dry-run, nothing was sent.
    pub(crate) async fn go_on(
        &self,
        order: RefundOrder,
        known: &Refunds,
    ) -> anyhow::Result<Option<RefundOrder>> {
        let amount = told(self.chain, order.of.asset, order.amount);
        say!("going on with the refund of {amount} by {}, which was begun before", order.transaction);
        if self.args.dry_run {
            say!("nothing was sent");
            return Ok(None);
        }
        self.finish(order, known).await.map(Some)
    }

    /// Writes a refund down, sends it, and sees it to its end. `what` is said of it.
    pub(crate) async fn give(
        &self,
        of: Refunded,
        terms: RefundTerms,
        known: &Refunds,
        what: &str,
    ) -> anyhow::Result<RefundOrder> {
        let write_down = WriteDown { store: self.store, of, terms, known: known.clone() };
        let signed = self.refunder.send(&terms, &write_down).await?;
        say!("giving back {what}: transaction {}", signed.transaction);
        self.finish(write_down.order(&signed), known).await
    }

    /// Sees a refund to its end, which is written down. In the order that is returned, it is mined, or open.
    async fn finish(&self, mut order: RefundOrder, known: &Refunds) -> anyhow::Result<RefundOrder> {
        let signed = SignedPayment {
            network: self.chain.profile.name.clone(),
            payer: order.of.payee,
            transaction: order.transaction,
            nonce: order.nonce,
            raw: order.raw.clone().into(),
            deadline: None,
        };
        let timeout = Duration::from_secs(self.args.timeout);
        let outcome = match on_chain(known, &order) {
            Some(block) => RefundOutcome::Mined { block },
            None => self.refunder.finish(&signed, &mut order.overtaken_at, timeout).await,
        };
        order.state = match &outcome {
            RefundOutcome::Mined { block } => {
                order.mined_in = Some(*block);
                // Before it is noted as mined: the index would miss it.
                self.index_merged(order.transaction).await;
                RefundState::Mined
            }
            RefundOutcome::Void(_) => RefundState::Void,
            RefundOutcome::Open(_) => RefundState::Open,
        };
        self.store.note_refund(order.clone()).await?;
        match outcome {
            RefundOutcome::Mined { block } => {
                say!(
                    "{} was given back, in block {block} by {}",
                    told(self.chain, order.of.asset, order.amount),
                    order.transaction
                );
                let last = block.saturating_add(self.chain.policy.final_at);
                if self.refunder.head().await.is_none_or(|head| head < last) {
                    say!(
                        "it is final at block {last}: if its block leaves the chain before, an incident says so, and the same \
                         command sends it again"
                    );
                }
            }
            RefundOutcome::Void(why) => bail!(
                "{} gave nothing back: {why}; run the same command again to give it back anew",
                order.transaction
            ),
            RefundOutcome::Open(why) => say!(
                "{} is in no block yet ({why}): run the same command again, which goes on with it and sends nothing twice",
                order.transaction
            ),
        }
        Ok(order)
    }

    /// On a chain that merges blocks, the logs may not show the refund: its receipt is read into the index. Where that fails, the
    /// order that was written down still keeps it from being made twice.
    async fn index_merged(&self, transaction: B256) {
        let Some(node) = self.refunder.node().filter(|_| self.chain.profile.merges_blocks) else { return };
        let lookup = ReceiptLookup::new(node, self.store.clone(), follower_options(self.chain));
        for _ in 0..LOOKS {
            // A refund alone is no payment.
            if let Ok(Look::Found | Look::NoPayment { .. }) = lookup.look(transaction).await {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        say!("its receipt could not be read into the index yet");
    }
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
            mined_in: None,
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
                "something else was given back for the same in the meantime: run the command again"
                    .to_owned(),
            )),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}
