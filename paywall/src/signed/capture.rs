//! Charging what was used: a ceiling is reserved, the request runs, and what it used is captured, once, and settled.
//!
//! ```text
//! kept ──run, answer and amount on disk──▶ captured ──▶ settled ──▶ written down as settled ──▶ claimed
//! ```
//!
//! Each step may be taken again: what was captured first stays, a facilitator tells the same key again, and a claim is found again.

use salt402_protocol::api::{CaptureRequest, CaptureResponse, PaymentView, Requirement, ReservationOutcome};
use salt402_protocol::x402::required::question_over;
use salt402_protocol::{Amount, Code, PaymentId, Problem, RequestDigest};

use crate::presented::Presented;
use crate::signed::admit::{Seller, claim, key, pending, read, refused, used};
use crate::signed::facilitator::{SettleFault, Settlement};
use crate::signed::ways::SignedWay;

/// What is to be charged of an authorization.
#[derive(Clone, Debug)]
pub struct Capture<'a> {
    /// The payment that authorizes it.
    pub payment: PaymentId,
    /// The request.
    pub request: RequestDigest,
    /// What is charged, in base units.
    pub amount: Amount,
    /// What a facilitator settles. `None` for a voucher.
    pub question: Option<&'a [u8]>,
}

/// What became of a charge.
#[derive(Clone, Debug)]
pub enum Moved {
    /// It was moved, by this payment; `None` where nothing had to be moved: a voucher's charge is counted, and 0 needs no
    /// transaction.
    Done(Option<Box<PaymentView>>),
    /// Not yet, or nobody knows: the same is to be asked again.
    Pending(Problem),
    /// No money moved, and none will by the same question now.
    Refused(Problem),
}

/// Captures what was used, and has it settled.
pub(crate) async fn capture(
    seller: &Seller<'_>,
    way: Option<&SignedWay>,
    capture: &Capture<'_>,
    presented: &Presented,
) -> Moved {
    match moved(seller, way, capture, presented).await {
        Ok(moved) => moved,
        Err(problem) => Moved::Pending(problem),
    }
}

/// `Err`: not known yet.
async fn moved(
    seller: &Seller<'_>,
    way: Option<&SignedWay>,
    capture: &Capture<'_>,
    presented: &Presented,
) -> Result<Moved, Problem> {
    let request = CaptureRequest {
        chain: seller.chain,
        payment_id: capture.payment,
        claimant: seller.claimant.to_owned(),
        amount: capture.amount,
    };
    let CaptureResponse { amount, settled } = match seller.verifier.capture(&request).await {
        Ok(captured) => captured,
        Err(problem) if matches!(problem.code, Code::NotFound | Code::InvalidRequest) => {
            return Ok(Moved::Refused(problem));
        }
        Err(problem) => return Err(problem),
    };
    let Some(question) = capture.question else { return Ok(Moved::Done(None)) };
    let (nonce, _) = read(question)?;
    if !settled && let Some(refused) = settle(seller, way, capture, question, amount).await? {
        return Ok(Moved::Refused(refused));
    }
    if amount.is_zero() {
        return Ok(Moved::Done(None));
    }
    let requirement = Requirement {
        chain: seller.chain,
        payee: seller.payee,
        asset: seller.asset,
        amount,
        request_digest: capture.request,
        confirmations: None,
    };
    claim(seller, requirement, None, presented, nonce).await.map(|(payment, _)| Moved::Done(Some(payment)))
}

/// Has a charge settled, and writes that down. Returns why no money moved, if so.
async fn settle(
    seller: &Seller<'_>,
    way: Option<&SignedWay>,
    capture: &Capture<'_>,
    question: &[u8],
    amount: Amount,
) -> Result<Option<Problem>, Problem> {
    let Some(way) = way else {
        let detail = "no facilitator is configured that could settle what was charged";
        return Ok(Some(Problem::new(Code::SignatureRefused, detail)));
    };
    let asked =
        question_over(question, amount).map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let key = key(seller, capture.request, capture.payment);
    match way.facilitator.settle(&asked.into(), &key).await {
        Ok(Settlement::Done) => {}
        Ok(Settlement::Pending) => return Err(pending("the settlement is on its way")),
        // What has ended needs no more: nothing is to be moved.
        Err(SettleFault::Used | SettleFault::Refused { .. }) if amount.is_zero() => {}
        Err(SettleFault::Used) => return Ok(Some(used())),
        Err(SettleFault::Refused { reason, detail }) => return Ok(Some(refused(&reason, &detail))),
        Err(SettleFault::Unavailable(problem)) => return Err(problem),
    }
    let outcome = ReservationOutcome {
        chain: seller.chain,
        payment_id: capture.payment,
        claimant: seller.claimant.to_owned(),
        settled: true,
    };
    seller.verifier.conclude_reservation(&outcome).await?;
    Ok(None)
}
