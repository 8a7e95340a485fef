//! Finds a payment by its quote's reference if the shown hash is not the hash of its transaction.
//!
//! A wallet may replace a transaction, and a bundler or a Safe tells a hash of its own. The payer then shows a hash
//! that is in no block, or that pays nothing. The reference says what was paid for. If the quote is random, only its
//! payer knows the quote id, whose hash the reference is. So the payment is found by the reference, as if its own hash
//! had been shown. A derived quote is given to everybody who asks for the same request: with its id and any hash, one
//! could take another's payment. So in that case the answer only says that there is a payment, and asks for its hash. A
//! hash that names another payment makes two readings and is refused.

use salt402_protocol::api::{Verdict, VerifyRequest};
use salt402_protocol::{Code, Problem, Proof, Quote};
use salt402_store::{IndexedPayment, Wanted};

use crate::verify::derived::Derived;
use crate::verify::grant::{follow, question};
use crate::verify::inner::Inner;
use crate::verify::judge::judge;
use crate::verify::judge::question::{Judgement, Question};
use crate::verify::policy::ChainPolicy;
use crate::verify::refusals::{does_not_pay, internal, pending, two_payments};
use crate::verify::shown::payments_of_quote;

/// The verdict on what a hash names, unless the payment of its quote leads to another.
pub(crate) async fn by_reference(
    verifier: &Inner,
    request: &VerifyRequest,
    quote: Option<&Quote>,
    chain: &ChainPolicy,
    derived: &mut Derived<'_>,
    verdict: Verdict,
) -> Result<Verdict, Problem> {
    let Proof::Transaction { hash, ordinal } = request.proof else { return Ok(verdict) };
    let (Some(id), Some(quote)) = (&request.quote_id, quote) else { return Ok(verdict) };
    if !may_be_elsewhere(&verdict) {
        return Ok(verdict);
    }
    let Some(payments) = payments_of_quote(verifier, id, quote, chain).await? else {
        return Ok(unless_it_refuses(chain, verdict));
    };
    // The shown transaction may have arrived since it was looked for.
    let is_shown = |payment: &IndexedPayment| {
        payment.placed.payment.transaction == hash
            && ordinal.is_none_or(|ordinal| ordinal == payment.placed.position)
    };
    let (shown, others): (Vec<_>, Vec<_>) = payments.into_iter().partition(is_shown);
    let question = Question { proof: Proof::transaction(hash), ..question(request, Some(quote)) };
    for (payments, are_others) in [(shown, false), (others, true)] {
        if payments.is_empty() {
            continue;
        }
        let judgement = judge(&question, &verifier.policy, chain, derived, &payments);
        match &judgement {
            // A payment that was used or does not fit changes nothing.
            Judgement::Rejected(..) => continue,
            Judgement::Pending(Code::PaymentOrphaned, _) if !are_others => continue,
            Judgement::Unasked(Code::PaymentRefunded, _) if are_others && !is_told(quote, &verdict) => {
                continue;
            }
            Judgement::Unasked(code, detail) => return Err(Problem::new(*code, detail.clone())),
            Judgement::Paid(_) | Judgement::Pending(..) => {}
        }
        if are_others {
            if names_another(verifier, request).await? {
                // It may be the quote's own, paid a second time, and have arrived since it was looked for. It is looked at again.
                if matches!(verdict, Verdict::Pending { code: Code::PaymentNotSeen, .. }) {
                    return Ok(verdict);
                }
                return Err(two_payments());
            }
            if quote.nonce.is_none() {
                return Ok(by_its_hash(chain, verdict));
            }
            let labels = [("chain", chain.chain.to_string())];
            metrics::counter!("salt402_found_by_reference_total", &labels).increment(1);
        }
        return follow(verifier, request, chain, judgement, &payments).await;
    }
    Ok(verdict)
}

/// Whether a refund of another transaction's payment is told to whoever shows this one. Of a derived quote it may be anybody's. Of
/// a random one it is the payer's own, and the shown transaction may be a second one of the payer: it is looked at first.
fn is_told(quote: &Quote, verdict: &Verdict) -> bool {
    quote.nonce.is_some() && !matches!(verdict, Verdict::Pending { code: Code::PaymentNotSeen, .. })
}

/// Whether the shown hash is of a transaction with payments.
async fn names_another(verifier: &Inner, request: &VerifyRequest) -> Result<bool, Problem> {
    let Some(hash) = request.proof.hash() else { return Ok(false) };
    let chain = request.requirement.chain;
    let shown = verifier.store.payments_wanted(chain, hash, Wanted::Any).await.map_err(internal)?;
    Ok(shown.iter().any(|payment| payment.canonical))
}

/// Whether a verdict says that the shown transaction does not pay. Then another one may have paid the quote.
fn may_be_elsewhere(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Accepted { .. } => false,
        Verdict::Pending { code, .. } => {
            matches!(code, Code::PaymentNotSeen | Code::PaymentOrphaned | Code::QuoteExpired)
        }
        Verdict::Rejected { code, .. } => does_not_pay(*code) || *code == Code::QuoteExpired,
    }
}

/// Nobody is asked to pay again before the quote's own payment was looked for.
fn unless_it_refuses(chain: &ChainPolicy, verdict: Verdict) -> Verdict {
    let (Verdict::Rejected { code, detail } | Verdict::Pending { code, detail, .. }) = &verdict else {
        return verdict;
    };
    if code.is_pending() {
        return verdict;
    }
    let detail = format!(
        "what is shown does not pay for this ({code}: {detail}), and the time of the quote holds more payments than are looked \
         through for its reference: do not pay again; show the hash of the transaction that paid"
    );
    pending(chain, 1, Code::PaymentNotSeen, detail)
}

/// There is a payment, and the quote does not tell whose it is.
fn by_its_hash(chain: &ChainPolicy, verdict: Verdict) -> Verdict {
    if matches!(verdict, Verdict::Pending { code: Code::PaymentOrphaned, .. }) {
        return verdict;
    }
    let detail = "this transaction is not known to pay, and a payment for the same quote is in another: do not pay again; if it is \
                  yours, as where a wallet replaced the transaction, show the hash of the transaction that is in a block; the quote was \
                  given to everybody who asked for the same, so its id alone does not say whose payment it is"
        .into();
    pending(chain, 1, Code::PaymentNotSeen, detail)
}
