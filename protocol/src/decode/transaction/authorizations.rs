//! Decodes token authorizations (EIP-3009), and the events of facilitators and paywalls that submit them.

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
    /// An authorization is an `AuthorizationUsed` log and the `Transfer` directly after it.
    ///
    /// An authorization that moved nothing may be followed by an unrelated log. So the transfer must have the same
    /// token and account, and no other payment may have used it.
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

    /// For each authorization, whether a source admits it.
    fn admitted(&mut self, moved: &[(usize, usize, Payment)]) -> Vec<bool> {
        let mut admitted = vec![false; moved.len()];
        let mut accesses: Vec<Access> = Vec::new();
        for source in self.sources {
            match &source.kind {
                SourceKind::Eip3009Token { payees } => {
                    for (index, (_, _, payment)) in moved.iter().enumerate() {
                        admitted[index] |=
                            payment.contract == source.contract && payees.contains(&payment.payee);
                    }
                }
                SourceKind::CitrateFacilitator { tokens, payees } => {
                    let reports = self.facilitator_reports(source.contract);
                    for (index, (place, _, payment)) in moved.iter().enumerate() {
                        let reported = (payment.payer, payment.payee, payment.amount.0, payment.reference);
                        admitted[index] |= tokens.contains(&payment.contract)
                            && payees.contains(&payment.payee)
                            && reports.get(&reported).is_some_and(|last| last > place);
                    }
                }
                SourceKind::CitratePaywall { tokens, payees } => {
                    let counts = |payment: &Payment| {
                        tokens.contains(&payment.contract)
                            && (payees.contains(&payment.payee) || payment.payee == source.contract)
                    };
                    accesses.extend(self.paywall_accesses(source.contract, moved, &counts));
                }
                _ => {}
            }
        }
        for access in accesses.iter().filter(|access| access.is_certain()) {
            access.candidates.iter().for_each(|index| admitted[*index] = true);
        }
        // Access that other sources explain is no ambiguity. This must not depend on the order of the sources.
        for access in accesses.iter().filter(|access| !access.is_certain()) {
            if access.candidates.is_empty() || !access.candidates.iter().all(|index| admitted[*index]) {
                self.add_unmatched(
                    access.place,
                    "the paywall gave access, but it is unknown for which payment",
                );
            }
        }
        admitted
    }

    /// The payments that a facilitator reports, each with the index of its last report.
    fn facilitator_reports(&self, facilitator: Address) -> HashMap<(Address, Address, U256, B256), usize> {
        let own = self.whole.logs.iter().enumerate().filter(|(_, (contract, _))| *contract == facilitator);
        own.filter_map(|(place, (_, content))| {
            let event = ICitrateFacilitator::PaymentSettled::decode_log_data_validate(content).ok()?;
            Some(((event.from, event.to, event.value, event.nonce), place))
        })
        .collect()
    }

    /// The access events of a paywall. They name payer and amount, but no nonce.
    fn paywall_accesses(
        &self,
        paywall: Address,
        moved: &[(usize, usize, Payment)],
        counts: &dyn Fn(&Payment) -> bool,
    ) -> Vec<Access> {
        let mut same_terms: HashMap<(Address, U256), (usize, Vec<usize>)> = HashMap::new();
        let mut events = Vec::new();
        for (place, (contract, content)) in self.whole.logs.iter().enumerate() {
            if *contract != paywall {
                continue;
            }
            if let Ok(event) = ICitratePaywall::AccessGranted::decode_log_data_validate(content) {
                let terms = (event.payer, event.amount);
                same_terms.entry(terms).or_default().0 += 1;
                events.push((place, terms));
            }
        }
        for (index, (_, _, payment)) in moved.iter().enumerate().filter(|(_, (_, _, p))| counts(p)) {
            if let Some((_, candidates)) = same_terms.get_mut(&(payment.payer, payment.amount.0)) {
                candidates.push(index);
            }
        }
        let access = |(place, terms)| {
            let (equal, candidates) = same_terms.get(&terms).cloned().unwrap_or_default();
            Access { place, equal, candidates }
        };
        events.into_iter().map(access).collect()
    }
}

/// An access event of a paywall.
struct Access {
    place: usize,
    /// The number of access events with the same payer and amount.
    equal: usize,
    /// Indexes of the authorizations with the same payer and amount.
    candidates: Vec<usize>,
}

impl Access {
    /// Whether there are as many authorizations as access events. Otherwise it is unknown which authorization bought
    /// access.
    fn is_certain(&self) -> bool {
        self.candidates.len() == self.equal
    }
}
