//! A request that a key's balance pays for: what it may cost is reserved, in the place of a payment.

use std::net::IpAddr;

use salt402_paywall::{Authorized, Order, Paywall};
use salt402_protocol::api::{DrawRequest, Drawn, PaymentView};
use salt402_protocol::{Address, Amount, B256, Code, PaymentId, Problem};
use tokio::time::Instant;

use crate::charging::May;
use crate::gateway::Inner;
use crate::keys::{KeyShown, Keys};
use crate::under_way::Hold;

/// For how long something stays reserved that nobody has answered, after a crash, in milliseconds.
const KEPT_MS: u64 = 10 * 60 * 1000;

/// What is reserved for a request, on disk, and begun here.
pub(crate) struct Reserved {
    /// It in the form of a payment.
    pub(crate) payment: Box<PaymentView>,
    pub(crate) authorized: Authorized,
    /// Whether it is run for the first time.
    pub(crate) first: bool,
    /// Held until it was run and what it used is on disk. `None`: it was run, and its answer is kept.
    pub(crate) hold: Option<Hold>,
    /// Whether nobody can ask for it again.
    pub(crate) once: bool,
}

/// Reserves what a request may cost.
pub(crate) async fn reserve(
    gateway: &Inner,
    keys: &Keys,
    shown: &KeyShown,
    order: &Order,
    models: Vec<String>,
    client: Option<IpAddr>,
) -> Result<Reserved, Problem> {
    if order.sold.usage.is_some() {
        let detail = "several requests are sold for one payment here: pay for them, without the API key";
        return Err(Problem::new(Code::KeyNotAllowed, detail));
    }
    let tried = keys.wrong.admit(client, shown.hash, Instant::now())?;
    let draw = shown.draw();
    let paywall = &gateway.paywall;
    let request = DrawRequest {
        draw,
        key_hash: shown.hash,
        claimant: paywall.claimant.clone(),
        chain: paywall.chain,
        asset: paywall.asset,
        request_digest: order.sold.digest,
        path: order.path.split('?').next().unwrap_or_default().to_owned(),
        models,
        amount: order.amount,
    };
    // Until it is written down here: what is not is let go meanwhile.
    let _asked = keys.asked.wait(draw).await;
    let (payer, amount, captured) = match paywall.verifier.draw(&request).await? {
        Drawn::Reserved { payer, amount, captured, .. } => (payer, amount, captured),
        Drawn::Refused { code, detail, account, retry_after_ms } => {
            if code == Code::KeyRefused {
                tried.wrong();
            } else {
                tried.good();
            }
            let detail = match (code, account) {
                (Code::BalanceTooLow, Some(account)) => format!("{detail}. {}", top_up(keys, account)),
                _ => detail,
            };
            let problem = Problem::new(code, detail);
            return Err(retry_after_ms.into_iter().fold(problem, Problem::retry_after));
        }
    };
    tried.good();
    let payment = PaymentView { payer, amount, ..in_form_of_a_payment(paywall, draw) };
    let authorized = Authorized { question: None, ends_at: None, is_secret: true, kept_ms: KEPT_MS };
    let may = gateway.charging.reserve(&payment, order.sold.digest, &authorized).await;
    let (first, hold) = match may.map_err(|problem| given_up(problem, shown))? {
        // It was charged, and nothing is known of it here: to run it again would serve it twice.
        May::Run { hold, .. } if captured.is_some() => {
            drop(hold);
            gateway.charging.release(draw).await?;
            return Err(gone(captured));
        }
        May::Run { first, hold } => (first, Some(hold)),
        May::Ran => (false, None),
    };
    let once = shown.idempotency.is_none();
    Ok(Reserved { payment: Box::new(payment), authorized, first, hold, once })
}

/// What is said of a request that was charged, and of which nothing else is known here.
fn gone(captured: Option<Amount>) -> Problem {
    let detail = if captured.is_some_and(|amount| amount.is_zero()) {
        "the request with this Idempotency-Key was given up, and nothing was charged of it: send it with another one"
    } else {
        "this request was run and charged before, and its answer is not kept here"
    };
    Problem::new(Code::OutcomeGone, detail)
}

/// What is said where it was given up: nothing is signed with a key.
fn given_up(problem: Problem, shown: &KeyShown) -> Problem {
    if problem.code == Code::SignatureUsed && shown.idempotency.is_some() {
        let detail = "the request with this Idempotency-Key was not answered, and nothing is charged of it: send it with another one";
        return Problem::new(Code::OutcomeGone, detail);
    }
    problem
}

fn top_up(keys: &Keys, account: salt402_protocol::AccountId) -> String {
    format!(
        "To top it up: POST /v1/balance here, without the key, with {{\"account\":\"{account}\",\"amount\":\"{}\"}} or more, in base \
         units; it answers 402 and says how to pay, in each way that is taken here",
        keys.options.least
    )
}

/// A reservation in the form of a payment. Nothing of it is on the chain.
fn in_form_of_a_payment(paywall: &Paywall, draw: PaymentId) -> PaymentView {
    PaymentView {
        payment_id: draw,
        chain: paywall.chain,
        transaction: B256::ZERO,
        contract: Address::ZERO,
        reference: B256::ZERO,
        payer: Address::ZERO,
        payee: paywall.payee,
        asset: paywall.asset,
        amount: Default::default(),
        block_number: 0,
        block_hash: B256::ZERO,
        block_timestamp: 0,
        confirmations: 0,
        canonical: false,
        claimed: true,
        refunded: None,
    }
}
