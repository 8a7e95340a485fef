//! What the contracts log when they move money is read as one payment, with the payer's nonce as its reference.

use alloy_primitives::{Address, B256};
use salt402_protocol::permit2::Call;
use salt402_protocol::source::ProxyScheme;
use salt402_protocol::transaction::{Whole, decode_whole, needs_call};
use salt402_protocol::{Amount, Asset, ChainId, Payment, Source, SourceKind};

use crate::machine::Done;

/// The token, and a proxy that settles in it.
pub(crate) fn followed(token: Address, proxies: &[(Address, ProxyScheme)], payee: Address) -> Vec<Source> {
    let source = |contract, kind| Source { contract, kind, start_block: 0 };
    let payees = vec![payee];
    let mut sources = vec![source(token, SourceKind::Eip3009Token { payees: payees.clone() })];
    for (proxy, scheme) in proxies {
        let (tokens, payees) = (vec![token], payees.clone());
        sources.push(source(*proxy, SourceKind::X402Proxy { scheme: *scheme, tokens, payees }));
    }
    sources
}

/// Reads what a call logged. With `silent`, the events that only our proxies have are left out, as x402's own do.
pub(crate) fn read(sources: &[Source], done: &Done, call: Option<Call<'_>>, silent: bool) -> Vec<Payment> {
    use alloy_sol_types::SolEvent as _;
    let ours = salt402_protocol::contracts::IX402Permit2Proxy::PaymentSettled::SIGNATURE_HASH;
    let logs = done.logs.iter().filter(|log| !silent || log.data.topics().first() != Some(&ours));
    let logs: Vec<_> = logs.map(|log| (log.address, &log.data)).collect();
    assert_eq!(needs_call(sources, &logs), silent);
    let whole = Whole { transaction: B256::repeat_byte(0x77), logs: &logs, call };
    let decoded = decode_whole(ChainId::CITRATE, sources, whole);
    assert!(decoded.ambiguities.is_empty(), "{:?}", decoded.ambiguities);
    assert_eq!(decoded.settlements.len(), decoded.payments.len());
    decoded.payments
}

/// The one payment that there must be.
pub(crate) fn assert_paid(
    payments: &[Payment],
    contract: Address,
    (payer, payee): (Address, Address),
    (token, amount): (Address, alloy_primitives::U256),
    nonce: B256,
) {
    let [payment] = payments else { panic!("not one payment: {payments:?}") };
    assert_eq!(
        (payment.contract, payment.payer, payment.payee, payment.asset, payment.amount, payment.reference),
        (contract, payer, payee, Asset::Token(token), Amount(amount), nonce)
    );
}
