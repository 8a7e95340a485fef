//! The payments that a proof names.

use std::collections::HashSet;

use alloy_primitives::B256;
use salt402_protocol::api::VerifyRequest;
use salt402_protocol::{ChainId, PaymentId, Problem, Proof};
use salt402_store::{ClaimRow, IndexedPayment, Wanted};

use crate::Verifier;
use crate::verifier::refusals::{ambiguous_nonce, internal};

impl Verifier {
    /// What a proof names on a chain: the payments of its transaction, wherever they are by now, or the one of its
    /// nonce. None of a voucher. Of a transaction that holds many, what the quote or the place names.
    pub(crate) async fn payments_shown(
        &self,
        request: &VerifyRequest,
        chain: ChainId,
    ) -> Result<Vec<IndexedPayment>, Problem> {
        match request.proof {
            Proof::Voucher(_) => Ok(Vec::new()),
            Proof::Nonce(nonce) => self.signed_payments(nonce.payment_id(chain), chain).await,
            Proof::Transaction { hash, ordinal } => {
                let wanted = match (&request.quote_id, ordinal) {
                    (_, Some(place)) => Wanted::Position(place),
                    (Some(quote), None) => Wanted::Reference(quote.reference()),
                    (None, None) => Wanted::Any,
                };
                let shown = self.store().payments_wanted(chain, hash, wanted).await;
                let mut payments = shown.map_err(internal)?;
                for lost in lost(&payments, ordinal) {
                    let named = self.signed_payments(lost, chain).await?;
                    payments.extend(named.into_iter().filter(|payment| payment.canonical));
                }
                Ok(payments)
            }
        }
    }

    /// A payment that its payer signed for, in all its blocks. A token that takes a nonce twice has made two payments of one
    /// name, and which of them was shown cannot be told while nothing was granted on either.
    async fn signed_payments(
        &self,
        payment: PaymentId,
        chain: ChainId,
    ) -> Result<Vec<IndexedPayment>, Problem> {
        let payments = self.store().signed_payments(chain, payment).await.map_err(internal)?;
        let on_chain = payments.iter().filter(|payment| payment.canonical).count();
        if on_chain > 1 && payments.iter().all(|payment| payment.claim.is_none()) {
            return Err(ambiguous_nonce());
        }
        Ok(payments)
    }

    /// The transaction that is shown: of a nonce, the one that used it up, or did before its block left the chain.
    pub(crate) async fn transaction_shown(&self, request: &VerifyRequest) -> Option<B256> {
        let Proof::Nonce(nonce) = &request.proof else { return request.proof.hash() };
        let chain = request.requirement.chain;
        let known = self.store().signed_payments(chain, nonce.payment_id(chain)).await.ok()?;
        let on_chain = known.iter().find(|payment| payment.canonical);
        on_chain.or(known.last()).map(|payment| payment.placed.payment.transaction)
    }

    /// The transaction on the chain whose payment was used up for another request, or by another server, of a proof that was
    /// refused.
    pub(crate) async fn transaction_replayed(&self, request: &VerifyRequest) -> Option<B256> {
        let (proof, digest) = (&request.proof, request.requirement.request_digest);
        let mut shown = self.payments_shown(request, request.requirement.chain).await.ok()?;
        shown.extend(self.payments_quoted(request).await);
        let is_elsewhere = |claim: &ClaimRow| claim.request != digest || claim.claimant != request.claimant;
        let used = shown.iter().find(|payment| {
            payment.canonical
                && proof.ordinal().is_none_or(|ordinal| ordinal == payment.placed.position)
                && payment.claim.as_ref().is_some_and(is_elsewhere)
        });
        used.map(|payment| payment.placed.payment.transaction)
    }

    /// The payments for the quote that is shown with a hash, by their reference.
    pub(crate) async fn payments_quoted(&self, request: &VerifyRequest) -> Vec<IndexedPayment> {
        let (Proof::Transaction { .. }, Some(id)) = (&request.proof, &request.quote_id) else {
            return Vec::new();
        };
        let Ok(quote) = self.keys().open(id) else { return Vec::new() };
        let Ok(chain) = self.chain(request.requirement.chain) else { return Vec::new() };
        let quoted = self.payments_of_quote(id, &quote, &chain.policy).await;
        quoted.ok().flatten().unwrap_or_default()
    }
}

/// The payments that a transaction holds in no block of the chain, each once: of those that somebody signed for, another
/// transaction may have settled each since. Of a proof that names a place, the one at that place.
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
