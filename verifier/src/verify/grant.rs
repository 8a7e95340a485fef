//! What follows from a judgement: a claim, or why there is none.

use std::time::Duration;

use salt402_http::clock::{now_ms, now_s};
use salt402_protocol::api::{ClaimView, Verdict, VerifyRequest};
use salt402_protocol::{Amount, Code, Problem, Quote};
use salt402_store::{ClaimResult, IndexedPayment, NewClaim, NewUse};
use tokio::time::Instant;

use crate::verify::account_limits::Admission;
use crate::verify::claimant_lease::held_elsewhere;
use crate::verify::inner::Inner;
use crate::verify::judge::depth::confirmations;
use crate::verify::judge::payment_state::refunded;
use crate::verify::judge::question::{Judgement, Question};
use crate::verify::keys::{account_closed, new_credit};
use crate::verify::payment_view::view;
use crate::verify::policy::{AfterLoss, ChainPolicy};
use crate::verify::refusals::{halted_meanwhile, internal, payment_before_restore, pending};
use crate::verify::second_node::unconfirmed;

/// What is asked, now.
pub(crate) fn question<'r>(request: &'r VerifyRequest, quote: Option<&'r Quote>) -> Question<'r> {
    Question {
        requirement: &request.requirement,
        quote: request.quote_id.as_ref().zip(quote),
        proof: request.proof,
        claimant: &request.claimant,
        reserved: None,
        now: now_s(),
    }
}

/// What follows from a judgement of some payments.
pub(crate) async fn follow(
    verifier: &Inner,
    request: &VerifyRequest,
    chain: &ChainPolicy,
    judgement: Judgement,
    payments: &[IndexedPayment],
) -> Result<Verdict, Problem> {
    let paid = match judgement {
        Judgement::Paid(index) => &payments[index],
        Judgement::Pending(code, detail) => return Ok(pending(chain, 1, code, detail)),
        Judgement::Rejected(code, detail) => return Ok(Verdict::Rejected { code, detail }),
        Judgement::Unasked(code, detail) => return Err(Problem::new(code, detail)),
    };
    if request.again_only && paid.claim.is_none() {
        return Ok(not_again(chain));
    }
    // A claimed payment was shown by a second node before.
    if paid.claim.is_none()
        && let Some(verdict) = unconfirmed(verifier, paid, chain).await?
    {
        return Ok(verdict);
    }
    if !request.claim {
        return Ok(Verdict::Accepted { payment: Box::new(view(paid)), claim: None });
    }
    grant(verifier, request, paid, chain).await
}

/// Claims a payment that fits. A payment that is claimed already passes every limit, because the same request is always
/// answered.
async fn grant(
    verifier: &Inner,
    request: &VerifyRequest,
    paid: &IndexedPayment,
    chain: &ChainPolicy,
) -> Result<Verdict, Problem> {
    let payment = &paid.placed.payment;
    let admission = match paid.claim {
        Some(_) => None,
        None => verifier
            .accounts
            .admit((chain.chain, payment.payer), payment.id, Instant::now())
            .map_err(|(code, wait)| limited(code, wait))?,
    };
    let claim = NewClaim {
        payment: payment.id,
        chain: chain.chain,
        transaction: payment.transaction,
        request: request.requirement.request_digest,
        claimant: request.claimant.clone(),
        holder: verifier.leases.holder(&request.claimant, request.instance),
        confirmations: confirmations(&request.requirement, chain, payment),
        limits: chain.claim_limits(payment.asset),
        usage: request.usage.map(|usage| NewUse {
            request: usage.request_digest,
            most: usage.most,
            again_only: request.again_only,
        }),
        now_ms: now_ms(),
        credit: new_credit(verifier, request, payment.id, (payment.payer, payment.amount)),
    };
    let result = verifier.store.claim(claim).await;
    if !matches!(result, Ok(ClaimResult::First { .. })) {
        withdraw(verifier, admission);
    }
    let result = result.map_err(internal)?;
    if result == ClaimResult::Refunded {
        // It was given back since it was read.
        let since = IndexedPayment { refunded: paid.refunded.or(Some(Amount::ZERO)), ..paid.clone() };
        count_grant(chain, result);
        return Err(Problem::new(Code::PaymentRefunded, refunded(&since)));
    }
    if result == ClaimResult::AccountClosed {
        count_grant(chain, result);
        return Err(account_closed());
    }
    if let ClaimResult::HeldElsewhere(lease) = result {
        verifier.leases.note(&request.claimant, lease);
    }
    count_grant(chain, result);
    Ok(said(result, paid, chain))
}

fn count_grant(chain: &ChainPolicy, result: ClaimResult) {
    metrics::counter!("salt402_grants_total", "chain" => chain.chain.to_string(), "outcome" => outcome(result))
        .increment(1);
}

pub(crate) fn withdraw(verifier: &Inner, admission: Option<Admission>) {
    if let Some(admission) = admission {
        verifier.accounts.withdraw(admission);
    }
}

fn not_again(chain: &ChainPolicy) -> Verdict {
    let detail = "the payment was not used for this request yet, and is not now".into();
    pending(chain, 1, Code::AddressLimited, detail)
}

/// The result of a claim, in words.
fn said(result: ClaimResult, paid: &IndexedPayment, chain: &ChainPolicy) -> Verdict {
    let claimed = |first, claimed_at_ms| {
        let mut payment = view(paid);
        payment.claimed = true;
        Verdict::Accepted {
            payment: Box::new(payment),
            claim: Some(ClaimView { first, claimed_at_ms, by_use: false, tab: None, exit_delay_s: None }),
        }
    };
    let must_be_final = |confirmations: u64, code, why: String| {
        let needed = chain.rules.final_at;
        let detail = format!("{why}: it has {confirmations} of {needed} confirmations; do not pay again");
        pending(chain, needed.saturating_sub(confirmations), code, detail)
    };
    match result {
        ClaimResult::First { claimed_at_ms } => {
            metrics::counter!("salt402_claims_total").increment(1);
            claimed(true, claimed_at_ms)
        }
        ClaimResult::Again { claimed_at_ms } => claimed(false, claimed_at_ms),
        ClaimResult::Taken => Verdict::Rejected {
            code: Code::AlreadyClaimed,
            detail: "the payment was used a moment ago by another request: pay for this one".into(),
        },
        ClaimResult::UsedUp { uses } => Verdict::Rejected {
            code: Code::UsesExhausted,
            detail: format!(
                "the payment pays for {uses} requests and was used for as many: pay for this one"
            ),
        },
        ClaimResult::NotAgain => not_again(chain),
        ClaimResult::HeldElsewhere(_) => held_elsewhere(),
        ClaimResult::Halted => halted_meanwhile(),
        ClaimResult::BeforeRestore => payment_before_restore(),
        ClaimResult::Refunded => Verdict::Rejected { code: Code::PaymentRefunded, detail: refunded(paid) },
        ClaimResult::AccountClosed => {
            let Problem { code, detail, .. } = account_closed();
            Verdict::Rejected { code, detail }
        }
        ClaimResult::NotCanonical => {
            let detail = "the block of the payment left the chain a moment ago".into();
            pending(chain, 1, Code::PaymentOrphaned, detail)
        }
        ClaimResult::TooShallow { confirmations } => {
            let detail = format!(
                "the chain was reorganized a moment ago, the payment has {confirmations} confirmations"
            );
            pending(chain, 1, Code::AwaitingConfirmations, detail)
        }
        ClaimResult::AfterLoss { .. } if chain.rules.after_loss == AfterLoss::Refuse => {
            let detail =
                "a payment of this payer was granted on and left the chain; nothing of it is granted until \
                          it is back, or the operator has settled it; do not pay again"
                    .into();
            pending(chain, u64::MAX, Code::PayerRefused, detail)
        }
        ClaimResult::AfterLoss { confirmations } => {
            let why = "a payment of this payer was granted on and left the chain, so this one must be final";
            must_be_final(confirmations, Code::PayerHasLoss, why.into())
        }
        ClaimResult::Exposed { confirmations, granted } => {
            let why = format!(
                "{granted} base units were granted to this payer on payments that are not final, so this one must \
                 be final, or wait for those"
            );
            must_be_final(confirmations, Code::ExposureExceeded, why)
        }
    }
}

/// A claim's result as a label: few, and always the same.
fn outcome(result: ClaimResult) -> &'static str {
    match result {
        ClaimResult::First { .. } => "first",
        ClaimResult::Again { .. } => "again",
        ClaimResult::Taken => "taken",
        ClaimResult::UsedUp { .. } => "used_up",
        ClaimResult::NotAgain => "not_again",
        ClaimResult::HeldElsewhere(_) => "held_elsewhere",
        ClaimResult::Halted => "halted",
        ClaimResult::Refunded => "refunded",
        ClaimResult::AccountClosed => "account_closed",
        ClaimResult::BeforeRestore => "before_restore",
        ClaimResult::NotCanonical => "not_on_chain",
        ClaimResult::TooShallow { .. } => "too_shallow",
        ClaimResult::AfterLoss { .. } => "after_loss",
        ClaimResult::Exposed { .. } => "exposed",
    }
}

/// The account pays too often. Nothing is used up.
pub(crate) fn limited(code: Code, wait: Duration) -> Problem {
    metrics::counter!("salt402_limited_total", "limit" => code.as_str()).increment(1);
    let detail = match code {
        Code::CoolDown => "the last payment of this account was granted a moment ago",
        _ => "payments of this account come faster than is allowed",
    };
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    let detail = format!("{detail}: the payment stays good, show the same proof again in {wait_ms} ms");
    Problem::new(code, detail).retry_after(wait_ms)
}
