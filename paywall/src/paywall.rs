//! The decision before a paid request: it must be paid for, or it was and passes once.

use std::sync::Arc;
use std::time::Duration;

use salt402_http::address_limited;
use salt402_protocol::api::{ClaimView, PaymentView, QuoteRequest, Requirement, Verdict, VerifyRequest};
use salt402_protocol::details::Resource;
use salt402_protocol::{Address, Asset, B128, ChainId, Code, Problem, Proof, QuoteId};

use crate::client::VerifierClient;
use crate::offer::{Dialects, Offer, SignedOffer, details};
use crate::order::{Order, Sold};
use crate::presented::Presented;
use crate::shown::SignedPayment;
use crate::signed::{self, Authorized, Capture, Granted, Moved, Scheme, Seller, SignedWay, VOUCHER_KEPT_MS};

/// How long a proof may wait for its payment unless [`Paywall::wait`] says otherwise.
const WAIT: Duration = Duration::from_secs(10);

/// The status with which it is said how to pay.
const PAYMENT_REQUIRED: u16 = 402;

/// What stands before requests that are paid for, and what all of them are paid with.
#[derive(Clone)]
pub struct Paywall {
    /// Where payments are asked about.
    pub verifier: Arc<dyn VerifierClient>,
    /// The chain to be paid on.
    pub chain: ChainId,
    /// Who is to be paid.
    pub payee: Address,
    /// What is to be paid.
    pub asset: Asset,
    /// A token's symbol and decimal places, for people; the native coin's come from its network.
    pub token_names: Option<(String, u8)>,
    /// How long a proof may wait for its payment.
    pub wait: Duration,
    /// The name under which payments are claimed, and which quotes are given under; the same after a restart, so that a claim
    /// is found again, and another for each service.
    pub claimant: String,
    /// Which process of the claimant this is, where a claim that is found again is run: another live one is then shut out. `None`
    /// where only the first finding of a claim is served.
    pub instance: Option<B128>,
    /// Whether whoever shows a payment that was used for the same request is given the answer that it got.
    pub keeps_answers: bool,
    /// Whether a payment is taken with its quote id alone, which is random then: always where an answer may be given once.
    /// Everybody on the chain can read a hash, and whoever shows it first would be served in its payer's place.
    pub needs_quote: bool,
    /// In what payments are taken that are signed and settled from here. `None`: none are.
    pub signed: Option<SignedWay>,
    /// In which dialects a 402 says how to pay, beside its own.
    pub dialects: Dialects,
}

/// What is decided of a request.
#[derive(Debug)]
pub enum Decision {
    /// It was paid for and the payment is used up for it; `claim.first` is true once.
    Granted(Granted),
    /// It must be paid for: why, and how. Whoever serves writes this in its own words.
    Unpaid(Box<Offer>),
}

impl Paywall {
    /// One that is paid in the native coin, where a proof may wait ten seconds for its payment. `claimant` is the name
    /// under which payments are claimed: another for each service, and the same after a restart.
    pub fn new(
        verifier: impl VerifierClient,
        chain: ChainId,
        payee: Address,
        claimant: impl Into<String>,
    ) -> Self {
        Self {
            verifier: Arc::new(verifier),
            chain,
            payee,
            asset: Asset::Native,
            token_names: None,
            wait: WAIT,
            claimant: claimant.into(),
            instance: None,
            keeps_answers: false,
            needs_quote: true,
            signed: None,
            dialects: Dialects::default(),
        }
    }

    /// Lets a request through, or says how to pay for it. A payment is used up, on disk, before this returns.
    pub async fn decide(&self, order: &Order, presented: &Presented) -> Result<Decision, Problem> {
        if let Some(header) = &presented.signed {
            return match self.admit_signed(order, presented, header).await? {
                Ok(granted) => Ok(Decision::Granted(granted)),
                Err(refused) => self.offer(order, presented, refused).await.map(Decision::Unpaid),
            };
        }
        let Some(proof) = presented.proof else {
            let problem = Problem::new(
                Code::PaymentRequired,
                "pay the amount to the recipient through paymentContract with this reference, then send the same \
                 request again with the header X-Payment-Proof: 0x<transaction hash> and X-Payment-Quote: <quoteId>; \
                 the quoteId is your receipt: keep it, and tell it to nobody",
            );
            return self.offer(order, presented, problem).await.map(Decision::Unpaid);
        };
        let moved = matches!(proof, Proof::Transaction { .. } | Proof::Nonce(_));
        match self.admit(order, presented, proof).await? {
            Ok(granted) => Ok(Decision::Granted(granted)),
            // The payee may have what moved, though it pays for nothing: nobody is led to pay the whole price besides.
            Err(mut refused)
                if moved && matches!(refused.code, Code::InsufficientPayment | Code::WrongAsset) =>
            {
                refused.detail.push_str(
                    ": if it was for this request, ask the server's operator to give it back; ask without it for a new price",
                );
                Err(refused)
            }
            Err(refused) => self.offer(order, presented, refused).await.map(Decision::Unpaid),
        }
    }

    /// Lets a request through that is not sold any more, if it was paid for while it was; `None` where it was not. Nobody is
    /// told how to pay for it. A voucher pays at the price of the moment, so one counts where it was accepted before.
    pub async fn redeem(&self, order: &Order, presented: &Presented) -> Result<Option<Granted>, Problem> {
        if let Some(header) = &presented.signed {
            // What was not kept while it was sold is not settled now.
            let again = Presented { too_soon: Some(Duration::ZERO), ..presented.clone() };
            return match self.admit_signed(order, &again, header).await {
                Ok(admitted) => Ok(admitted.ok()),
                Err(problem) if problem.code == Code::AddressLimited => Ok(None),
                Err(problem) => Err(problem),
            };
        }
        let Some(proof) = presented.proof else { return Ok(None) };
        if let Proof::Voucher(_) = proof {
            let again = Presented { too_soon: Some(Duration::ZERO), ..presented.clone() };
            let verdict = self.ask(order, order.sold, Duration::ZERO, &again, proof).await?;
            let Verdict::Accepted { payment, claim: Some(claim) } = verdict else { return Ok(None) };
            return Ok(Some(granted(payment, claim, false, order.sold)));
        }
        Ok(self.admit(order, presented, proof).await?.ok())
    }

    async fn admit_signed(
        &self,
        order: &Order,
        presented: &Presented,
        shown: &SignedPayment,
    ) -> Result<Result<Granted, Problem>, Problem> {
        let Some(way) = self.signed.as_ref().filter(|_| order.sold.usage.is_none()) else {
            let detail = "signed payments are not taken for this: pay as the details say";
            return Ok(Err(Problem::new(Code::SignatureRefused, detail)));
        };
        // Other dialects than version 2 of x402 have the scheme `exact` alone.
        let offered = |amount, quote| way.offered(Scheme::Exact, self.chain, self.payee, amount, quote);
        let header = match shown.in_v2(&way.names, presented.quote.as_ref(), offered) {
            Ok(header) => header,
            Err(error) => return Ok(Err(Problem::new(Code::SignatureRefused, error.to_string()))),
        };
        signed::admit(&self.seller(), way, order, presented, &header).await
    }

    /// Captures what a request used of what was authorized for it, once, and has it settled. The same may be asked again, and must
    /// be while it is [`Moved::Pending`]: what was captured first stays.
    pub async fn capture(&self, capture: &Capture<'_>) -> Moved {
        let nobody = Presented::default();
        signed::capture(&self.seller(), self.signed.as_ref(), capture, &nobody).await
    }

    fn seller(&self) -> Seller<'_> {
        Seller {
            verifier: &self.verifier,
            chain: self.chain,
            payee: self.payee,
            asset: self.asset,
            claimant: &self.claimant,
            instance: self.instance,
            wait: self.wait,
            keeps_answers: self.keeps_answers,
            needs_quote: self.needs_quote,
        }
    }

    /// The claim of what a proof pays for; else why it pays for nothing, where it is said how to pay.
    async fn admit(
        &self,
        order: &Order,
        presented: &Presented,
        proof: Proof,
    ) -> Result<Result<Granted, Problem>, Problem> {
        let bare = presented.is_bare();
        if self.needs_quote && bare {
            return Err(quote_required());
        }
        let (verdict, sold) = self.verify(order, presented, proof).await?;
        match (verdict, presented.too_soon) {
            (Verdict::Accepted { payment, claim: Some(claim) }, _) => {
                Ok(Ok(granted(payment, claim, bare, sold)))
            }
            (_, Some(wait)) => Err(address_limited(wait)),
            (Verdict::Accepted { claim: None, .. }, None) => Err(Problem::new(
                Code::VerifierUnavailable,
                "the verifier accepted without the claim it was asked for",
            )),
            // No details: whoever has paid must not be led to pay again.
            (Verdict::Pending { code, detail, retry_after_ms }, None) => {
                Err(Problem::new(code, detail).retry_after(retry_after_ms))
            }
            (Verdict::Rejected { code, detail }, None) => {
                let problem = Problem::new(code, detail);
                // Whoever has paid, and may have its money still here, is told no new price: these are no 402 elsewhere either.
                let may_have_paid = problem.status != PAYMENT_REQUIRED
                    || matches!(code, Code::QuoteRequired | Code::PaymentBeforeRestore);
                if may_have_paid { Err(problem) } else { Ok(Err(problem)) }
            }
        }
    }

    /// A fresh quote for a request, and why it is to be paid.
    pub async fn offer(
        &self,
        order: &Order,
        presented: &Presented,
        problem: Problem,
    ) -> Result<Box<Offer>, Problem> {
        let asked = QuoteRequest {
            chain: self.chain,
            payee: self.payee,
            asset: self.asset,
            amount: order.amount,
            request_digest: order.sold.digest,
            // Of several requests not one is told apart by the payment's hash, so the quote id must be secret.
            secret: presented.secret
                || presented.quote.is_some()
                || order.sold.usage.is_some()
                || self.needs_quote,
            claimant: self.claimant.clone(),
        };
        let mut quote = self.verifier.quote(&asked).await?;
        // A voucher pays for one request.
        if order.sold.usage.is_some() {
            (quote.channels_contract, quote.channels_exit_delay) = (None, None);
        }
        if let Some((symbol, decimals)) = &self.token_names {
            quote.symbol.clone_from(symbol);
            quote.decimals = *decimals;
        }
        let resource = Resource {
            method: order.method.clone(),
            path: order.path.clone(),
            description: order.description.clone(),
            request_digest: order.sold.digest,
        };
        metrics::counter!("salt402_402_total", "code" => problem.code.as_str()).increment(1);
        let public = self.signed.as_ref().and_then(|way| way.public_url.clone());
        let base = public.or_else(|| presented.base.clone()).unwrap_or_default();
        let signed = self.signed.as_ref().filter(|_| order.sold.usage.is_none()).map(|way| {
            let id = Some(quote.quote_id.clone());
            let ways = way.all_offered(self.chain, self.payee, order.amount, order.by_use, id);
            SignedOffer {
                ways,
                url: format!("{base}{}", order.path),
                names: way.names.clone(),
                facilitator_url: way.facilitator_url.clone(),
            }
        });
        let realm = base.split_once("://").map_or(base.as_str(), |(_, host)| host).to_owned();
        let takes_vouchers = quote.channels_contract.is_some();
        let mut details = details(&asked, quote, resource);
        details.stream_least = presented.at_least.filter(|_| order.by_use && takes_vouchers);
        let dialects = if self.needs_quote { self.dialects.with_quotes() } else { self.dialects };
        Ok(Box::new(Offer { problem, details, signed, realm, dialects }))
    }

    /// What a proof pays for, and as what it was sold.
    async fn verify(
        &self,
        order: &Order,
        presented: &Presented,
        proof: Proof,
    ) -> Result<(Verdict, Sold), Problem> {
        let quoted = presented.quote.as_ref().and_then(QuoteId::request);
        let was_before = order.before.filter(|before| quoted == Some(before.digest));
        let sold = was_before.unwrap_or(order.sold);
        let verdict = self.ask(order, sold, self.wait, presented, proof).await?;
        let Some(before) = order.before else { return Ok((verdict, sold)) };
        if !matches!(verdict, Verdict::Rejected { code: Code::QuoteRequired, .. }) {
            return Ok((verdict, sold));
        }
        let otherwise = self.ask(order, before, Duration::ZERO, presented, proof).await?;
        Ok(match &otherwise {
            Verdict::Accepted { .. } => (otherwise, before),
            Verdict::Pending { code, .. } if *code != Code::PaymentNotSeen => (otherwise, before),
            Verdict::Rejected { code: Code::AlreadyClaimed | Code::UsesExhausted, .. } => (otherwise, before),
            _ => (verdict, sold),
        })
    }

    async fn ask(
        &self,
        order: &Order,
        sold: Sold,
        wait: Duration,
        presented: &Presented,
        proof: Proof,
    ) -> Result<Verdict, Problem> {
        let request = VerifyRequest {
            proof,
            quote_id: presented.quote.clone(),
            requirement: Requirement {
                chain: self.chain,
                payee: self.payee,
                asset: self.asset,
                amount: order.amount,
                request_digest: sold.digest,
                confirmations: None,
            },
            claim: true,
            claimant: self.claimant.clone(),
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            usage: sold.usage,
            // A voucher authorizes a ceiling; what was mined was paid.
            by_use: order.by_use && matches!(proof, Proof::Voucher(_)),
            at_least: presented.at_least.filter(|_| order.by_use && matches!(proof, Proof::Voucher(_))),
            raises: None,
            // Whoever asks too often is still given what it was granted.
            again_only: presented.too_soon.is_some(),
            instance: self.instance,
            client: presented.client,
            credit: order.credit.clone(),
        };
        self.verifier.verify(&request).await
    }
}

/// A grant. What was granted before is charged as it was granted then, whatever the price says now.
fn granted(payment: Box<PaymentView>, claim: ClaimView, bare: bool, sold: Sold) -> Granted {
    let authorized = claim.by_use.then_some(Authorized {
        question: None,
        ends_at: None,
        is_secret: true,
        kept_ms: VOUCHER_KEPT_MS,
    });
    Granted { payment, claim, authorized, bare, usage: sold.usage }
}

/// Somebody has paid, if not necessarily whoever shows it, and has the id: so no new quote comes with this.
pub fn quote_required() -> Problem {
    Problem::new(
        Code::QuoteRequired,
        "a payment can be read off the chain by anybody, so here it is shown together with the quoteId of the 402 that it \
         was made for, in the header X-Payment-Quote: if you paid, do not pay again, show both",
    )
}
