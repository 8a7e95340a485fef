//! The payments that a proof names.

use std::collections::HashSet;

use alloy_primitives::B256;
use salt402_protocol::api::VerifyRequest;
use salt402_protocol::quote::BEHIND;
use salt402_protocol::{ChainId, PaymentId, Problem, Proof, Quote, QuoteId};
use salt402_store::{ClaimRow, IndexedPayment, Referred, Wanted};

use crate::verify::inner::Inner;
use crate::verify::policy::ChainPolicy;
use crate::verify::refusals::{ambiguous_nonce, internal};

/// On a chain that merges blocks: by how many seconds a payment's block may be dated differently from its neighbours.
const MERGED_BLOCK_SKEW: u64 = 120;

/// The payments that a proof names on a chain: those of its transaction, wherever they are now, or the one of its
/// nonce. None for a voucher. If the transaction holds many, those that the quote or the place names.
pub(crate) async fn payments_shown(
    verifier: &Inner,
    request: &VerifyRequest,
    chain: ChainId,
) -> Result<Vec<IndexedPayment>, Problem> {
    match request.proof {
        Proof::Voucher(_) => Ok(Vec::new()),
        Proof::Nonce(nonce) => signed_payments(verifier, nonce.payment_id(chain), chain).await,
        Proof::Transaction { hash, ordinal } => {
            let wanted = match (&request.quote_id, ordinal) {
                (_, Some(place)) => Wanted::Position(place),
                (Some(quote), None) => Wanted::Reference(quote.reference()),
                (None, None) => Wanted::Any,
            };
            let shown = verifier.store.payments_wanted(chain, hash, wanted).await;
            let mut payments = shown.map_err(internal)?;
            for lost in lost(&payments, ordinal) {
                let named = signed_payments(verifier, lost, chain).await?;
                payments.extend(named.into_iter().filter(|payment| payment.canonical));
            }
            Ok(payments)
        }
    }
}

/// A payment that its payer signed for, in all its blocks. If a token took a nonce twice, there are two payments of one
/// name, and it is not known which one was shown until one of them was granted on.
async fn signed_payments(
    verifier: &Inner,
    payment: PaymentId,
    chain: ChainId,
) -> Result<Vec<IndexedPayment>, Problem> {
    let payments = verifier.store.signed_payments(chain, payment).await.map_err(internal)?;
    let on_chain = payments.iter().filter(|payment| payment.canonical).count();
    if on_chain > 1 && payments.iter().all(|payment| payment.claim.is_none()) {
        return Err(ambiguous_nonce());
    }
    Ok(payments)
}

/// The transaction that is shown. For a nonce, the one that used it, also if its block left the chain.
pub(crate) async fn transaction_shown(verifier: &Inner, request: &VerifyRequest) -> Option<B256> {
    let Proof::Nonce(nonce) = &request.proof else { return request.proof.hash() };
    let chain = request.requirement.chain;
    let known = verifier.store.signed_payments(chain, nonce.payment_id(chain)).await.ok()?;
    let on_chain = known.iter().find(|payment| payment.canonical);
    on_chain.or(known.last()).map(|payment| payment.placed.payment.transaction)
}

/// For a refused proof: the transaction on the chain whose payment was used for another request or by another server.
pub(crate) async fn transaction_replayed(verifier: &Inner, request: &VerifyRequest) -> Option<B256> {
    let (proof, digest) = (&request.proof, request.requirement.request_digest);
    let mut shown = payments_shown(verifier, request, request.requirement.chain).await.ok()?;
    shown.extend(payments_quoted(verifier, request).await);
    let is_elsewhere = |claim: &ClaimRow| claim.request != digest || claim.claimant != request.claimant;
    let used = shown.iter().find(|payment| {
        payment.canonical
            && proof.ordinal().is_none_or(|ordinal| ordinal == payment.placed.position)
            && payment.claim.as_ref().is_some_and(is_elsewhere)
    });
    used.map(|payment| payment.placed.payment.transaction)
}

/// The payments of the quote that is shown with a hash, found by their reference.
pub(crate) async fn payments_quoted(verifier: &Inner, request: &VerifyRequest) -> Vec<IndexedPayment> {
    let (Proof::Transaction { .. }, Some(id)) = (&request.proof, &request.quote_id) else {
        return Vec::new();
    };
    let Ok(quote) = verifier.keys.open(id) else { return Vec::new() };
    let Ok(chain) = verifier.chain(request.requirement.chain) else { return Vec::new() };
    let quoted = payments_of_quote(verifier, id, &quote, &chain.policy).await;
    quoted.ok().flatten().unwrap_or_default()
}

/// The payments of a quote, wherever they are. `None` if there are too many payments of its time to search.
pub(crate) async fn payments_of_quote(
    verifier: &Inner,
    id: &QuoteId,
    quote: &Quote,
    chain: &ChainPolicy,
) -> Result<Option<Vec<IndexedPayment>>, Problem> {
    let skew = verifier.policy.clock_skew.as_secs();
    let from = quote.issued_at.saturating_sub(skew.saturating_add(BEHIND).saturating_add(MERGED_BLOCK_SKEW));
    let to = quote.expires_at.saturating_add(skew).saturating_add(MERGED_BLOCK_SKEW);
    match verifier.store.payments_for(chain.chain, id.reference(), from..=to).await.map_err(internal)? {
        Referred::Payments(payments) => Ok(Some(payments)),
        Referred::TooMany => {
            metrics::counter!("salt402_references_not_looked_for_total", "chain" => chain.chain.to_string())
                .increment(1);
            Ok(None)
        }
    }
}

/// The payments of a transaction that are in no block of the chain, each once. A signed payment may have been settled
/// by another transaction since. If the proof names a place, only the payment at that place.
fn lost(payments: &[IndexedPayment], ordinal: Option<u32>) -> Vec<PaymentId> {
    if payments.iter().all(|payment| payment.canonical) {
        return Vec::new();
    }
    let on_chain: HashSet<_> = payments
        .iter()
        .filter(|payment| payment.canonical)
        .map(|payment| payment.placed.payment.id)
        .collect();
    let is_lost = |payment: &&IndexedPayment| {
        ordinal.is_none_or(|ordinal| ordinal == payment.placed.position)
            && !on_chain.contains(&payment.placed.payment.id)
    };
    let mut lost: Vec<_> = payments.iter().filter(is_lost).map(|payment| payment.placed.payment.id).collect();
    lost.sort_unstable();
    lost.dedup();
    lost
}
