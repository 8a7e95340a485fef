//! `salt402 unserved`: payments whose requests were not answered, and what was done about them.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use salt402_protocol::{Amount, PaymentId};
use salt402_store::{Store, Unserved};

use crate::args::{ListArgs, RetryArgs, UnservedSettleArgs};
use crate::commands::open_gateways;
use crate::config::Config;
use crate::out::say;

/// Prints payments without an answer, the last changed first. The database may be in use.
pub(crate) async fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let mut none = true;
    for store in open_gateways(&Config::load(&args.at.config)?).await? {
        let unserved = store.all_unserved(args.all, args.limit).await?;
        none &= unserved.is_empty();
        let mut batches = BTreeSet::new();
        for payment in &unserved {
            let refund = match payment.part {
                // Told once for all that are given up of it.
                Some(part) => {
                    batches.insert(part.payment);
                    String::new()
                }
                None => how_to_refund(&store, payment).await?,
            };
            say!("{}{refund}", line(payment));
        }
        for payment in batches {
            if let Some(owed) = owed(&store, payment).await? {
                say!("{owed}");
            }
        }
        store.close().await;
    }
    if none {
        say!("no payment is without its answer");
    }
    Ok(ExitCode::SUCCESS)
}

/// Notes that a payment was settled.
pub(crate) async fn settle(args: &UnservedSettleArgs) -> anyhow::Result<ExitCode> {
    let note = args.made_good.note.trim();
    if note.is_empty() {
        bail!("--note: say how it was made good, as in --note \"refunded in 0x…\"");
    }
    let payment = PaymentId(args.payment);
    let mut done = false;
    for store in open_gateways(&Config::load(&args.made_good.at.config)?).await? {
        done |= store.settle_unserved(payment, note.to_owned()).await?;
        store.close().await;
    }
    if !done {
        bail!(unknown(payment));
    }
    say!("payment {payment} is settled: it is not served any more");
    Ok(ExitCode::SUCCESS)
}

/// Lets a payment's request be tried again.
pub(crate) async fn retry(args: &RetryArgs) -> anyhow::Result<ExitCode> {
    let payment = PaymentId(args.payment);
    let mut done = false;
    for store in open_gateways(&Config::load(&args.at.config)?).await? {
        done |= store.reopen_unserved(payment).await?;
        store.close().await;
    }
    if !done {
        bail!(unknown(payment));
    }
    say!("payment {payment} is tried again when its proof is shown");
    Ok(ExitCode::SUCCESS)
}

fn unknown(payment: PaymentId) -> String {
    format!(
        "{payment} is no payment that was given up and not made good; `salt402 unserved list` names those that are"
    )
}

/// The command that gives a payment back; of a channel, and in a gateway's own database, none is known.
async fn how_to_refund(store: &Store, unserved: &Unserved) -> anyhow::Result<String> {
    if !unserved.ended || unserved.settled.is_some() {
        return Ok(String::new());
    }
    let payments = store.payments_in(unserved.chain, unserved.transaction).await?;
    let is_payment = payments.iter().any(|row| row.placed.payment.id == unserved.payment);
    Ok(if is_payment {
        format!("; to give it back: salt402 refund {}", unserved.transaction)
    } else {
        String::new()
    })
}

/// What is owed of a payment of which parts were given up, and the command that gives it back.
async fn owed(store: &Store, payment: PaymentId) -> anyhow::Result<Option<String>> {
    let mut parts = store.unserved_parts(payment).await?;
    parts.retain(|part| part.ended && part.settled.is_none());
    let Some(first) = parts.first() else { return Ok(None) };
    // They are parts of one payment.
    let sum = parts.iter().try_fold(Amount::ZERO, |sum, part| sum.checked_add(part.amount));
    let sum = sum.context("parts are worth more than any payment")?;
    let places: Vec<_> =
        parts.iter().filter_map(|part| part.part).map(|part| part.place.to_string()).collect();
    let mut line = format!(
        "{payment} is owed {sum} base units of {}, for its requests {}",
        first.asset,
        places.join(", ")
    );
    let payments = store.payments_in(first.chain, first.transaction).await?;
    if payments.iter().any(|row| row.placed.payment.id == payment) {
        line.push_str(&format!("; to give them back: salt402 refund {} --amount {sum}", first.transaction));
    }
    Ok(Some(line))
}

fn line(unserved: &Unserved) -> String {
    let state = match (&unserved.settled, unserved.ended) {
        (Some(note), _) => format!("settled: {note}"),
        (None, true) => "given up: paid and not served".to_owned(),
        (None, false) => "is tried again when its proof is shown".to_owned(),
    };
    let Unserved { payment, chain, transaction, payer, asset, amount, sold, runs, detail, .. } = unserved;
    let whole = unserved.part.map_or_else(String::new, |part| format!(" (of payment {})", part.payment));
    format!(
        "{payment}{whole} on {chain} by {payer} in {transaction}: {amount} base units of {asset} for {sold}; runs {runs}, last: \
         {detail}; {state}"
    )
}
