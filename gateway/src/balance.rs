//! Balances that API keys draw: bought, looked at, and their history.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, Uri, header};
use salt402_http::clock::now_s;
use salt402_http::{
    Caller, Target, address_limited, address_wait, malformed_parameter, problem_response, read_json,
    read_json_of_payer, read_query,
};
use salt402_paywall::openapi::PaymentHeaders;
use salt402_paywall::{
    Decision, Granted, Order, Paywall, Presented, Sold, after_signature, asked_once, offer_response,
    pays_again, shows_payment,
};
use salt402_protocol::api::{AccountRequest, AccountView, CreditOfRequest};
use salt402_protocol::object::Object;
use salt402_protocol::{AccountId, Amount, Asset, B256, ChainId, Code, Problem, Proof, RequestDigest};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use crate::gateway::{Gateway, Inner};
use crate::keys::{KeyOptions, KeyShown, Keys, is_shown, key_refused};
use crate::paid::{decide, mark_paid, unkept};

/// How many entries of a history are told if a request does not say, and the most.
const ENTRIES: u32 = 100;
const MOST_ENTRIES: u32 = 1000;

/// What is bought.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuyRequest {
    /// How much is paid, in base units.
    amount: Amount,
    /// The account that is topped up. Left out: a new one is made, or that of `key_sha256`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    account: Option<AccountId>,
    /// The SHA-256 of a key that the buyer made: `sk-402-` and 32 to 193 random letters and digits. Left out: the server makes a key, and
    /// tells it to whoever pays. Needed to pay by a voucher.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    key_sha256: Option<B256>,
    /// A plan, by its name.
    #[serde(default)]
    plan: Option<String>,
    /// Any text. Whoever buys the same twice within minutes by signing is answered from the first; with another text here it is another
    /// purchase.
    #[serde(default)]
    #[expect(dead_code, reason = "it makes the body another one")]
    order: Option<String>,
}

/// What was bought.
#[derive(Serialize, ToSchema)]
pub(crate) struct BuyResponse {
    /// The account. It is no secret: whoever names it can top it up.
    #[schema(value_type = String)]
    account: AccountId,
    /// The key, if the server made it. Keep it: it is told to nobody but whoever shows the same payment again.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// What was credited, in base units.
    credited: Amount,
    /// What the balance is then, in base units.
    balance: Amount,
    /// What it is in.
    asset: Asset,
    /// On which chain it is topped up.
    chain: ChainId,
}

/// Buy a balance that an API key draws, or top one up
#[utoipa::path(post, path = "/v1/balance", tag = "balance", request_body = BuyRequest, params(PaymentHeaders),
    responses((status = 200, description = "What was bought. The same request with the same proof and quote id is answered so again.", body = BuyResponse,
        headers(
            ("X-Payment-Receipt" = String, description = "PaymentView as one line of JSON."),
            ("Cache-Control" = String, description = "`no-store, private`"),
            ("Vary" = String, description = "The payment headers.")))))]
pub(crate) async fn buy(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let (signs, shown) = (pays_again(request.headers()), shows_payment(request.headers()));
    let answered = sell(&gateway.0, request).await;
    let refused = |problem| problem_response(&if signs { after_signature(problem) } else { problem });
    asked_once(shown, answered.unwrap_or_else(refused))
}

async fn sell(gateway: &Arc<Inner>, request: Request) -> Result<Response<Body>, Problem> {
    let keys = keys(gateway)?;
    let (parts, body) = request.into_parts();
    if is_shown(&parts.headers) {
        let detail = "a balance is bought without an API key: name the account in the body, as GET /v1/balance tells it. Nothing was taken";
        return Err(Problem::new(Code::MalformedHeader, detail));
    }
    let presented = Presented::of(&parts)?;
    gateway.lease.check()?;
    let target = Target::of(&parts.uri, parts.version)?.as_str().to_owned();
    let request = Request::from_parts(parts, body);
    let read_body = if presented.pays() {
        read_json_of_payer(request, gateway.body_limit).await
    } else {
        read_json(request, gateway.body_limit).await
    };
    let body = read_body.map_err(|fault| fault.0)?;
    let AskedBalance { order, unsold } = AskedBalance::read(&keys.options, now_s(), target, &body.bytes)?;
    if let Some(problem) = unkept(gateway).or_else(|| unsold.clone().filter(|_| !presented.pays())) {
        return Err(problem);
    }
    let credit = order.credit.as_ref();
    let own = credit.map_or((None, None), |it| (it.account, it.key_hash));
    if matches!(presented.proof, Some(Proof::Voucher(_))) && own == (None, None) {
        // Once it was claimed, everybody can read it off the chain and show it.
        let detail =
            "key_sha256: expected with a voucher, the SHA-256 of a key that you made. Nothing was taken";
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    // What is signed now is not settled for an account that takes nothing. What was mined is paid, whatever became of the account.
    let closed = if presented.proof.is_some() { None } else { closed(gateway, own).await? };
    if let Some(problem) = closed.clone().filter(|_| !presented.pays()) {
        return Err(problem);
    }
    // Each hash is shown with the quote id, which its payer alone knows.
    let paywall = Paywall { keeps_answers: true, needs_quote: true, ..gateway.paywall.clone() };
    let started = Instant::now();
    let Granted { payment, bare, .. } = match unsold {
        Some(problem) => {
            let granted = paywall.redeem(&order, &presented).await?.ok_or_else(|| problem.clone())?;
            tracing::warn!(payment = %granted.payment.payment_id, why = problem.detail,
                "a balance that is not sold so any more was paid for before: it has no bonus");
            granted
        }
        None => match decide(&paywall, &order, &presented, closed).await? {
            Decision::Granted(granted) => granted,
            Decision::Unpaid(offer) => return Ok(offer_response(&offer)),
        },
    };
    let verified = started.elapsed();
    let claimant = paywall.claimant.clone();
    let asked = CreditOfRequest { claimant: claimant.clone(), payment: payment.payment_id };
    let bought = paywall.verifier.credit(&asked).await?;
    // Where it is shown by what everybody can read, its key is told to nobody.
    let is_theirs = !bare && presented.quote.as_ref().is_none_or(|quote| quote.is_random());
    if bought.key.is_some() && !is_theirs {
        let detail = "the balance was bought, and its key is told to whoever shows the payment with the quoteId of the 402 that it answered, \
                      or signs anew for the same request, which moves nothing: do not pay again";
        return Err(Problem::new(Code::QuoteRequired, detail));
    }
    let of = AccountRequest { claimant, account: Some(bought.account), ..AccountRequest::default() };
    let account = paywall.verifier.account(&of).await?;
    let mut response = json(&BuyResponse {
        account: bought.account,
        key: bought.key,
        credited: bought.credited,
        balance: account.balance,
        asset: account.asset,
        chain: account.chain,
    })?;
    let headers = response.headers_mut();
    mark_paid(headers, &payment, [verified, started.elapsed().saturating_sub(verified)], "balance");
    headers.extend(presented.receipt(&payment));
    Ok(response)
}

fn keys(gateway: &Inner) -> Result<&Keys, Problem> {
    gateway.keys.as_ref().ok_or_else(|| Problem::new(Code::NotFound, "no balances are sold here"))
}

/// A balance that is asked for.
#[derive(Debug)]
pub struct AskedBalance {
    /// What it costs, and what is credited for it.
    pub order: Order,
    /// Why it is not sold, if so. Whoever paid while it was is credited what was paid.
    pub unsold: Option<Problem>,
}

impl AskedBalance {
    /// Reads a body of `POST /v1/balance` at a time in seconds since 1970 UTC.
    pub fn read(options: &KeyOptions, now_s: u64, target: String, body: &[u8]) -> Result<Self, Problem> {
        let Object(request) = serde_json::from_slice::<Object<BuyRequest>>(body).map_err(|error| {
            Problem::new(Code::MalformedJson, format!("the body was not understood: {error}"))
        })?;
        let BuyRequest { amount, account, key_sha256, plan, order: _ } = request;
        if account.is_some() && key_sha256.is_some() {
            let detail = "expected one of account and key_sha256";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        let own = (account, key_sha256);
        let (credit, unsold) = match options.credit(amount, plan.as_deref(), own, now_s) {
            Ok(credit) => (credit, None),
            Err(problem) => (KeyOptions::plain(own), Some(problem)),
        };
        let description = match account {
            Some(account) => format!("{amount} base units for the balance of {account}"),
            None => format!("a balance of {amount} base units that an API key draws"),
        };
        let order = Order {
            method: "POST".to_owned(),
            sold: Sold::one(RequestDigest::of("POST", &target, body)),
            path: target,
            before: None,
            amount,
            by_use: false,
            description,
            credit: Some(credit),
        };
        Ok(Self { order, unsold })
    }
}

/// Why an account takes no payments, if so. It is looked at before anybody is told how to pay, and before what is signed is settled.
async fn closed(
    gateway: &Inner,
    (account, key_hash): (Option<AccountId>, Option<B256>),
) -> Result<Option<Problem>, Problem> {
    if (account, key_hash) == (None, None) {
        return Ok(None);
    }
    let claimant = gateway.paywall.claimant.clone();
    let of = AccountRequest { claimant, account, key_hash, ..AccountRequest::default() };
    let takes = match gateway.paywall.verifier.account(&of).await {
        // A key that is new here has its account made.
        Err(problem) if problem.code == Code::NotFound => key_hash.is_some(),
        answer => {
            let view = answer?;
            let fits = (view.chain, view.asset) == (gateway.paywall.chain, gateway.paywall.asset);
            fits && !view.full && matches!(view.state.as_str(), "active" | "blocked")
        }
    };
    let detail = "there is no such account here, or its key was revoked or has ended, or it was topped up too often, or is in another \
                  asset: pay nothing for it. Whoever has paid asks the server's operator to give it back";
    Ok((!takes).then(|| Problem::new(Code::AccountClosed, detail)))
}

/// How the balance of an API key stands
#[utoipa::path(get, path = "/v1/balance", tag = "balance",
    responses((status = 200, description = "The balance, what is reserved, what its key may do, and what is used today.", body = AccountView)),
    security(("bearer" = [])))]
pub(crate) async fn balance(State(gateway): State<Gateway>, request: Request) -> Response<Body> {
    let (parts, _) = request.into_parts();
    answered(look(&gateway.0, &parts, 0, None).await)
}

/// Which part of a history is told.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryQuery {
    /// How many entries, the newest first: 1 to 1000. Left out: 100.
    limit: Option<u32>,
    /// Only entries before the one with this number: the last `entry` of the page before.
    before: Option<u64>,
}

/// What was charged to the balance of an API key, and what was credited
#[utoipa::path(get, path = "/v1/balance/history", tag = "balance", params(HistoryQuery),
    responses((status = 200, description = "The account with its entries, the newest first.", body = AccountView)),
    security(("bearer" = [])))]
pub(crate) async fn history(State(gateway): State<Gateway>, uri: Uri, request: Request) -> Response<Body> {
    let (parts, _) = request.into_parts();
    answered(told(&gateway.0, &parts, &uri).await)
}

async fn told(gateway: &Inner, parts: &Parts, uri: &Uri) -> Result<Response<Body>, Problem> {
    let HistoryQuery { limit, before } =
        read_query(uri, "expected limit and before as numbers, as in ?limit=100&before=2000")?;
    let limit = limit.unwrap_or(ENTRIES);
    if !(1..=MOST_ENTRIES).contains(&limit) {
        return Err(malformed_parameter(format!("limit: expected 1 to {MOST_ENTRIES}, found {limit}")));
    }
    look(gateway, parts, limit, before).await
}

fn answered(answer: Result<Response<Body>, Problem>) -> Response<Body> {
    answer.unwrap_or_else(|problem| problem_response(&problem))
}

async fn look(
    gateway: &Inner,
    parts: &Parts,
    entries: u32,
    before: Option<u64>,
) -> Result<Response<Body>, Problem> {
    let keys = keys(gateway)?;
    if let Some(wait) = address_wait(&parts.extensions) {
        return Err(address_limited(wait));
    }
    let shown = KeyShown::read(&parts.headers)?.ok_or_else(key_refused)?;
    let client = Caller::of(&parts.extensions);
    let tried = keys.wrong.admit(client, shown.hash, Instant::now())?;
    let claimant = gateway.paywall.claimant.clone();
    let key_hash = Some(shown.hash);
    let of = AccountRequest { claimant, key_hash, account: None, entries, before };
    let view = match gateway.paywall.verifier.account(&of).await {
        Err(problem) if problem.code == Code::NotFound => {
            tried.wrong();
            return Err(key_refused());
        }
        answer => answer?,
    };
    if matches!(view.state.as_str(), "revoked" | "ended") {
        tried.wrong();
        return Err(key_refused());
    }
    tried.good();
    let mut response = json(&view)?;
    salt402_http::no_store(response.headers_mut());
    Ok(response)
}

fn json(body: &impl Serialize) -> Result<Response<Body>, Problem> {
    let text = serde_json::to_vec(body).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Problem::new(Code::Internal, "the answer could not be written; show the same proof again")
    })?;
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
