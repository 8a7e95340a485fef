//! `salt402 charges`: what requests used that are charged by use, and what became of it.

use std::process::ExitCode;

use anyhow::bail;
use salt402_http::clock;
use salt402_protocol::PaymentId;
use salt402_store::{Charge, ChargeState};
use serde_json::{Value, json};

use crate::args::{ChargesListArgs, ChargesShowArgs, ChargesWriteOffArgs};
use crate::commands::open_gateways;
use crate::config::Config;
use crate::out::say;
use crate::visible::visible_line;

/// The exit code where no money moved and none will.
const OWED: u8 = 2;
/// The exit code where it is not known yet.
const OPEN: u8 = 3;

/// Prints charges. The database may be in use.
pub(crate) async fn list(args: &ChargesListArgs) -> anyhow::Result<ExitCode> {
    let mut charges = Vec::new();
    for store in open_gateways(&Config::load(&args.at.config)?).await? {
        charges.extend(store.charges(args.all, args.limit).await?);
        store.close().await;
    }
    let has_more = charges.len() >= args.limit as usize;
    if args.json {
        say!("{}", visible_line(&Value::Array(charges.iter().map(json_of).collect()).to_string()));
        return Ok(ExitCode::SUCCESS);
    }
    for charge in &charges {
        say!("{}", visible_line(&line(charge)));
    }
    if charges.is_empty() {
        say!("no charge is open");
    } else if has_more {
        say!("there may be more: --limit");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints one charge, and says by the exit code how it stands.
pub(crate) async fn show(args: &ChargesShowArgs) -> anyhow::Result<ExitCode> {
    let payment = PaymentId(args.payment);
    let mut found = None;
    for store in open_gateways(&Config::load(&args.at.config)?).await? {
        found = found.or(store.charge(payment).await?);
        store.close().await;
    }
    let Some(charge) = found else { bail!(unknown(payment)) };
    if args.json {
        say!("{}", visible_line(&json_of(&charge).to_string()));
    } else {
        say!("{}", visible_line(&line(&charge)));
        for (what, text) in details(&charge) {
            say!("  {what}: {}", visible_line(&text));
        }
    }
    Ok(match charge.state {
        ChargeState::Settled => ExitCode::SUCCESS,
        ChargeState::Unpaid | ChargeState::WrittenOff => ExitCode::from(OWED),
        ChargeState::Running | ChargeState::Charged => ExitCode::from(OPEN),
    })
}

/// Asks no more for a charge.
pub(crate) async fn write_off(args: &ChargesWriteOffArgs) -> anyhow::Result<ExitCode> {
    let note = args.note.trim();
    if note.is_empty() {
        bail!("--note: say why, as in --note \"paid in 0x…\"");
    }
    let payment = PaymentId(args.payment);
    let (mut done, mut found) = (false, None);
    for store in open_gateways(&Config::load(&args.at.config)?).await? {
        done |= store.write_charge_off(payment, note.to_owned()).await?;
        found = found.or(store.charge(payment).await?);
        store.close().await;
    }
    let Some(charge) = found else { bail!(unknown(payment)) };
    if !done {
        bail!(
            "payment {payment} {}: only what could not be settled is written off, and what is not settled when its \
             authorization has ended",
            state(&charge)
        );
    }
    say!("payment {payment} is written off: nothing is asked for it any more");
    Ok(ExitCode::SUCCESS)
}

fn unknown(payment: PaymentId) -> String {
    format!(
        "nothing is charged by use of a payment {payment}; `salt402 charges list --all` names those of which it is"
    )
}

fn line(charge: &Charge) -> String {
    let Charge { payment, chain, payer, ceiling, .. } = charge;
    let amount =
        charge.amount.map_or_else(|| "what is not known yet".to_owned(), |amount| amount.to_string());
    let way = if charge.question.is_some() { "by signature" } else { "by voucher or API key" };
    format!("{payment} on {chain} by {payer}: {amount} of {ceiling} base units, {way}; {}", state(charge))
}

fn state(charge: &Charge) -> String {
    match charge.state {
        ChargeState::Running => "is under way, or waits for its payer to show it again".to_owned(),
        ChargeState::Charged => "is charged, and not settled yet".to_owned(),
        ChargeState::Settled => "is settled".to_owned(),
        ChargeState::WrittenOff => {
            format!("is written off: {}", charge.note.as_deref().unwrap_or_default())
        }
        ChargeState::Unpaid if charge.due_ms.is_none() => "is owed, and not tried again".to_owned(),
        ChargeState::Unpaid => "is owed, and tried again".to_owned(),
    }
}

/// What the line of a charge does not say.
fn details(charge: &Charge) -> Vec<(&'static str, String)> {
    let now_ms = clock::now_ms();
    let mut told = vec![
        ("request", charge.request.to_string()),
        ("begun", ago(now_ms, charge.began_at_ms)),
        ("authorized until", ago(now_ms, charge.ends_at_ms)),
        ("changed", ago(now_ms, charge.changed_at_ms)),
        ("tried", format!("{} times", charge.tries)),
    ];
    if !charge.detail.is_empty() {
        told.push(("said last", charge.detail.clone()));
    }
    if let Some(due_ms) = charge.due_ms {
        told.push(("next step", ago(now_ms, due_ms)));
    }
    if let Some(note) = &charge.note {
        told.push(("note", note.clone()));
    }
    told
}

/// A time as it stands in the database, and from now.
fn ago(now_ms: u64, at_ms: u64) -> String {
    let seconds = now_ms.abs_diff(at_ms) / 1000;
    let side = if at_ms > now_ms { "from now" } else { "ago" };
    format!("{at_ms} ms, {seconds} s {side}")
}

fn json_of(charge: &Charge) -> Value {
    json!({
        "payment": charge.payment.to_string(),
        "state": charge.state.word(),
        "chain": charge.chain.to_string(),
        "payer": charge.payer.to_string(),
        "request": charge.request.to_string(),
        "ceiling": charge.ceiling.to_string(),
        "amount": charge.amount.map(|amount| amount.to_string()),
        "signed": charge.question.is_some(),
        "began_at_ms": charge.began_at_ms,
        "ends_at_ms": charge.ends_at_ms,
        "due_ms": charge.due_ms,
        "changed_at_ms": charge.changed_at_ms,
        "tries": charge.tries,
        "detail": charge.detail,
        "note": charge.note,
    })
}
