//! `salt402 keys`: API keys and their balances, as their operator sees them.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use salt402_http::clock::now_ms;
use salt402_protocol::api::KeyLimits;
use salt402_protocol::{AccountId, Amount, ApiKey, B128, B256, PaymentId};
use salt402_store::{Account, AccountChange, AccountEvent, Changed, NewAccount, Store};
use serde_json::{Value, json};

use crate::args::{
    KeyLimitArgs, KeysCommand, KeysCreateArgs, KeysLimitArgs, KeysListArgs, KeysRefundArgs, KeysRevokeArgs,
    KeysShowArgs, KeysTopUpArgs,
};
use crate::commands::open;
use crate::config::{Config, parse_price};
use crate::out::say;
use crate::visible::visible_line;

/// Runs one of its commands. The database may be in use.
pub(crate) async fn keys(command: &KeysCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeysCommand::Create(args) => create(args).await,
        KeysCommand::List(args) => list(args).await,
        KeysCommand::Show(args) => show(args).await,
        KeysCommand::TopUp(args) => top_up(args).await,
        KeysCommand::Limit(args) => limit(args).await,
        KeysCommand::Revoke(args) => revoke(args).await,
        KeysCommand::Refund(args) => refund(args).await,
    }
}

fn amount(config: &Config, text: &str) -> anyhow::Result<Amount> {
    let (symbol, decimals) = config.unit()?;
    parse_price(text, &symbol, decimals).map_err(|what| anyhow::anyhow!("{text:?}: {what}"))
}

fn limits(config: &Config, args: &KeyLimitArgs) -> anyhow::Result<KeyLimits> {
    let KeyLimitArgs { per_minute, per_day, model, path, days } = args;
    if let Some(odd) = model.iter().chain(path).find(|text| text.is_empty() || text.contains(['\n', '\r'])) {
        bail!("{odd:?}: expected a name in one line");
    }
    let ends_at = days.map(|days| (now_ms() / 1000).saturating_add(u64::from(days) * 86_400));
    Ok(KeyLimits {
        requests_per_minute: *per_minute,
        amount_per_day: per_day.as_ref().map(|text| amount(config, text)).transpose()?,
        models: model.clone(),
        paths: path.clone(),
        ends_at,
    })
}

/// The name under which the configured gateway claims. A gateway that runs alone has it in its own database.
async fn claimant(config: &Config, store: &Store) -> anyhow::Result<String> {
    let own = config.gateway_database();
    let is_alone = config.gateway.as_ref().is_some_and(|gateway| gateway.verifier.is_some());
    if !is_alone || !own.exists() {
        return Ok(store.get_or_create_identity().await?);
    }
    let gateway = open(own).await?;
    let name = gateway.get_or_create_identity().await?;
    gateway.close().await;
    Ok(name)
}

async fn create(args: &KeysCreateArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let payment = config.payment()?;
    let mut limits = limits(&config, &args.limits)?;
    if let Some(name) = &args.plan {
        let keys = config.gateway.as_ref().and_then(|gateway| gateway.keys.as_ref());
        let options = keys.context("--plan: there is no [gateway.keys]")?.options(&config.unit()?)?;
        let plan = options.plans.iter().find(|plan| plan.name == *name);
        let plan = plan.with_context(|| format!("--plan: there is no {name:?} in [gateway.keys]"))?;
        let of_plan = plan.limits.clone();
        let days = plan.days.map(|days| (now_ms() / 1000).saturating_add(u64::from(days) * 86_400));
        limits.requests_per_minute = limits.requests_per_minute.or(of_plan.requests_per_minute);
        limits.amount_per_day = limits.amount_per_day.or(of_plan.amount_per_day);
        limits.ends_at = limits.ends_at.or(days);
        if limits.models.is_empty() {
            limits.models = of_plan.models;
        }
        if limits.paths.is_empty() {
            limits.paths = of_plan.paths;
        }
    }
    let key = ApiKey::of_secret(B256::new(rand::random()));
    let store = open(config.database()).await?;
    let new = NewAccount {
        id: AccountId(B128::new(rand::random())),
        key_hash: key.hash(),
        claimant: claimant(&config, &store).await?,
        chain: payment.chain(&config.chains)?,
        asset: payment.asset(),
        plan: args.plan.clone().unwrap_or_default(),
        label: args.label.clone(),
        limits,
        amount: amount(&config, &args.amount)?,
        note: args.note.clone(),
        now_ms: now_ms(),
    };
    let id = new.id;
    let made = store.make_account(new).await?;
    store.close().await;
    if !made {
        bail!("the key that was drawn exists: run the command again");
    }
    if args.json {
        say!("{}", json!({ "account": id.to_string(), "key": key.reveal() }));
    } else {
        say!("account {id}");
        say!("key     {}", key.reveal());
        say!("the key is told only now: it is kept as its SHA-256");
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: &KeysListArgs) -> anyhow::Result<ExitCode> {
    let store = open(Config::load(&args.at.config)?.database()).await?;
    let accounts = store.accounts(args.after, args.limit).await?;
    store.close().await;
    if args.json {
        say!("{}", visible_line(&Value::Array(accounts.iter().map(json_of).collect()).to_string()));
        return Ok(ExitCode::SUCCESS);
    }
    for account in &accounts {
        say!("{}", visible_line(&line(account)));
    }
    match accounts.last() {
        None => say!("no API key was made or bought"),
        Some(last) if accounts.len() >= args.limit as usize => {
            say!("there may be more: --after {}", last.id);
        }
        Some(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(args: &KeysShowArgs) -> anyhow::Result<ExitCode> {
    let store = open(Config::load(&args.at.config)?.database()).await?;
    let account = store.account(args.account).await?;
    let events = store.account_events(args.account, None, args.limit).await?;
    store.close().await;
    let Some(account) = account else { bail!(unknown(args.account)) };
    if args.json {
        let mut told = json_of(&account);
        told["entries"] = events.iter().map(json_of_event).collect();
        say!("{}", visible_line(&told.to_string()));
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", visible_line(&line(&account)));
    say!(
        "  credited {}, used {}, reserved {}, given back {}",
        account.credited,
        account.spent,
        account.reserved,
        account.returned
    );
    say!("  {}", visible_line(&limits_in_words(&account.limits)));
    for event in &events {
        say!("  {}", visible_line(&event_line(event)));
    }
    Ok(ExitCode::SUCCESS)
}

async fn top_up(args: &KeysTopUpArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let amount = amount(&config, &args.amount)?;
    change(&config, args.account, AccountChange::Grant(amount), &args.note).await
}

async fn limit(args: &KeysLimitArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let limits = limits(&config, &args.limits)?;
    let note = format!("{}: {}", limits_in_words(&limits), noted(&args.note)?);
    change(&config, args.account, AccountChange::Limits(limits), &note).await
}

async fn revoke(args: &KeysRevokeArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    change(&config, args.account, AccountChange::Revoke, &args.note).await
}

async fn refund(args: &KeysRefundArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.at.config)?;
    let payment = args.payment.map(PaymentId);
    let amount = match &args.amount {
        Some(text) => amount(&config, text)?,
        None => {
            let store = open(config.database()).await?;
            let account = store.account(args.account).await?;
            store.close().await;
            account.with_context(|| unknown(args.account))?.free()
        }
    };
    let done = change(&config, args.account, AccountChange::Return(amount, payment), &args.note).await?;
    say!(
        "{amount} base units are out of the balance. `salt402 refund` sends them back: by the transaction that paid, as `salt402 keys show` \
          names its payment"
    );
    Ok(done)
}

fn noted(note: &str) -> anyhow::Result<&str> {
    let note = note.trim();
    if note.is_empty() {
        bail!("--note: say who does it and why, for the record");
    }
    Ok(note)
}

async fn change(
    config: &Config,
    id: AccountId,
    change: AccountChange,
    note: &str,
) -> anyhow::Result<ExitCode> {
    let note = noted(note)?.to_owned();
    let store = open(config.database()).await?;
    let changed = store.change_account(id, change, note, now_ms()).await;
    store.close().await;
    match changed? {
        Changed::Done(account) => say!("{}", visible_line(&line(&account))),
        Changed::NoAccount => bail!(unknown(id)),
        Changed::TooLow(free) => bail!("only {free} base units of {id} are free; nothing was changed"),
        Changed::NoPayment => {
            bail!("no such payment was credited to {id}, or it was settled before; nothing was changed")
        }
        Changed::TooMuch => bail!("the sum would be more than an amount can be; nothing was changed"),
    }
    Ok(ExitCode::SUCCESS)
}

fn unknown(id: AccountId) -> String {
    format!("there is no account {id}; `salt402 keys list` names them")
}

fn state(account: &Account) -> &'static str {
    match account {
        Account { revoked: true, .. } => "is revoked",
        account if !account.is_open(now_ms()) => "has ended",
        Account { blocked: true, .. } => {
            "is blocked: a payment for it was lost or given back, or may have been"
        }
        _ => "is good",
    }
}

fn line(account: &Account) -> String {
    let Account { id, label, plan, .. } = account;
    let named = [label.as_str(), plan.as_str()].into_iter().filter(|text| !text.is_empty());
    let named: Vec<_> = named.collect();
    let named = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
    format!("{id}{named}: {} base units free; its key {}", account.free(), state(account))
}

fn limits_in_words(limits: &KeyLimits) -> String {
    let KeyLimits { requests_per_minute, amount_per_day, models, paths, ends_at } = limits;
    let mut words = Vec::new();
    words.extend(requests_per_minute.map(|most| format!("{most} requests a minute")));
    words.extend(amount_per_day.map(|most| format!("{most} base units a day")));
    words.extend((!models.is_empty()).then(|| format!("for {}", models.join(", "))));
    words.extend((!paths.is_empty()).then(|| format!("at {}", paths.join(", "))));
    words.extend(ends_at.map(|ends_at| format!("until {ends_at} (seconds since 1970)")));
    if words.is_empty() { "without limits".to_owned() } else { words.join("; ") }
}

fn event_line(event: &AccountEvent) -> String {
    let AccountEvent { id, kind, name, amount, ceiling, models, note, settled, at_ms, .. } = event;
    let how_much = match (amount, ceiling) {
        (Some(amount), _) => format!("{amount} base units"),
        (None, Some(ceiling)) => format!("{ceiling} base units are reserved"),
        (None, None) => String::new(),
    };
    let mut words = vec![format!("{id} at {at_ms} ms: {} {how_much}", kind.word())];
    words.extend((!models.is_empty()).then(|| format!("for {}", models.join(", "))));
    words.extend(name.map(|name| name.to_string()));
    words.extend((!note.is_empty()).then(|| note.clone()));
    words.extend(settled.as_ref().map(|why| format!("settled: {why}")));
    words.join("; ")
}

fn json_of(account: &Account) -> Value {
    json!({
        "account": account.id.to_string(),
        "claimant": account.claimant,
        "chain": account.chain.to_string(),
        "asset": account.asset.to_string(),
        "payer": account.payer.to_string(),
        "plan": account.plan,
        "label": account.label,
        "revoked": account.revoked,
        "blocked": account.blocked,
        "open": account.is_open(now_ms()),
        "free": account.free().to_string(),
        "credited": account.credited.to_string(),
        "returned": account.returned.to_string(),
        "spent": account.spent.to_string(),
        "reserved": account.reserved.to_string(),
        "used_today": account.used_on(now_ms()).to_string(),
        "limits": account.limits,
        "made_at_ms": account.made_at_ms,
    })
}

fn json_of_event(event: &AccountEvent) -> Value {
    json!({
        "entry": event.id,
        "kind": event.kind.word(),
        "id": event.name.map(|name| name.to_string()),
        "amount": event.amount.map(|amount| amount.to_string()),
        "ceiling": event.ceiling.map(|amount| amount.to_string()),
        "models": event.models,
        "note": event.note,
        "settled": event.settled,
        "at_ms": event.at_ms,
    })
}
