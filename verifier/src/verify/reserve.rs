//! Signed payments (x402), which are kept for a request before they are settled.
//!
//! What was signed names no request. Before it is settled, only its payer and whoever it was shown to know it; after that,
//! everybody can read it off the chain. So it counts for the request that it is shown with first, and only if it was shown before
//! anybody settled it.

use salt402_http::clock::{now_ms, now_s};
use salt402_protocol::api::{
    CaptureRequest, CaptureResponse, Reservation, ReservationOutcome, ReserveRequest, VerifyRequest,
};
use salt402_protocol::{Address, Amount, ChainId, Code, PaymentId, Problem, Proof};
use salt402_store::{Captured, NewCapture, NewReservation, Reserved};

use crate::verify::claimant_lease::check_name;
use crate::verify::inner::Inner;
use crate::verify::judge::terms::quoted;
use crate::verify::policy::ChainPolicy;
use crate::verify::quote::sold;
use crate::verify::refusals::internal;

/// Keeps a signed payment for a request, or says for what it is kept.
pub(crate) async fn reserve(verifier: &Inner, request: &ReserveRequest) -> Result<Reservation, Problem> {
    let asked = &request.requirement;
    let chain = &verifier.chain(asked.chain)?.policy;
    check_name(&request.claimant)?;
    let Proof::Nonce(nonce) = request.proof else {
        let detail = "proof: only what is signed is kept: eip3009:… or permit2:…";
        return Err(Problem::new(Code::InvalidRequest, detail));
    };
    let payload = match &request.payload {
        None => None,
        Some(payload) => {
            sold(verifier, asked.chain).await?;
            chain.accepts(asked.asset, asked.payee)?;
            if let Err((code, detail)) = covers(verifier, request, chain) {
                return Ok(Reservation::Rejected { code, detail });
            }
            Some(payload.to_vec())
        }
    };
    let now_ms = now_ms();
    let life_ms = verifier.policy.clock.lifetime.saturating_mul(1000);
    let new = NewReservation {
        payment: nonce.payment_id(asked.chain),
        chain: asked.chain,
        claimant: request.claimant.clone(),
        request: asked.request_digest.0,
        payer: request.payer,
        token: request.token,
        amount: request.amount,
        payload,
        since_ms: now_ms.saturating_sub(life_ms),
        answers_are_kept: request.answers_are_kept,
        now_ms,
    };
    Ok(match verifier.store.reserve(new).await.map_err(internal)? {
        Reserved::Kept(kept) => Reservation::Kept { payload: kept.payload.into(), settled: kept.settled },
        Reserved::Earlier(kept) => {
            metrics::counter!("salt402_signed_again_total", "chain" => asked.chain.to_string()).increment(1);
            Reservation::Earlier { payload: kept.payload.into(), settled: kept.settled }
        }
        Reserved::Released(kept) => Reservation::Released { payload: kept.payload.into() },
        Reserved::Taken => Reservation::Taken,
        Reserved::Unknown => Reservation::Unknown,
    })
}

/// Writes down what became of a payment that was kept.
pub(crate) async fn conclude(verifier: &Inner, outcome: &ReservationOutcome) -> Result<(), Problem> {
    let ReservationOutcome { payment_id, claimant, settled, .. } = outcome;
    let concluded = verifier.store.conclude_reservation(*payment_id, claimant.clone(), *settled).await;
    if concluded.map_err(internal)? {
        Ok(())
    } else {
        let detail = format!("the payment {payment_id} is not kept for {claimant:?}");
        Err(Problem::new(Code::NotFound, detail))
    }
}

/// Writes down what is charged of an authorization.
pub(crate) async fn capture(verifier: &Inner, request: &CaptureRequest) -> Result<CaptureResponse, Problem> {
    verifier.chain(request.chain)?;
    let CaptureRequest { payment_id, claimant, amount, .. } = request;
    let new = NewCapture { payment: *payment_id, claimant: claimant.clone(), amount: *amount };
    let chain = request.chain.to_string();
    match verifier.store.capture(new).await.map_err(internal)? {
        Captured::Done { amount, settled } => {
            metrics::counter!("salt402_captures_total", "chain" => chain).increment(1);
            Ok(CaptureResponse { amount, settled })
        }
        Captured::AboveCeiling(ceiling) => {
            let detail = format!("amount: {ceiling} base units are authorized at the most, found {amount}");
            Err(Problem::new(Code::InvalidRequest, detail))
        }
        Captured::Unknown => {
            let detail = format!("the payment {payment_id} is not reserved for {claimant:?}");
            Err(Problem::new(Code::NotFound, detail))
        }
    }
}

/// Whether what was signed is no less than the price: that of the quote while it lives, else that of the moment.
fn covers(verifier: &Inner, request: &ReserveRequest, chain: &ChainPolicy) -> Result<(), (Code, String)> {
    let asked = &request.requirement;
    let quote = request.quote_id.as_ref().and_then(|id| verifier.keys.open(id).ok());
    // Also of a quote that has ended: some clients sign for what they asked, and send the request without its body then.
    if let Some(quote) = quote.as_ref().filter(|quote| quote.terms.request != asked.request_digest) {
        quoted(asked, &request.claimant, quote, chain)?;
    }
    let lives = quote.filter(|quote| now_s() <= quote.expires_at && verifier.policy.clock.gave(quote));
    let price = match &lives {
        Some(quote) => quoted(asked, &request.claimant, quote, chain)?.amount,
        None => asked.amount,
    };
    if request.amount >= price {
        return Ok(());
    }
    let detail = format!("{} base units were signed, {price} are asked", request.amount);
    Err((Code::InsufficientPayment, detail))
}

/// The token and the price of a payment that was signed for this request, if it was kept for it and settled.
pub(crate) async fn reserved(
    verifier: &Inner,
    request: &VerifyRequest,
    chain: ChainId,
) -> Result<Option<(Address, Amount)>, Problem> {
    let (Proof::Nonce(nonce), None, None) = (&request.proof, &request.quote_id, request.usage) else {
        return Ok(None);
    };
    let payment: PaymentId = nonce.payment_id(chain);
    let terms = verifier.store.settled_reservation(payment).await.map_err(internal)?;
    let own = terms.filter(|terms| {
        terms.claimant == request.claimant && terms.request == request.requirement.request_digest.0
    });
    Ok(own.map(|terms| (terms.token, terms.amount)))
}
