//! Authorizations of tokens, and what facilitators and paywalls tell of those that they submitted.

use std::collections::HashMap;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent as _;

use crate::decode::foreign::{ICitrateFacilitator, ICitratePaywall, IToken};
use crate::decode::log::is;
use crate::decode::source::SourceKind;
use crate::decode::transaction::reader::Reader;
use crate::payment::Payment;
use crate::proof::nonce::SignedNonce;
use crate::values::asset::Asset;
use crate::values::money::Amount;

impl Reader<'_> {
    /// Authorizations of tokens: `AuthorizationUsed`, and right after it the transfer that it allowed.
    ///
    /// An authorization that moved nothing is followed by somebody else's log, which is its transfer only if it is of
    /// the same token and account, and was not used up before.
    pub(super) fn authorizations(&mut self) {
        let mut moved: Vec<(usize, usize, Payment)> = Vec::new();
        for (place, (token, content)) in self.whole.logs.iter().enumerate() {
            if !is::<IToken::AuthorizationUsed>(content) || !self.is_authorization_token(*token) {
                continue;
            }
            let Ok(used) = IToken::AuthorizationUsed::decode_log_data_validate(content) else { continue };
            let after = place + 1;
            let Some(transfer) = self.transfers.at(after) else { continue };
            let own = transfer.token == *token && transfer.from == used.authorizer;
            let moved_nothing = transfer.value.is_zero() || transfer.to == transfer.from;
            if !own || moved_nothing || !self.transfers.use_up(after) {
                continue;
            }
            let signed =
                SignedNonce::Eip3009 { token: *token, authorizer: used.authorizer, nonce: used.nonce };
            let payment = Payment {
                id: signed.payment_id(self.chain),
                chain: self.chain,
                contract: *token,
                transaction: self.whole.transaction,
                reference: used.nonce,
                payer: transfer.from,
                payee: transfer.to,
                asset: Asset::from_address(*token),
                amount: Amount(transfer.value),
            };
            moved.push((place, after, payment));
        }
        let admitted = self.admitted(&moved);
        for ((place, transfer, payment), admitted) in moved.into_iter().zip(admitted) {
            if admitted {
                self.add(place, transfer, payment);
            }
        }
    }

    fn is_authorization_token(&self, token: Address) -> bool {
        self.sources.iter().any(|source| match &source.kind {
            SourceKind::Eip3009Token { .. } => source.contract == token,
            SourceKind::CitrateFacilitator { tokens, .. } | SourceKind::CitratePaywall { tokens, .. } => {
                tokens.contains(&token)
            }
            _ => false,
        })
    }

    /// Which authorizations a source brings.
    fn admitted(&mut self, moved: &[(usize, usize, Payment)]) -> Vec<bool> {
        let mut admitted = vec![false; moved.len()];
        let mut grants: Vec<Grant> = Vec::new();
        for source in self.sources {
            match &source.kind {
                SourceKind::Eip3009Token { payees } => {
                    for (index, (_, _, payment)) in moved.iter().enumerate() {
                        admitted[index] |=
                            payment.contract == source.contract && payees.contains(&payment.payee);
                    }
                }
                SourceKind::CitrateFacilitator { tokens, payees } => {
                    let facilitated = self.facilitated(source.contract);
                    for (index, (place, _, payment)) in moved.iter().enumerate() {
                        let told = (payment.payer, payment.payee, payment.amount.0, payment.reference);
                        admitted[index] |= tokens.contains(&payment.contract)
                            && payees.contains(&payment.payee)
                            && facilitated.get(&told).is_some_and(|last| last > place);
                    }
                }
                SourceKind::CitratePaywall { tokens, payees } => {
                    let counts = |payment: &Payment| {
                        tokens.contains(&payment.contract)
                            && (payees.contains(&payment.payee) || payment.payee == source.contract)
                    };
                    grants.extend(self.paywall(source.contract, moved, &counts));
                }
                _ => {}
            }
        }
        for grant in grants.iter().filter(|grant| grant.is_told()) {
            grant.candidates.iter().for_each(|index| admitted[*index] = true);
        }
        // What another source tells is not unmatched, whichever of the two is named first.
        for grant in grants.iter().filter(|grant| !grant.is_told()) {
            if grant.candidates.is_empty() || !grant.candidates.iter().all(|index| admitted[*index]) {
                self.add_unmatched(
                    grant.place,
                    "the paywall gave access, and it cannot be told for which payment",
                );
            }
        }
        admitted
    }

    /// What a facilitator says that it settled, and the place where it says so last.
    fn facilitated(&self, facilitator: Address) -> HashMap<(Address, Address, U256, B256), usize> {
        let own = self.whole.logs.iter().enumerate().filter(|(_, (contract, _))| *contract == facilitator);
        own.filter_map(|(place, (_, content))| {
            let event = ICitrateFacilitator::PaymentSettled::decode_log_data_validate(content).ok()?;
            Some(((event.from, event.to, event.value, event.nonce), place))
        })
        .collect()
    }

    /// Access that a paywall gave. Its event names payer and amount and no nonce.
    fn paywall(
        &self,
        paywall: Address,
        moved: &[(usize, usize, Payment)],
        counts: &dyn Fn(&Payment) -> bool,
    ) -> Vec<Grant> {
        let mut alike: HashMap<(Address, U256), (usize, Vec<usize>)> = HashMap::new();
        let mut given = Vec::new();
        for (place, (contract, content)) in self.whole.logs.iter().enumerate() {
            if *contract != paywall {
                continue;
            }
            if let Ok(event) = ICitratePaywall::AccessGranted::decode_log_data_validate(content) {
                let terms = (event.payer, event.amount);
                alike.entry(terms).or_default().0 += 1;
                given.push((place, terms));
            }
        }
        for (index, (_, _, payment)) in moved.iter().enumerate().filter(|(_, (_, _, p))| counts(p)) {
            if let Some((_, candidates)) = alike.get_mut(&(payment.payer, payment.amount.0)) {
                candidates.push(index);
            }
        }
        let grant = |(place, terms)| {
            let (equal, candidates) = alike.get(&terms).cloned().unwrap_or_default();
            Grant { place, equal, candidates }
        };
        given.into_iter().map(grant).collect()
    }
}

/// Access that a paywall gave.
struct Grant {
    place: usize,
    /// How many grants say the same.
    equal: usize,
    /// The authorizations that may be meant, by their places among those that moved something.
    candidates: Vec<usize>,
}

impl Grant {
    /// With as many authorizations as there were grants they are those, else it cannot be told.
    fn is_told(&self) -> bool {
        self.candidates.len() == self.equal
    }
}
