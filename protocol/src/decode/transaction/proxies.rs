//! Permit2 settlements: by this project's proxies, whose event names all terms, and by x402's own, whose event names
//! none.

use alloy_primitives::{Address, B256, LogData, U256};
use alloy_sol_types::SolEvent as _;

use crate::contracts::IX402Permit2Proxy;
use crate::decode::foreign::IX402Settled;
use crate::decode::log::is;
use crate::decode::permit2::{self, SettleCall, Shown};
use crate::decode::source::{ProxyScheme, Source, SourceKind};
use crate::decode::transaction::reader::Reader;
use crate::decode::transaction::transfers::Transfer;
use crate::payment::Payment;
use crate::proof::nonce::SignedNonce;
use crate::values::asset::Asset;
use crate::values::money::Amount;

/// A followed proxy.
#[derive(Clone, Copy)]
struct Proxy<'a> {
    contract: Address,
    scheme: ProxyScheme,
    tokens: &'a [Address],
    payees: &'a [Address],
}

impl Proxy<'_> {
    fn counts(&self, token: Address, payee: Address) -> bool {
        self.tokens.contains(&token) && self.payees.contains(&payee)
    }
}

/// A settlement with unknown terms. The transfer directly before it may belong to it or to another payment.
pub(super) struct Uncertain {
    place: usize,
    transfer: usize,
}

/// A settlement without terms.
struct Seen {
    place: usize,
    with_permit: bool,
    /// The transfer before it, unless it stands before an earlier settlement.
    moved: Option<(usize, Transfer)>,
}

impl Reader<'_> {
    /// Settlements with full events come first, because one without terms may directly follow another payment's
    /// transfer.
    pub(super) fn proxies(&mut self) -> Vec<Uncertain> {
        let proxies: Vec<_> = self.sources.iter().filter_map(proxy).collect();
        for proxy in &proxies {
            self.full_settlements(*proxy);
        }
        proxies.into_iter().flat_map(|proxy| self.settlements_by_call(proxy)).collect()
    }

    /// Reports each settlement whose transfer no payment has used. Anybody can place a settlement of an unfollowed
    /// token after another payment's transfer, so one after a used transfer is ignored.
    pub(super) fn add_uncertain(&mut self, mut uncertain: Vec<Uncertain>) {
        uncertain.sort_by_key(|one| one.place);
        let mut reported = None;
        for Uncertain { place, transfer } in uncertain {
            // Only the first settlement after a transfer can be its own.
            if !self.transfers.is_used(transfer) && reported != Some(transfer) {
                reported = Some(transfer);
                self.add_unmatched(place, "the proxy settled a payment whose terms are unknown");
            }
        }
    }

    /// Handles this project's proxies. Their event names all terms, but does not prove that the token moved.
    fn full_settlements(&mut self, proxy: Proxy<'_>) {
        for (place, (contract, content)) in self.whole.logs.iter().enumerate() {
            if *contract != proxy.contract {
                continue;
            }
            let Ok(event) = IX402Permit2Proxy::PaymentSettled::decode_log_data_validate(content) else {
                continue;
            };
            let expected =
                Transfer { token: event.token, from: event.owner, to: event.payee, value: event.amount };
            let moved = self.transfers.use_before(place, expected);
            if !proxy.counts(expected.token, expected.to) {
                continue;
            }
            match moved {
                Some(transfer) => self.add_settled(place, transfer, proxy.contract, expected, event.nonce),
                None => self
                    .add_unmatched(place, "the proxy reported a payment, but the token moved something else"),
            }
        }
    }

    /// Handles x402's own proxies: `Settled()` directly after the transfer, and the terms from the calldata. Returns
    /// settlements to followed payees whose calldata gives no terms.
    fn settlements_by_call(&mut self, proxy: Proxy<'_>) -> Vec<Uncertain> {
        let mut last = None;
        let seen = |(place, with_permit): (usize, bool)| {
            // A transfer before an earlier settlement is not this one's: a token may emit no `Transfer`.
            let own = |(before, _): &(usize, Transfer)| last.is_none_or(|last| *before > last);
            let moved = self.transfers.before(place).filter(own);
            last = Some(place);
            Seen { place, with_permit, moved }
        };
        let settled: Vec<_> =
            settlements_without_terms(proxy.contract, self.whole.logs).into_iter().map(seen).collect();
        let calls = self.settle_calls(proxy, &settled);
        let mut uncertain = Vec::new();
        for (nth, Seen { place, moved, .. }) in settled.into_iter().enumerate() {
            let Some(calls) = &calls else {
                let counts = |(_, moved): &(usize, Transfer)| proxy.counts(moved.token, moved.to);
                uncertain.extend(moved.filter(counts).map(|(transfer, _)| Uncertain { place, transfer }));
                continue;
            };
            let SettleCall { owner: from, payee: to, token, amount: value, nonce, .. } = calls[nth];
            let expected = Transfer { token, from, to, value };
            let moved = moved.filter(|(_, moved)| *moved == expected).map(|(transfer, _)| transfer);
            match moved.filter(|transfer| self.transfers.use_up(*transfer)) {
                Some(transfer) if proxy.counts(token, to) => {
                    self.add_settled(place, transfer, proxy.contract, expected, nonce);
                }
                None if proxy.counts(token, to) => {
                    self.add_unmatched(
                        place,
                        "the proxy was asked for a payment, but the token moved something else",
                    );
                }
                // The settlement moved an unfollowed token, so the transfer before it belongs to something else.
                _ => {}
            }
        }
        uncertain
    }

    /// The settle call of each settlement, if all are certain.
    fn settle_calls(&self, proxy: Proxy<'_>, settled: &[Seen]) -> Option<Vec<SettleCall>> {
        if settled.is_empty() {
            return None;
        }
        let (sources, call) = (self.sources, self.whole.call?);
        let is_token = |target: Address| sources.iter().any(|source| tokens_of(source).contains(&target));
        let shown = settled.iter().map(|seen| Shown {
            moved: seen.moved.map(|(_, moved)| (moved.token, moved.from, moved.to, moved.value)),
            with_permit: seen.with_permit,
        });
        permit2::settle_calls(call, proxy.contract, proxy.scheme, &shown.collect::<Vec<_>>(), is_token)
    }

    fn add_settled(&mut self, place: usize, transfer: usize, proxy: Address, moved: Transfer, nonce: U256) {
        let payment = Payment {
            id: SignedNonce::Permit2 { owner: moved.from, nonce }.payment_id(self.chain),
            chain: self.chain,
            contract: proxy,
            transaction: self.whole.transaction,
            reference: B256::from(nonce),
            payer: moved.from,
            payee: moved.to,
            asset: Asset::from_address(moved.token),
            amount: Amount(moved.value),
        };
        self.add(place, transfer, payment);
    }
}

fn proxy(source: &Source) -> Option<Proxy<'_>> {
    match &source.kind {
        SourceKind::X402Proxy { scheme, tokens, payees } => {
            Some(Proxy { contract: source.contract, scheme: *scheme, tokens, payees })
        }
        _ => None,
    }
}

/// The tokens of a source that the operator trusts.
fn tokens_of(source: &Source) -> &[Address] {
    match &source.kind {
        SourceKind::X402Proxy { tokens, .. }
        | SourceKind::CitrateFacilitator { tokens, .. }
        | SourceKind::CitratePaywall { tokens, .. } => tokens,
        SourceKind::Eip3009Token { .. } => std::slice::from_ref(&source.contract),
        _ => &[],
    }
}

/// The log indexes of a proxy's settlements without terms, and whether each used a permit. Empty for a proxy whose
/// events name the terms.
pub(super) fn settlements_without_terms(proxy: Address, logs: &[(Address, &LogData)]) -> Vec<(usize, bool)> {
    let own = || logs.iter().enumerate().filter(|(_, (contract, _))| *contract == proxy);
    if own().any(|(_, (_, content))| is::<IX402Permit2Proxy::PaymentSettled>(content)) {
        return Vec::new();
    }
    own()
        .filter_map(|(place, (_, content))| {
            let with_permit = is::<IX402Settled::SettledWithPermit>(content);
            (with_permit || is::<IX402Settled::Settled>(content)).then_some((place, with_permit))
        })
        .collect()
}
