//! API keys and the prepaid balances that they draw: what a payment credits, what a request reserves, and what is told of an account.

use salt402_http::clock::now_ms;
use salt402_protocol::api::{
    AccountEntry, AccountRequest, AccountView, CreditOfRequest, CreditView, DrawRequest, Drawn,
    OpenDrawsRequest, OpenDrawsResponse, VerifyRequest,
};
use salt402_protocol::{AccountId, Address, Amount, Code, PaymentId, Problem};
use salt402_store::{Account, AccountEvent, AccountEventKind, DrawResult, NewCredit, NewDraw};
use tokio::time::Instant;

use crate::verify::claimant_lease::check_name;
use crate::verify::inner::Inner;
use crate::verify::refusals::internal;

/// The most entries of a history that are told at once.
const MOST_ENTRIES: u32 = 1000;
/// The most open draws that are told at once.
const MOST_OPEN: u32 = 256;
const DAY_MS: u64 = 86_400_000;

/// What a payment is to credit, if it was asked for.
pub(crate) fn new_credit(
    verifier: &Inner,
    request: &VerifyRequest,
    payment: PaymentId,
    (payer, amount): (Address, Amount),
) -> Option<Box<NewCredit>> {
    let asked = request.credit.as_ref()?;
    let derived = || verifier.keys.api_keys(payment.0).next().map(|key| key.hash());
    Some(Box::new(NewCredit {
        account: asked.account,
        key_hash: asked.key_hash.or_else(derived)?,
        plan: asked.plan.clone(),
        limits: asked.limits.clone(),
        amount,
        bonus: asked.bonus,
        // What was signed may be the wrapped form of what is asked, and counts as that.
        asset: request.requirement.asset,
        payer,
    }))
}

/// What is said of a payment for an account that takes none.
pub(crate) fn account_closed() -> Problem {
    let detail = "there is no such account here, or its key was revoked or has ended, or it was topped up too often: nothing \
                  was used up. Whoever has paid asks the server's operator to give it back";
    Problem::new(Code::AccountClosed, detail)
}

/// What a payment bought.
pub(crate) async fn credit(verifier: &Inner, request: &CreditOfRequest) -> Result<CreditView, Problem> {
    let found = verifier.store.credit_of(request.payment).await.map_err(internal)?;
    let Some((account, made, credited)) = found.filter(|(it, ..)| it.claimant == request.claimant) else {
        let detail = format!("the payment {} bought no balance of {:?}", request.payment, request.claimant);
        return Err(Problem::new(Code::NotFound, detail));
    };
    let key = verifier.keys.api_keys(request.payment.0).find(|key| key.hash() == account.key_hash);
    let key = key.map(|key| key.reveal().to_owned());
    Ok(CreditView { account: account.id, made, key, credited })
}

/// Reserves what a request may cost.
pub(crate) async fn draw(verifier: &Inner, request: &DrawRequest) -> Result<Drawn, Problem> {
    check_name(&request.claimant)?;
    let drawn = decide(verifier, request).await?;
    let outcome = match &drawn {
        Drawn::Reserved { first: true, .. } => "reserved",
        Drawn::Reserved { .. } => "again",
        Drawn::Refused { code, .. } => code.as_str(),
    };
    metrics::counter!("salt402_key_draws_total", "outcome" => outcome).increment(1);
    Ok(drawn)
}

async fn decide(verifier: &Inner, request: &DrawRequest) -> Result<Drawn, Problem> {
    let known = verifier.store.account_of_key(request.key_hash).await.map_err(internal)?;
    let Some(account) = known.filter(|account| account.claimant == request.claimant) else {
        return Ok(key_refused());
    };
    if let Err(wait) = verifier.key_rates.take(&account, Instant::now()) {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let most = account.limits.requests_per_minute.unwrap_or_default();
        let detail =
            format!("the key is for {most} requests a minute: send the request again in {wait_ms} ms");
        return Ok(refused(Code::KeyLimited, detail, Some(account.id), Some(wait_ms)));
    }
    let now_ms = now_ms();
    let new = NewDraw {
        draw: request.draw,
        key_hash: request.key_hash,
        claimant: request.claimant.clone(),
        chain: request.chain,
        asset: request.asset,
        request: request.request_digest.0,
        path: request.path.clone(),
        models: request.models.clone(),
        ceiling: request.amount,
        now_ms,
    };
    let result = verifier.store.draw(new).await;
    if !matches!(&result, Ok(DrawResult::Reserved { first: true, .. })) {
        verifier.key_rates.give_back(&account);
    }
    let asked = request.amount;
    Ok(match result.map_err(internal)? {
        DrawResult::Reserved { account, first, ceiling, captured } => Drawn::Reserved {
            account: account.id,
            payer: account.payer,
            first,
            amount: ceiling,
            captured,
            left: account.free(),
        },
        DrawResult::KeyRefused => key_refused(),
        DrawResult::OtherRequest(id) => {
            let detail = "this Idempotency-Key was used for another request: send another one".to_owned();
            refused(Code::InvalidRequest, detail, Some(id), None)
        }
        DrawResult::OtherAsset(id) => {
            let detail = format!(
                "the balance is not in what is sold for now, {} on {}: ask the server's operator",
                request.asset, request.chain
            );
            refused(Code::BalanceBlocked, detail, Some(id), None)
        }
        DrawResult::Blocked(id) => {
            let detail = "a payment for this balance left the chain or was given back, or nobody knows whether it stays: nothing is \
                          drawn until it is back, or the server's operator has settled it"
                .to_owned();
            refused(Code::BalanceBlocked, detail, Some(id), None)
        }
        DrawResult::NotAllowed(id, what) => {
            refused(Code::KeyNotAllowed, format!("this key is not for {what}"), Some(id), None)
        }
        DrawResult::DayUsed { account, used, most } => {
            let detail = format!(
                "{used} of {most} base units a day (UTC) are used or reserved, and this request may cost {asked}"
            );
            refused(Code::KeyLimited, detail, Some(account), Some(DAY_MS - now_ms % DAY_MS))
        }
        DrawResult::TooLow { account, free } => {
            let detail = format!(
                "the balance of the key has {free} base units free, and this request may cost {asked}"
            );
            refused(Code::BalanceTooLow, detail, Some(account), None)
        }
    })
}

fn refused(code: Code, detail: String, account: Option<AccountId>, retry_after_ms: Option<u64>) -> Drawn {
    Drawn::Refused { code, detail, account, retry_after_ms }
}

/// The same words for whatever is wrong with a key.
fn key_refused() -> Drawn {
    let detail = "the API key is not good here: it is wrong, was revoked or has ended";
    refused(Code::KeyRefused, detail.to_owned(), None, None)
}

/// What is reserved, and not charged yet.
pub(crate) async fn open_draws(
    verifier: &Inner,
    request: &OpenDrawsRequest,
) -> Result<OpenDrawsResponse, Problem> {
    let before_ms = now_ms().saturating_sub(request.older_than_ms);
    let draws = verifier.store.open_draws(&request.claimant, before_ms, MOST_OPEN).await.map_err(internal)?;
    Ok(OpenDrawsResponse { draws })
}

/// An account, and a part of its history.
pub(crate) async fn account(verifier: &Inner, request: &AccountRequest) -> Result<AccountView, Problem> {
    let store = &verifier.store;
    let found = match (request.key_hash, request.account) {
        (Some(key_hash), None) => store.account_of_key(key_hash).await,
        (None, Some(id)) => store.account(id).await,
        _ => {
            let detail = "expected one of key_hash and account";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
    };
    let found = found.map_err(internal)?.filter(|account| account.claimant == request.claimant);
    let Some(account) = found else {
        return Err(Problem::new(Code::NotFound, "there is no such account of this service"));
    };
    let entries = match request.entries.min(MOST_ENTRIES) {
        0 => Vec::new(),
        most => store.account_events(account.id, request.before, most).await.map_err(internal)?,
    };
    Ok(view(account, entries, now_ms()))
}

fn view(account: Account, entries: Vec<AccountEvent>, now_ms: u64) -> AccountView {
    let state = match &account {
        Account { revoked: true, .. } => "revoked",
        account if !account.is_open(now_ms) => "ended",
        Account { blocked: true, .. } => "blocked",
        _ => "active",
    };
    AccountView {
        account: account.id,
        state: state.to_owned(),
        full: account.is_full(),
        plan: account.plan.clone(),
        chain: account.chain,
        asset: account.asset,
        balance: account.free(),
        reserved: account.reserved,
        credited: account.credited,
        spent: account.spent,
        used_today: account.used_on(now_ms),
        limits: account.limits,
        entries: entries.into_iter().map(entry).collect(),
    }
}

/// What its owner is told. What an operator noted is the operator's.
fn entry(event: AccountEvent) -> AccountEntry {
    let kind = match event.kind {
        AccountEventKind::Draw => "charge",
        AccountEventKind::Payment => "top_up",
        kind => kind.word(),
    };
    AccountEntry {
        entry: event.id,
        kind: kind.to_owned(),
        amount: event.amount.or(event.ceiling).unwrap_or_default(),
        reserved: event.amount.is_none(),
        id: event.name,
        models: event.models,
        at_ms: event.at_ms,
    }
}
