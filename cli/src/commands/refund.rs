//! `salt402 refund`: a payment is given back by its payee, once.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use async_trait::async_trait;
use salt402_chain::{Endpoint, RpcNode};
use salt402_client::{
    BeforeSending, PayError, RefundOutcome, RefundTerms, Refunder, SignedPayment, Standing,
};
use salt402_indexer::{Look, ReceiptLookup};
use salt402_protocol::{Address, Amount, Asset, B256, Payment, Proof, SourceKind, U256};
use salt402_store::{IndexedPayment, Referred, RefundOrder, RefundState, Refunded, Refunds, Store};

use super::chain::choose;
use crate::args::RefundArgs;
use crate::config::{Config, ResolvedChain, parse_price, payer_key};
use crate::out::say;
use crate::wire::follower_options;

/// Blocks that the index may be behind the node.
const TOLERATED_LAG: u64 = 3;
/// How long before and after a payment others with its reference are looked for, in seconds.
const AROUND: u64 = 7 * 24 * 3600;
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

/// The payment that is named.
struct Found {
    payment: IndexedPayment,
    /// How many others of its payer have its reference. `None`: there are too many payments of its time to look.
    others: Option<usize>,
    /// What all of them paid, in base units.
    paid: Amount,
}

async fn find(args: &RefundArgs, chain: &ResolvedChain, store: &Store) -> anyhow::Result<Found> {
    let id = chain.profile.chain_id;
    let proof: Proof = args.payment.parse().map_err(|error| anyhow!("{}: {error}", args.payment))?;
    let Proof::Transaction { hash, ordinal } = proof else {
        bail!("{}: name a payment by its transaction's hash, or by its reference", args.payment);
    };
    let mut rows = store.payments_in(id, hash).await?;
    if rows.is_empty() && ordinal.is_none() {
        rows = match store.payments_for(id, hash, 0..=u64::MAX).await? {
            Referred::Payments(rows) => rows,
            Referred::TooMany => {
                bail!("{hash}: too many payments to look for a reference: name the transaction's hash")
            }
        };
    }
    rows.retain(|row| row.canonical && ordinal.is_none_or(|ordinal| row.placed.position == ordinal));
    let mut rows = rows.into_iter();
    let Some(found) = rows.next() else {
        bail!(
            "{hash}: the index has no payment on the chain with this transaction or reference; of a channel, close it \
             instead (docs/channels.md)"
        );
    };
    let of = Refunded::of(&found.placed.payment);
    if let Some(other) = rows.find(|row| Refunded::of(&row.placed.payment) != of) {
        let first = found.placed.position;
        bail!(
            "{hash}: there are several payments: name one by its place, such as {}:{first} or {}:{}",
            found.placed.payment.transaction,
            other.placed.payment.transaction,
            other.placed.position
        );
    }
    // A refund names reference and payer, so all of them are given back together.
    let mined = found.placed.block_timestamp;
    let around = mined.saturating_sub(AROUND)..=mined.saturating_add(AROUND);
    let same = match store.payments_for(id, of.reference, around).await? {
        Referred::Payments(mut rows) => {
            rows.retain(|row| row.canonical && Refunded::of(&row.placed.payment) == of);
            Some(rows)
        }
        Referred::TooMany => None,
    };
    let paid =
        same.iter().flatten().fold(U256::ZERO, |sum, row| sum.saturating_add(row.placed.payment.amount.0));
    let paid = Amount(paid.max(found.placed.payment.amount.0));
    let others = same.map(|same| same.len().saturating_sub(1));
    Ok(Found { payment: found, others, paid })
}

/// What is better known before the money is gone.
fn refuse_risky(chain: &ResolvedChain, found: &Found) -> anyhow::Result<()> {
    let (deep, needed) = (found.payment.confirmations, chain.policy.final_at);
    if deep < needed {
        bail!(
            "the payment has {deep} of {needed} confirmations and is not final: if it left the chain, what was given back would \
             be lost; wait, or use --force"
        );
    }
    refuse_shared(found.others)
}

/// A refund names a reference and no payment.
fn refuse_shared(others: Option<usize>) -> anyhow::Result<()> {
    match others {
        Some(0) => Ok(()),
        Some(others) => bail!(
            "{others} more payments of the same payer have this reference, and a refund names no single one of them: after it, \
             none of them buys anything; use --force, or send the money of the one that was too much by a plain transfer"
        ),
        None => bail!(
            "there are too many payments of this time to see whether others have this reference, and a refund would end those \
             too: use --force, or send the money by a plain transfer"
        ),
    }
}

/// What was sent after a backup was taken is not in the backup.
async fn refuse_restored(store: &Store, payment: &Payment) -> anyhow::Result<()> {
    if store.is_before_restore(payment.chain, payment.transaction, payment.id).await? {
        bail!(
            "the database was restored from a backup after this payment, so a refund of it may be forgotten: look whether {} \
             sent anything to {} since, and use --force if not",
            payment.payee,
            payment.payer
        );
    }
    Ok(())
}

/// What was given back by other means is known only where the index is current, and of the chain that the nodes show.
async fn refuse_unread(chain: &ResolvedChain, store: &Store, refunder: &Refunder) -> anyhow::Result<()> {
    let id = chain.profile.chain_id;
    let state = store.chain_state(id).await?;
    if state.is_some_and(|state| state.halt.is_some()) {
        bail!(
            "the chain is halted, so that it is not known whether the payment stays; see `salt402 chain resume`"
        );
    }
    let coverage = store.coverage(id).await?;
    if coverage.iter().any(|known| !known.unread.is_empty()) {
        bail!(
            "the past of a contract is still being read, and something may have been given back there: wait, or use --force"
        );
    }
    let Some(cursor) = state.and_then(|state| state.cursor) else {
        bail!("the index has read no block: let `salt402 up` or `salt402 index` catch up, or use --force");
    };
    let indexed = cursor.number;
    match refunder.standing(indexed, cursor.hash).await? {
        Standing::On { head } if head <= indexed.saturating_add(TOLERATED_LAG) => {}
        Standing::On { head } => bail!(
            "the index stands at block {indexed} and the node at {head}, and something may have been given back since: let \
             `salt402 up` or `salt402 index` catch up, or use --force"
        ),
        Standing::Below { head } => bail!(
            "the index stands at block {indexed} and a node at {head} only, so it does not know yet what is on the chain: try \
             again, name another node by --rpc, or use --force"
        ),
        Standing::Elsewhere => bail!(
            "a node has another block {indexed} than the index: it is on another chain or fork, where something else may have \
             been given back; try again, name another node by --rpc, or use --force"
        ),
    }
    let known = store.open_refund_nonces(id, refunder.account()).await?;
    if let Some(nonce) = refunder.unknown_pending(&known).await? {
        bail!(
            "a transaction of {} with the nonce {nonce} is in no block yet and was not sent by this database: it may give the \
             same back; wait until it is in a block and indexed, or use --force",
            refunder.account()
        );
    }
    Ok(())
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

/// The block of a refund where the index has it on the chain.
fn on_chain(known: &Refunds, order: &RefundOrder) -> Option<u64> {
    let mut on_chain = known.indexed.iter().filter(|refund| refund.canonical);
    on_chain.find(|refund| refund.transaction == order.transaction).map(|refund| refund.block_number)
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

/// Why nothing is to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// Nothing is left of it.
    Nothing { back: Amount },
    /// Some was given back, and nobody said that more is to be.
    Before { back: Amount, left: Amount },
    /// It is more than is left.
    TooMuch { asked: Amount, left: Amount },
    /// Nothing is asked.
    Zero,
}

impl Refusal {
    fn said(self, chain: &ResolvedChain, asset: Asset) -> String {
        let told = |amount| told(chain, asset, amount);
        match self {
            Self::Nothing { back } => {
                format!("{} was given back before, which is all that was paid: nothing was sent", told(back))
            }
            Self::Before { back, left } => format!(
                "{} was given back before, or is on its way, and {} is left: nothing was sent; use --again to give back more",
                told(back),
                told(left)
            ),
            Self::TooMuch { asked, left } => format!(
                "{} is asked for and {} is left of what was paid: nothing was sent; use --force to give back more",
                told(asked),
                told(left)
            ),
            Self::Zero => "--amount: nothing is to be given back; name more than 0".to_owned(),
        }
    }
}

/// How much is given back now, of a payment of `own` base units where all with its reference paid `paid`.
fn plan(
    own: Amount,
    paid: Amount,
    known: &Refunds,
    asked: Option<Amount>,
    again: bool,
    force: bool,
) -> Result<Amount, Refusal> {
    let back = known.committed();
    let left = Amount(paid.0.saturating_sub(back.0));
    let amount = asked.unwrap_or(own.min(left));
    if asked.is_some_and(|asked| asked.is_zero()) {
        return Err(Refusal::Zero);
    }
    if left.is_zero() && !(force && again && asked.is_some()) {
        return Err(Refusal::Nothing { back });
    }
    if !back.is_zero() && !again {
        return Err(Refusal::Before { back, left });
    }
    if amount > left && !force {
        return Err(Refusal::TooMuch { asked: amount, left });
    }
    Ok(amount)
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

fn amount(chain: &ResolvedChain, asset: Asset, text: &str) -> anyhow::Result<Amount> {
    let profile = &chain.profile;
    match asset {
        Asset::Native => parse_price(text, &profile.native_symbol, profile.native_decimals)
            .map_err(|what| anyhow!("--amount: {what}")),
        Asset::Token(token) => Amount::from_base_units(text.trim()).map_err(|error| {
            anyhow!("--amount: expected a whole number of base units of the token {token}: {error}")
        }),
    }
}

/// An amount for people: the native coin in its units, tokens in base units.
fn told(chain: &ResolvedChain, asset: Asset, amount: Amount) -> String {
    match asset {
        Asset::Native => {
            format!("{} {}", amount.to_units(chain.profile.native_decimals), chain.profile.native_symbol)
        }
        Asset::Token(token) => format!("{amount} base units of {token}"),
    }
}

#[cfg(test)]
mod tests {
    use salt402_protocol::ChainId;
    use salt402_store::IndexedRefund;

    use super::*;

    fn units(amount: u64) -> Amount {
        Amount(U256::from(amount))
    }

    fn given_back(amount: u64) -> Refunds {
        let refund = IndexedRefund {
            id: B256::repeat_byte(1),
            contract: Address::ZERO,
            transaction: B256::repeat_byte(2),
            amount: units(amount),
            block_number: 1,
            block_hash: B256::ZERO,
            block_timestamp: 1,
            canonical: true,
        };
        Refunds { indexed: vec![refund], orders: Vec::new() }
    }

    fn ordered(amount: u64, state: RefundState) -> Refunds {
        let of = Refunded {
            chain: ChainId::CITRATE,
            reference: B256::ZERO,
            payer: Address::ZERO,
            payee: Address::ZERO,
            asset: Asset::Native,
        };
        let order = RefundOrder {
            of,
            contract: Address::ZERO,
            amount: units(amount),
            transaction: B256::repeat_byte(3),
            nonce: 0,
            raw: Vec::new(),
            state,
            overtaken_at: None,
        };
        Refunds { indexed: Vec::new(), orders: vec![order] }
    }

    #[test]
    fn a_payment_whose_reference_others_have_or_may_have_is_not_given_back_without_a_word() {
        assert!(refuse_shared(Some(0)).is_ok());
        for (others, said) in [(Some(2), "2 more payments"), (None, "too many payments of this time")] {
            assert!(refuse_shared(others).unwrap_err().to_string().contains(said));
        }
    }

    /// What the index shows on the chain needs no node to say so.
    #[test]
    fn a_refund_that_the_index_has_on_the_chain_is_mined() {
        let mut known = ordered(4, RefundState::Open);
        let order = known.orders[0].clone();
        known.indexed = given_back(4).indexed;
        assert_eq!(on_chain(&known, &order), None, "it is another transaction");
        known.indexed[0].transaction = order.transaction;
        assert_eq!(on_chain(&known, &order), Some(1));
        known.indexed[0].canonical = false;
        assert_eq!(on_chain(&known, &order), None);
    }

    #[test]
    fn no_more_is_given_back_than_was_paid_and_nothing_twice_unless_somebody_says_so() {
        let (none, paid) = (Refunds::default(), units(10));
        let plan = |known: &Refunds, asked: Option<u64>, again, force| {
            plan(paid, paid, known, asked.map(units), again, force)
        };
        assert_eq!(plan(&none, None, false, false), Ok(units(10)));
        assert_eq!(plan(&none, Some(3), false, false), Ok(units(3)));
        assert_eq!(plan(&none, Some(0), false, true), Err(Refusal::Zero));
        let too_much = Refusal::TooMuch { asked: units(11), left: units(10) };
        assert_eq!(plan(&none, Some(11), false, false), Err(too_much));
        assert_eq!(plan(&none, Some(11), false, true), Ok(units(11)));
        for part in [given_back(4), ordered(4, RefundState::Mined), ordered(4, RefundState::Open)] {
            let before = Refusal::Before { back: units(4), left: units(6) };
            for force in [false, true] {
                assert_eq!(plan(&part, None, false, force), Err(before), "the same command again");
                assert_eq!(plan(&part, Some(4), false, force), Err(before));
            }
            assert_eq!(plan(&part, None, true, false), Ok(units(6)));
            let too_much = Refusal::TooMuch { asked: units(7), left: units(6) };
            assert_eq!(plan(&part, Some(7), true, false), Err(too_much));
        }
        assert_eq!(plan(&ordered(4, RefundState::Void), None, false, false), Ok(units(10)));
        for (again, force) in [(false, false), (true, false), (false, true), (true, true)] {
            assert_eq!(plan(&given_back(10), None, again, force), Err(Refusal::Nothing { back: units(10) }));
        }
        assert_eq!(plan(&given_back(10), Some(1), true, true), Ok(units(1)));
        // Of two payments for one reference, one is given back at a time.
        let two = |known: &Refunds, again| super::plan(paid, units(20), known, None, again, true);
        assert_eq!(two(&none, false), Ok(units(10)));
        assert_eq!(two(&given_back(10), true), Ok(units(10)));
        assert_eq!(two(&given_back(15), true), Ok(units(5)));
    }
}
