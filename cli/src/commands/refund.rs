//! `salt402 refund`: a payment is given back by its payee, once.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use async_trait::async_trait;
use salt402_chain::{Endpoint, RpcNode};
use salt402_client::{BeforeSending, PayError, RefundOutcome, RefundTerms, Refunder, SignedPayment};
use salt402_protocol::{Address, Amount, Asset, Payment, Proof, SourceKind, U256};
use salt402_store::{IndexedPayment, Referred, RefundOrder, RefundState, Refunded, Refunds, Store};

use super::chain::choose;
use crate::args::RefundArgs;
use crate::config::{Config, ResolvedChain, parse_price, payer_key};
use crate::out::say;

/// Blocks that the index may be behind the node.
const TOLERATED_LAG: u64 = 3;
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
    let Found { payment: found, others, paid } = find(args, chain, store).await?;
    let payment = &found.placed.payment;
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
    if let Some(order) = begun(&known, &refunder).await? {
        let amount = told(chain, order.of.asset, order.amount);
        say!("going on with the refund of {amount} by {}, which was begun before", order.transaction);
        if args.dry_run {
            say!("nothing was sent");
            return Ok(ExitCode::SUCCESS);
        }
        return finish(args, chain, store, &refunder, &order, payment).await;
    }
    if !args.force {
        refuse_risky(chain, &found, others)?;
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
    let write_down = WriteDown { store, of, terms, known };
    let signed = refunder.send(&terms, &write_down).await?;
    say!("giving back {what}: transaction {}", signed.transaction);
    finish(args, chain, store, &refunder, &write_down.order(&signed), payment).await
}

/// The payment that is named.
struct Found {
    payment: IndexedPayment,
    /// How many others of its payer have its reference.
    others: usize,
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
    let mut same = match store.payments_for(id, of.reference, 0..=u64::MAX).await? {
        Referred::Payments(rows) => rows,
        Referred::TooMany => Vec::new(),
    };
    same.retain(|row| row.canonical && Refunded::of(&row.placed.payment) == of);
    let paid = same.iter().fold(U256::ZERO, |sum, row| sum.saturating_add(row.placed.payment.amount.0));
    let paid = Amount(paid.max(found.placed.payment.amount.0));
    Ok(Found { payment: found, others: same.len().saturating_sub(1), paid })
}

/// What is better known before the money is gone.
fn refuse_risky(chain: &ResolvedChain, found: &IndexedPayment, others: usize) -> anyhow::Result<()> {
    let (deep, needed) = (found.confirmations, chain.policy.final_at);
    if deep < needed {
        bail!(
            "the payment has {deep} of {needed} confirmations and is not final: if it left the chain, what was given back would \
             be lost; wait, or use --force"
        );
    }
    if others > 0 {
        bail!(
            "{others} more payments of the same payer have this reference, and a refund names no single one of them: after it, \
             none of them buys anything; use --force, or send the money of the one that was too much by a plain transfer"
        );
    }
    Ok(())
}

/// What was given back by other means is known only where the index is current.
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
    let indexed = state.and_then(|state| state.cursor).map_or(0, |cursor| cursor.number);
    let head = refunder.head().await?;
    if head > indexed.saturating_add(TOLERATED_LAG) {
        bail!(
            "the index stands at block {indexed} and the node at {head}, and something may have been given back since: let \
             `salt402 up` or `salt402 index` catch up, or use --force"
        );
    }
    Ok(())
}

/// A refund of before that is still to be seen to its end: one that is on its way, or one whose block left the chain.
async fn begun(known: &Refunds, refunder: &Refunder) -> anyhow::Result<Option<RefundOrder>> {
    if let Some(open) = known.open() {
        return Ok(Some(open.clone()));
    }
    for order in known.orders.iter().filter(|order| order.state == RefundState::Mined) {
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
    let outcome = refunder.finish(&signed, &mut overtaken_at, Duration::from_secs(args.timeout)).await;
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
    use salt402_protocol::{B256, ChainId};
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
