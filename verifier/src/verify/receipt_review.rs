//! Reads what else the shown transaction holds, before anybody is asked to pay again.
//!
//! The index may know one payment of a transaction and not another: the node left its log out, an unknown contract
//! settled it, or it was made in a way that is not followed. A refusal of the known payment would make its payer pay
//! twice. So the whole receipt is read first, once per transaction, within the limits of all look-ups.

use std::sync::Arc;

use alloy_primitives::B256;
use salt402_indexer::Unaccounted;
use salt402_protocol::api::{Requirement, Verdict, VerifyRequest};
use salt402_protocol::{Asset, Code, Problem, Proof, QuoteId, SignedNonce};
use salt402_store::{IndexedPayment, Wanted};

use crate::verify::inner::{Inner, VerifierChain};
use crate::verify::policy::ChainPolicy;
use crate::verify::refusals::{
    ambiguous, does_not_pay, internal, not_honoured, pending, sent_plainly, unaccounted,
};
use crate::verify::shown::{payments_quoted, payments_shown};

/// Whether a verdict would make the payer pay again before the whole receipt of the transaction was read.
pub(crate) async fn needs_review(
    verifier: &Inner,
    request: &VerifyRequest,
    chain: &VerifierChain,
    verdict: &Verdict,
) -> Result<bool, Problem> {
    match (&request.proof, verdict) {
        (Proof::Transaction { hash, .. }, Verdict::Rejected { code, .. }) if is_of_payments(*code) => {
            Ok(review(verifier, *hash, chain).await?.is_none())
        }
        _ => Ok(false),
    }
}

/// The verdict, unless it would make somebody pay again who may have paid.
pub(crate) async fn reviewed(
    verifier: &Inner,
    request: &VerifyRequest,
    chain: &VerifierChain,
    verdict: Verdict,
) -> Result<Verdict, Problem> {
    let Verdict::Rejected { code, detail } = &verdict else { return Ok(verdict) };
    let (asset, payee) = (request.requirement.asset, request.requirement.payee);
    if is_of_quote(*code)
        && let Some(held) = held_for_its_quote(verifier, request, chain, *code, detail).await?
    {
        return Ok(held);
    }
    let transaction = match &request.proof {
        Proof::Transaction { hash, .. } if is_of_payments(*code) => *hash,
        // It names no receipt, and may have moved the money that was asked for.
        Proof::Nonce(SignedNonce::Eip3009 { token, .. })
            if *code == Code::NoPayment && asset == Asset::Token(*token) =>
        {
            return Err(unaccounted());
        }
        _ => return Ok(verdict),
    };
    match review(verifier, transaction, chain).await? {
        Some(review) if review.is_ambiguous() => Err(ambiguous()),
        Some(review) if review.moved(asset, payee) => {
            tracing::warn!(chain = %chain.policy.chain, %transaction, %asset, %payee,
                "a proof was shown that moved the asset to the payee by a way that is not followed");
            Err(if asset == Asset::Native { sent_plainly() } else { unaccounted() })
        }
        // A used payment is known as used.
        None if !matches!(code, Code::AlreadyClaimed | Code::UsesExhausted) => {
            Ok(unread(&chain.policy, *code, detail))
        }
        // The shown transaction pays nothing. Another one may have paid the quote.
        _ if is_of_quote(*code)
            && payments_quoted(verifier, request)
                .await
                .iter()
                .any(|row| pays_for_its_quote(request, row)) =>
        {
            Err(not_honoured(*code, detail))
        }
        _ => Ok(verdict),
    }
}

/// The answer for a quote that is not good for this request, if the proof is its payment, or may be, and was not used
/// yet.
async fn held_for_its_quote(
    verifier: &Inner,
    request: &VerifyRequest,
    chain: &VerifierChain,
    code: Code,
    detail: &str,
) -> Result<Option<Verdict>, Problem> {
    let shown = payments_shown(verifier, request, chain.policy.chain).await?;
    if shown.iter().any(|row| pays_for_its_quote(request, row)) {
        return Err(not_honoured(code, detail));
    }
    // A nonce names no receipt that could be read.
    let unseen = shown.is_empty() && matches!(request.proof, Proof::Nonce(_));
    Ok(unseen.then(|| unread(&chain.policy, code, detail)))
}

/// What the whole receipt of a transaction holds, if it was read in the block that the transaction is in.
async fn review(
    verifier: &Inner,
    transaction: B256,
    chain: &VerifierChain,
) -> Result<Option<Arc<Unaccounted>>, Problem> {
    let Some(review) = chain.lookup.unaccounted(transaction) else { return Ok(None) };
    let (store, (number, hash)) = (&verifier.store, review.block());
    // If there are many, some are enough, since they moved together.
    let rows = store.payments_wanted(chain.policy.chain, transaction, Wanted::Any).await.map_err(internal)?;
    let on_chain = rows.iter().filter(|row| row.canonical).map(|row| row.placed.block_hash);
    let on_chain: Vec<B256> = on_chain.collect();
    let stands = if !on_chain.is_empty() || rows.is_empty() {
        // The index does not know this transaction. Only a receipt that was read just now tells that it paid nothing.
        on_chain.iter().all(|block| *block == hash)
    } else {
        // Its payments have left the chain. It may be mined again and hold more.
        let block = store.canonical_block(chain.policy.chain, number).await.map_err(internal)?;
        block.is_some_and(|block| block.hash == hash)
    };
    Ok(stands.then_some(review))
}

/// Whether a payment was made for the shown quote and was not used yet.
fn pays_for_its_quote(request: &VerifyRequest, row: &IndexedPayment) -> bool {
    let Requirement { asset, payee, .. } = request.requirement;
    let payment = &row.placed.payment;
    let reference = request.quote_id.as_ref().map(QuoteId::reference);
    (payment.payee, payment.asset) == (payee, asset)
        && Some(payment.reference) == reference
        && row.claim.is_none()
}

/// The answer while the receipt was not read yet, which may hold more than the index.
fn unread(chain: &ChainPolicy, code: Code, detail: &str) -> Verdict {
    let detail = format!(
        "what is known of the transaction does not pay for this ({code}: {detail}), and its receipt could not be read yet, \
         which may hold more: do not pay again, show the same proof again"
    );
    pending(chain, 1, Code::PaymentNotSeen, detail)
}

/// Whether a refusal is about the quote id, whatever the proof paid.
fn is_of_quote(code: Code) -> bool {
    matches!(code, Code::QuoteForged | Code::QuoteMismatch)
}

/// Whether a refusal of a proof comes with a new price, so that another payment would be made.
fn is_of_payments(code: Code) -> bool {
    does_not_pay(code) || is_of_quote(code) || matches!(code, Code::AlreadyClaimed | Code::UsesExhausted)
}
