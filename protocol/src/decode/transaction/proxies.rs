//! Settlements over Permit2: by our proxies, whose event says all, and by x402's own, whose event says nothing.

use alloy_primitives::{Address, B256, LogData, U256};
use alloy_sol_types::SolEvent as _;

use crate::contracts::IX402Permit2Proxy;
use crate::decode::foreign::IX402Settled;
use crate::decode::log::is;
use crate::decode::permit2::{self, Asked};
use crate::decode::source::{ProxyScheme, Source, SourceKind};
use crate::decode::transaction::reader::Reader;
use crate::decode::transaction::transfers::Transfer;
use crate::payment::Payment;
use crate::proof::nonce::SignedNonce;
use crate::values::asset::Asset;
use crate::values::money::Amount;

/// A proxy that is followed.
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

/// A settlement of which cannot be told what it moved. The transfer right before it may be its own, or another's.
pub(super) struct Unexplained {
    place: usize,
    transfer: usize,
}

impl Reader<'_> {
    /// Settlements with an event that says all come before those without: one without may stand right behind another's transfer.
    pub(super) fn proxies(&mut self) -> Vec<Unexplained> {
        let proxies: Vec<_> = self.sources.iter().filter_map(proxy).collect();
        for proxy in &proxies {
            self.full_settlements(*proxy);
        }
        proxies.into_iter().flat_map(|proxy| self.settlements_by_call(proxy)).collect()
    }

    /// Adds the settlements whose transfer nobody else explains as unmatched. Behind another's payment, a settlement that cannot
    /// be told is that of a token that nobody follows: it hides nothing, and anybody can put one there.
    pub(super) fn add_unexplained(&mut self, mut unexplained: Vec<Unexplained>) {
        unexplained.sort_by_key(|one| one.place);
        let mut told = None;
        for Unexplained { place, transfer } in unexplained {
            // The settlement right behind a transfer; what stands further behind it moved something else.
            if !self.transfers.is_used(transfer) && told != Some(transfer) {
                told = Some(transfer);
                self.add_unmatched(place, "the proxy settled a payment, and it cannot be told which");
            }
        }
    }

    /// Our proxies: one event says all of a settlement, but not that the token moved.
    fn full_settlements(&mut self, proxy: Proxy<'_>) {
        for (place, (contract, content)) in self.whole.logs.iter().enumerate() {
            if *contract != proxy.contract {
                continue;
            }
            let Ok(event) = IX402Permit2Proxy::PaymentSettled::decode_log_data_validate(content) else {
                continue;
            };
            let told =
                Transfer { token: event.token, from: event.owner, to: event.payee, value: event.amount };
            let moved = self.transfers.use_before(place, told);
            if !proxy.counts(told.token, told.to) {
                continue;
            }
            match moved {
                Some(transfer) => self.add_settled(place, transfer, proxy.contract, told, event.nonce),
                None => self.add_unmatched(
                    place,
                    "the proxy says that a payment was settled, the token moved something else",
                ),
            }
        }
    }

    /// x402's own proxies: `Settled()` right after the transfer, and the rest from the calldata. Returns the settlements
    /// that may have moved what counts, where the calldata does not tell.
    fn settlements_by_call(&mut self, proxy: Proxy<'_>) -> Vec<Unexplained> {
        let settled = bare_settlements(proxy.contract, self.whole.logs);
        let asked = self.asked(proxy, &settled);
        let (mut unexplained, mut last) = (Vec::new(), None);
        for (nth, (place, _)) in settled.into_iter().enumerate() {
            // One before another settlement is not its own: a token can be silent.
            let own = |(before, _): &(usize, Transfer)| last.is_none_or(|last| *before > last);
            let moved = self.transfers.before(place).filter(own);
            last = Some(place);
            let Some(asked) = &asked else {
                let counts = |(_, moved): &(usize, Transfer)| proxy.counts(moved.token, moved.to);
                unexplained.extend(moved.filter(counts).map(|(transfer, _)| Unexplained { place, transfer }));
                continue;
            };
            let Asked { owner: from, payee: to, token, amount: value, nonce, .. } = asked[nth];
            let told = Transfer { token, from, to, value };
            let moved = moved.filter(|(_, moved)| *moved == told).map(|(transfer, _)| transfer);
            match moved.filter(|transfer| self.transfers.use_up(*transfer)) {
                Some(transfer) if proxy.counts(token, to) => {
                    self.add_settled(place, transfer, proxy.contract, told, nonce);
                }
                None if proxy.counts(token, to) => {
                    self.add_unmatched(
                        place,
                        "the proxy was asked for a payment, and the token moved something else",
                    );
                }
                // Whatever stands before it is none of its: it moved what nobody follows.
                _ => {}
            }
        }
        unexplained
    }

    /// What each settlement of a proxy was asked for, if that can be told of all of them.
    fn asked(&self, proxy: Proxy<'_>, settled: &[(usize, bool)]) -> Option<Vec<Asked>> {
        if settled.is_empty() {
            return None;
        }
        let (sources, call) = (self.sources, self.whole.call?);
        let is_token = |target: Address| sources.iter().any(|source| tokens_of(source).contains(&target));
        let asked = permit2::asked(call, proxy.contract, proxy.scheme, settled.len(), is_token)?;
        let alike = |(one, (_, with_permit)): (&Asked, &(usize, bool))| one.with_permit == *with_permit;
        asked.iter().zip(settled).all(alike).then_some(asked)
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

/// The tokens that the operator trusts, as far as a source names them.
fn tokens_of(source: &Source) -> &[Address] {
    match &source.kind {
        SourceKind::X402Proxy { tokens, .. }
        | SourceKind::CitrateFacilitator { tokens, .. }
        | SourceKind::CitratePaywall { tokens, .. } => tokens,
        SourceKind::Eip3009Token { .. } => std::slice::from_ref(&source.contract),
        _ => &[],
    }
}

/// The places of a proxy's settlements whose event says nothing, and whether each came with a permit; none where the proxy's
/// events say what it settled.
pub(super) fn bare_settlements(proxy: Address, logs: &[(Address, &LogData)]) -> Vec<(usize, bool)> {
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
