//! `salt402 settlements`: signed payments that the facilitator settles, and what came of them.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use salt402_protocol::{B256, ChainId, PaymentId};
use salt402_store::{
    SettlementAttempt, SettlementFilter, SettlementRow, SettlementState, SlotTransaction, Store,
};
use serde_json::{Value, json};

use crate::args::{SettlementStateArg, SettlementsListArgs, SettlementsRetryArgs, SettlementsShowArgs};
use crate::config::Config;
use crate::out::say;
use crate::visible::visible_line;

/// The exit code where no money moved and none will.
const FAILED: u8 = 2;
/// The exit code where the outcome is not known yet.
const OPEN: u8 = 3;
/// The most that is shown of what was tried with one.
const ATTEMPTS: u32 = 100;

/// Prints settlements, the newest first. The database may be in use.
pub(crate) async fn list(args: &SettlementsListArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let filter = SettlementFilter {
        chain: args.chain.as_deref().map(|name| chain_named(&config, name)).transpose()?,
        state: args.state.map(state),
        before: args.after,
    };
    let store = super::open(config.database()).await?;
    let rows = store.settlements_where(&filter, args.limit).await?;
    store.close().await;
    if args.json {
        say!("{}", visible_line(&Value::Array(rows.iter().map(json_of).collect()).to_string()));
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        say!("no settlement");
    }
    for row in &rows {
        say!("{}", visible_line(&line(row)));
    }
    if let Some(last) = rows.last().filter(|_| rows.len() == args.limit as usize) {
        say!("there may be more: --after {}", last.number);
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints one settlement with its transactions, and says by the exit code how it stands.
pub(crate) async fn show(args: &SettlementsShowArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let store = super::open(config.database()).await?;
    let row = find(&config, &store, &args.settlement).await?;
    let transactions = store.settlement_transactions(row.number).await?;
    let attempts = store.settlement_attempts(row.claimed.chain, row.claimed.payment, ATTEMPTS).await?;
    store.close().await;
    if args.json {
        let mut told = json_of(&row);
        told["transactions"] = transactions.iter().map(transaction_json).collect();
        told["attempts"] = attempts.iter().map(attempt_json).collect();
        say!("{}", visible_line(&told.to_string()));
    } else {
        say!("{}", visible_line(&line(&row)));
        for (what, text) in details(&row) {
            say!("  {what}: {}", visible_line(&text));
        }
        for transaction in &transactions {
            say!("  {}", visible_line(&transaction_line(transaction)));
        }
        for attempt in &attempts {
            say!("  {}", visible_line(&attempt_line(attempt)));
        }
    }
    Ok(match row.state {
        SettlementState::Settled => ExitCode::SUCCESS,
        SettlementState::Failed => ExitCode::from(FAILED),
        SettlementState::Queued | SettlementState::Sent => ExitCode::from(OPEN),
    })
}

/// Lets a settlement that failed be tried again.
pub(crate) async fn retry(args: &SettlementsRetryArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let store = super::open(config.database()).await?;
    let row = find(&config, &store, &args.settlement).await?;
    let done = store.retry_settlement(row.claimed.chain, row.claimed.payment).await?;
    store.close().await;
    if !done {
        bail!(
            "settlement {} is {}: only what failed within the last day can be tried again, since later its signature is not \
             kept any more. Whoever has the payment may ask to settle it",
            row.number,
            row.state.name()
        );
    }
    say!("settlement {} is tried again by the facilitator, now or when it runs next", row.number);
    Ok(ExitCode::SUCCESS)
}

/// The settlement with a number, or of a payment on whichever chain.
async fn find(config: &Config, store: &Store, text: &str) -> anyhow::Result<SettlementRow> {
    let unknown = || format!("there is no settlement {text}; `salt402 settlements list` names them");
    if let Ok(number) = text.parse::<u64>() {
        return store.settlements_numbered(&[number]).await?.pop().with_context(unknown);
    }
    let payment: B256 = text
        .parse()
        .map_err(|_| anyhow::anyhow!("expected a settlement's number or a payment's id, found {text:?}"))?;
    for chain in config.chains()? {
        if let Some(row) = store.settlement(chain.profile.chain_id, PaymentId(payment)).await? {
            return Ok(row);
        }
    }
    bail!(unknown())
}

fn chain_named(config: &Config, name: &str) -> anyhow::Result<ChainId> {
    let chains = config.chains()?;
    let chain = chains.iter().find(|chain| chain.name == name);
    chain.map(|chain| chain.profile.chain_id).with_context(|| {
        let known: Vec<_> = chains.iter().map(|chain| chain.name.as_str()).collect();
        format!("--chain: expected one of {}, found {name:?}", known.join(", "))
    })
}

const fn state(state: SettlementStateArg) -> SettlementState {
    match state {
        SettlementStateArg::Queued => SettlementState::Queued,
        SettlementStateArg::Sent => SettlementState::Sent,
        SettlementStateArg::Settled => SettlementState::Settled,
        SettlementStateArg::Failed => SettlementState::Failed,
    }
}

fn line(row: &SettlementRow) -> String {
    let of = &row.claimed;
    let at = match (row.transaction, row.block) {
        (Some(transaction), Some(block)) => format!(" in {transaction}, block {block}"),
        (Some(transaction), None) => format!(" in {transaction}"),
        (None, _) => String::new(),
    };
    let why = match (&row.reason, &row.detail) {
        (Some(reason), Some(detail)) => format!(": {reason}, {detail}"),
        (Some(one), None) | (None, Some(one)) => format!(": {one}"),
        (None, None) => String::new(),
    };
    format!(
        "{} {} on {}: {} base units of {} from {} to {} by {}{at}{why}",
        row.number,
        row.state.name(),
        of.chain,
        of.charge,
        of.token,
        of.payer,
        of.payee,
        of.method,
    )
}

/// What the line of a settlement does not say.
fn details(row: &SettlementRow) -> Vec<(&'static str, String)> {
    let of = &row.claimed;
    let mut told = vec![
        ("payment", of.payment.to_string()),
        ("signed", format!("{} base units", of.amount)),
        ("asked for by", of.caller.clone().unwrap_or_else(|| "whoever reaches the address".to_owned())),
        ("cost", format!("{} gas, {} base units of the coin", row.gas_used, row.fee)),
    ];
    if let Some(sender) = of.sender {
        told.push(("only sender", sender.to_string()));
    }
    if row.again {
        told.push((
            "again",
            "nothing of it was mined: whoever sends it once more has it tried again".to_owned(),
        ));
    }
    told
}

fn transaction_line(transaction: &SlotTransaction) -> String {
    let SlotTransaction { slot, hash, carries, gas_limit, max_fee_per_gas, state, block, .. } = transaction;
    if slot.signer.is_zero() {
        return format!("settled by somebody else: {hash}, {}", state.name());
    }
    let what = if *carries { "transaction" } else { "transaction that only uses the nonce up" };
    let at = block.map_or_else(String::new, |(number, _)| format!(" in block {number}"));
    format!(
        "{what} {hash} of {} with nonce {}, gas limit {gas_limit}, at most {max_fee_per_gas} a gas: {}{at}",
        slot.signer,
        slot.nonce,
        state.name()
    )
}

fn attempt_line(attempt: &SettlementAttempt) -> String {
    let by = attempt.caller.as_ref().map_or_else(String::new, |caller| format!(" by {caller}"));
    let why: Vec<&str> =
        [&attempt.reason, &attempt.detail].into_iter().flatten().map(String::as_str).collect();
    let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(", ")) };
    format!("tried at {} ms{by}: {}{why}", attempt.at_ms, attempt.outcome)
}

fn json_of(row: &SettlementRow) -> Value {
    let of = &row.claimed;
    json!({
        "number": row.number,
        "state": row.state.name(),
        "chain": of.chain.to_string(),
        "payment": of.payment.to_string(),
        "method": of.method,
        "token": of.token.to_string(),
        "payer": of.payer.to_string(),
        "payee": of.payee.to_string(),
        "amount": of.amount.to_string(),
        "charge": of.charge.to_string(),
        "sender": of.sender.map(|sender| sender.to_string()),
        "caller": of.caller,
        "reason": row.reason,
        "detail": row.detail,
        "again": row.again,
        "transaction": row.transaction.map(|hash| hash.to_string()),
        "block": row.block,
        "gas_used": row.gas_used,
        "fee": row.fee.to_string(),
        "made_at_ms": row.made_at_ms,
        "changed_at_ms": row.changed_at_ms,
    })
}

fn transaction_json(transaction: &SlotTransaction) -> Value {
    let ours = !transaction.slot.signer.is_zero();
    json!({
        "transaction": transaction.hash.to_string(),
        "signer": ours.then(|| transaction.slot.signer.to_string()),
        "nonce": ours.then_some(transaction.slot.nonce),
        "settles": transaction.carries,
        "gas_limit": transaction.gas_limit,
        "max_fee_per_gas": transaction.max_fee_per_gas.to_string(),
        "state": transaction.state.name(),
        "block": transaction.block.map(|(number, _)| number),
    })
}

fn attempt_json(attempt: &SettlementAttempt) -> Value {
    json!({
        "at_ms": attempt.at_ms,
        "caller": attempt.caller,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "detail": attempt.detail,
        "transaction": attempt.transaction.map(|hash| hash.to_string()),
    })
}
