//! A signed payment into a grant: looked up, verified, kept, settled, claimed.
//!
//! ```text
//! look ──unknown──▶ verify ──▶ keep ──▶ settle ──▶ written down as settled ──▶ claim
//!   └─ kept, or an earlier one of the same payer for the same request ──▶ settle (again, with the same key) …
//! ```
//!
//! A crash between any two steps is mended by whoever shows the same payment, or another for the same request, again: what is
//! kept is settled under the same key, so its success is told again.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use salt402_http::address_limited;
use salt402_protocol::api::{
    ClaimView, CreditRequest, PaymentView, Requirement, Reservation, ReservationOutcome, ReserveRequest,
    Verdict, VerifyRequest,
};
use salt402_protocol::x402::request::Request;
use salt402_protocol::x402::required::SignedHeader;
use salt402_protocol::{
    Address, Amount, Asset, B128, ChainId, Code, PaymentId, Problem, Proof, QuoteId, RequestDigest,
    SignedNonce,
};

use crate::client::VerifierClient;
use crate::order::Order;
use crate::presented::Presented;
use crate::signed::authorized::{Granted, authorized};
use crate::signed::facilitator::{FacilitatorClient, SettleFault, Settlement};
use crate::signed::ways::{Scheme, SignedWay};

/// Who sells: what of a paywall its signed payments need.
pub(crate) struct Seller<'a> {
    pub(crate) verifier: &'a Arc<dyn VerifierClient>,
    pub(crate) chain: ChainId,
    pub(crate) payee: Address,
    pub(crate) asset: Asset,
    pub(crate) claimant: &'a str,
    pub(crate) instance: Option<B128>,
    pub(crate) wait: Duration,
    pub(crate) keeps_answers: bool,
    pub(crate) needs_quote: bool,
}

/// What was signed, as it is kept and settled.
struct Signed<'a> {
    /// As its payer sent it.
    header: &'a SignedHeader,
    /// What a facilitator is asked with.
    question: Bytes,
    nonce: SignedNonce,
    payer: Address,
    /// What the payer accepted to pay, in base units of the token. The facilitator holds what was signed against it.
    amount: Amount,
    quote: Option<QuoteId>,
    scheme: Scheme,
}

/// What is kept.
struct Kept {
    question: Bytes,
    settled: bool,
    /// Whether it is another payment than the one that was shown.
    earlier: bool,
    /// Whether its payer has shown now what nobody else can: a signature that is on no chain, or a quote id of its own.
    by_payer: bool,
}

/// The grant for a signed payment. `Ok(Err(…))`: no money moved, and it may be said how to pay.
pub(crate) async fn admit(
    seller: &Seller<'_>,
    way: &SignedWay,
    order: &Order,
    presented: &Presented,
    header: &SignedHeader,
) -> Result<Result<Granted, Problem>, Problem> {
    let signed = match Signed::read(seller, way, order, header)? {
        Ok(signed) => signed,
        Err(refused) => return Ok(Err(refused)),
    };
    // An earlier payment may turn out to have moved no money. Then the one that was shown is next.
    for _ in 0..2 {
        let kept = match keep(seller, way, order, presented, &signed).await? {
            Ok(kept) => kept,
            Err(refused) => return Ok(Err(refused)),
        };
        let (nonce, _) = read(&kept.question)?;
        if let Some(granted) = authorized(seller.chain, seller.payee, seller.asset, &kept.question)? {
            return Ok(Ok(Granted { bare: granted.bare && !kept.by_payer, ..granted }));
        }
        if !kept.settled {
            match settle(seller, way, order, &kept, nonce).await {
                Ok(None) => {}
                Ok(Some(_)) if kept.earlier => continue,
                Ok(Some(refused)) => return Ok(Err(refused)),
                // A copy that came at the same time may have been told, and had it written down since this one looked.
                Err(problem) if problem.code == Code::SignatureUsed => {
                    match keep(seller, way, order, presented, &signed).await? {
                        Ok(now) if now.settled && now.question == kept.question => {}
                        _ => return Err(problem),
                    }
                }
                Err(problem) => return Err(problem),
            }
        }
        let (payment, claim) =
            claim(seller, requirement(seller, order), order.credit.clone(), presented, nonce).await?;
        return Ok(Ok(Granted { payment, claim, authorized: None, bare: !kept.by_payer, usage: None }));
    }
    Err(pending("an earlier payment for this request is on its way"))
}

impl<'a> Signed<'a> {
    fn read(
        seller: &Seller<'_>,
        way: &SignedWay,
        order: &Order,
        header: &'a SignedHeader,
    ) -> Result<Result<Self, Problem>, Problem> {
        let malformed =
            |what: String| Problem::new(Code::MalformedProof, format!("PAYMENT-SIGNATURE: {what}"));
        let accepted = header.accepted().map_err(|error| malformed(error.to_string()))?;
        let scheme = way.scheme(&accepted);
        if let Some(member) = way.difference(scheme, &accepted, seller.chain, seller.payee) {
            let detail = format!("what was accepted is not offered: it differs in {member}");
            return Ok(Err(Problem::new(Code::SignatureRefused, detail)));
        }
        let quote = accepted.quote_id().and_then(|text| text.parse::<QuoteId>().ok());
        // Where an answer may be given once alone, whoever comes first is served, and only the quote id tells the payer from others.
        // What a balance is bought with names its account, and its key is told to its payer alone.
        if quote.is_none() && seller.needs_quote && order.credit.is_none() {
            return Ok(Err(Problem::new(Code::SignatureRefused, where_the_quote_goes(header))));
        }
        let amount = Amount(accepted.amount());
        let asked = way.offered(scheme, seller.chain, seller.payee, amount, quote.clone());
        let question = header.question(&asked).map_err(|error| malformed(error.to_string()))?;
        let (nonce, payer) = read(&question).map_err(|problem| malformed(problem.detail))?;
        Ok(Ok(Self { header, question: question.into(), nonce, payer, amount, quote, scheme }))
    }
}

/// Where a client sends the quote's id, where it is needed. `PAYMENT-SIGNATURE` has a place of its own, and no other is read.
fn where_the_quote_goes(header: &SignedHeader) -> &'static str {
    if header.is_named_here() {
        "send the quoteId of the 402 with it, in the header X-Payment-Quote: what was signed stays good"
    } else {
        "send the quoteId of the 402 with it, in accepted.extra of PAYMENT-SIGNATURE as it came in the offer: what was signed stays good"
    }
}

/// The nonce of a question, and who signed.
pub(super) fn read(question: &[u8]) -> Result<(SignedNonce, Address), Problem> {
    let request =
        Request::parse(question).map_err(|error| Problem::new(Code::MalformedProof, error.to_string()))?;
    Ok((request.signed_nonce(), request.signed.payer()))
}

/// Keeps what was signed for this request. It is verified before anything is written.
async fn keep(
    seller: &Seller<'_>,
    way: &SignedWay,
    order: &Order,
    presented: &Presented,
    signed: &Signed<'_>,
) -> Result<Result<Kept, Problem>, Problem> {
    let mut request = ReserveRequest {
        proof: Proof::Nonce(signed.nonce),
        payer: signed.payer,
        token: way.token,
        amount: signed.amount,
        requirement: requirement(seller, order),
        quote_id: signed.quote.clone(),
        claimant: seller.claimant.to_owned(),
        payload: None,
        answers_are_kept: seller.keeps_answers,
    };
    let mut known = seller.verifier.reserve(&request).await?;
    let mut by_payer = signed.quote.as_ref().is_some_and(QuoteId::is_random);
    if let Reservation::Earlier { .. } = known {
        // Its payer alone can sign another, so only a good signature is answered from the earlier one. No money moves by it.
        match way.facilitator.verify(&signed.question).await {
            Ok(()) => by_payer = true,
            Err(SettleFault::Used | SettleFault::Refused { .. }) => return Err(used()),
            Err(SettleFault::Unavailable(problem)) => return Err(problem),
        }
    }
    if let Reservation::Unknown | Reservation::Released { .. } = known {
        if let Some(wait) = presented.too_soon {
            return Err(address_limited(wait));
        }
        if signed.scheme == Scheme::Upto && !order.by_use {
            let detail = "this is not charged by use: accept a way of the scheme exact";
            return Ok(Err(Problem::new(Code::SignatureRefused, detail)));
        }
        match way.facilitator.verify(&signed.question).await {
            Ok(()) => by_payer = true,
            // Somebody may have settled it since it was released here. Whoever asks with the key of then is told, if nobody was.
            Err(SettleFault::Used) if matches!(&known, Reservation::Released { payload } if signed.header.is_in(payload)) =>
                {}
            // A copy that came at the same time may have had it kept and settled since this one looked.
            Err(SettleFault::Used) => match seller.verifier.reserve(&request).await? {
                Reservation::Kept { payload, settled } if signed.header.is_in(&payload) => {
                    return Ok(Ok(Kept { question: payload.0, settled, earlier: false, by_payer }));
                }
                _ => return Err(used()),
            },
            Err(SettleFault::Refused { reason, detail }) => return Ok(Err(refused(&reason, &detail))),
            Err(SettleFault::Unavailable(problem)) => return Err(problem),
        }
        request.payload = Some(signed.question.to_vec().into());
        known = seller.verifier.reserve(&request).await?;
    }
    Ok(Ok(match known {
        // The nonce and the signature are on the chain for everybody; the quote id that came with them is not.
        Reservation::Kept { payload, .. } if !signed.header.is_in(&payload) => return Err(used()),
        Reservation::Kept { payload, settled } => {
            Kept { question: payload.0, settled, earlier: false, by_payer }
        }
        Reservation::Earlier { payload, settled } => {
            Kept { question: payload.0, settled, earlier: true, by_payer }
        }
        Reservation::Rejected { code, detail } => return Ok(Err(Problem::new(code, detail))),
        Reservation::Taken => return Err(used()),
        Reservation::Unknown | Reservation::Released { .. } => {
            return Err(Problem::new(
                Code::VerifierUnavailable,
                "the verifier kept nothing of what it was asked to keep",
            ));
        }
    }))
}

/// Has a kept payment settled. Returns why no money moved, if so.
async fn settle(
    seller: &Seller<'_>,
    way: &SignedWay,
    order: &Order,
    kept: &Kept,
    nonce: SignedNonce,
) -> Result<Option<Problem>, Problem> {
    let payment = nonce.payment_id(seller.chain);
    let settling = Settling {
        verifier: Arc::clone(seller.verifier),
        facilitator: Arc::clone(&way.facilitator),
        question: kept.question.clone(),
        key: key(seller, order.sold.digest, payment),
        outcome: ReservationOutcome {
            chain: seller.chain,
            payment_id: payment,
            claimant: seller.claimant.to_owned(),
            settled: false,
        },
    };
    // In a task of its own: whoever asks may leave, and a facilitator may say only once that the money moved.
    tokio::spawn(settling.settle())
        .await
        .unwrap_or_else(|_| Err(pending("it is not known how the settlement ended")))
}

/// A payment that is being settled.
struct Settling {
    verifier: Arc<dyn VerifierClient>,
    facilitator: Arc<dyn FacilitatorClient>,
    question: Bytes,
    key: String,
    outcome: ReservationOutcome,
}

impl Settling {
    /// Settles it, and has written down what became of it. Returns why no money moved, if so.
    async fn settle(self) -> Result<Option<Problem>, Problem> {
        let Self { verifier, facilitator, question, key, outcome } = self;
        match facilitator.settle(&question, &key).await {
            Ok(Settlement::Done) => {
                verifier.conclude_reservation(&ReservationOutcome { settled: true, ..outcome }).await?;
                Ok(None)
            }
            Ok(Settlement::Pending) => Err(pending("the settlement is on its way")),
            Err(SettleFault::Used) => Err(used()),
            Err(SettleFault::Refused { reason, detail }) => {
                verifier.conclude_reservation(&outcome).await?;
                Ok(Some(refused(&reason, &detail)))
            }
            Err(SettleFault::Unavailable(problem)) => Err(problem),
        }
    }
}

/// Claims a settled payment. What stands in the way is time alone, or for people to mend.
pub(super) async fn claim(
    seller: &Seller<'_>,
    requirement: Requirement,
    credit: Option<CreditRequest>,
    presented: &Presented,
    nonce: SignedNonce,
) -> Result<(Box<PaymentView>, ClaimView), Problem> {
    let proof = Proof::Nonce(nonce);
    let wait = if presented.too_soon.is_some() { Duration::ZERO } else { seller.wait };
    let request = VerifyRequest {
        proof,
        // Its reference is not what was signed.
        quote_id: None,
        requirement,
        claim: true,
        claimant: seller.claimant.to_owned(),
        wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        usage: None,
        by_use: false,
        at_least: None,
        raises: None,
        again_only: false,
        instance: seller.instance,
        client: presented.client,
        credit,
    };
    match seller.verifier.verify(&request).await? {
        Verdict::Accepted { payment, claim: Some(claim) } => Ok((payment, claim)),
        Verdict::Accepted { claim: None, .. } => Err(Problem::new(
            Code::VerifierUnavailable,
            "the verifier accepted without the claim it was asked for",
        )),
        Verdict::Pending { code, detail, retry_after_ms } => {
            Err(Problem::new(code, detail).retry_after(retry_after_ms))
        }
        Verdict::Rejected { code, detail } => {
            tracing::error!(payment = %nonce.payment_id(seller.chain), %code, detail, "a settled payment is not granted on");
            Err(Problem::new(code, detail))
        }
    }
}

pub(crate) fn requirement(seller: &Seller<'_>, order: &Order) -> Requirement {
    Requirement {
        chain: seller.chain,
        payee: seller.payee,
        asset: seller.asset,
        amount: order.amount,
        request_digest: order.sold.digest,
        confirmations: None,
    }
}

/// The key under which a payment is settled. Nobody else has the same: it holds the claimant's name.
pub(super) fn key(seller: &Seller<'_>, digest: RequestDigest, payment: PaymentId) -> String {
    payment.settlement_key(seller.claimant, digest.0)
}

pub(super) fn refused(reason: &str, detail: &str) -> Problem {
    let detail = match (reason, detail) {
        ("", detail) => detail.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, detail) => format!("{detail} ({reason})"),
    };
    Problem::new(Code::SignatureRefused, detail)
}

pub(super) fn used() -> Problem {
    let detail = "what was signed was used for another request or by another server, or is on the chain without having been shown \
                  here: sign a payment for this request, if you did not yet";
    Problem::new(Code::SignatureUsed, detail)
}

pub(super) fn pending(what: &str) -> Problem {
    let detail = format!("{what}: send the same request with the same payment again, and sign no other");
    Problem::new(Code::SettlementPending, detail).retry_after(2000)
}
