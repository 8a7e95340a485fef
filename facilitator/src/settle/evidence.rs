//! What a transaction that is not ours shows of a settlement.
//!
//! It is read as the index reads it: each transfer belongs to one payment. Otherwise one transfer would pay for all that its
//! payer signed with the same terms and had used up beside it.

use alloy_primitives::{Address, LogData, U256};
use alloy_sol_types::SolEvent as _;
use salt402_chain::{Log, Receipt, Transaction};
use salt402_protocol::foreign::IX402Settled;
use salt402_protocol::permit2::Call;
use salt402_protocol::source::ProxyScheme;
use salt402_protocol::transaction::{Whole, decode_whole};
use salt402_protocol::{Payment, Source, SourceKind};

use crate::authorization::{Authorization, Method};
use crate::calls::SettleContracts;
use crate::moved::Expected;

/// What a transaction shows of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// It paid the payee.
    Paid,
    /// It used the nonce up, and a transfer to the payee is in it that no known payment has. Whether it is this one's cannot be
    /// seen: the caller makes sure that it counts once.
    Unclear,
    /// It used the nonce up, and did not pay the payee.
    Lost,
    /// It has nothing to do with it.
    Nothing,
}

/// What a transaction shows. `called` is needed for Permit2 only, whose events name no nonce.
pub(super) fn evidence(
    contracts: &SettleContracts,
    authorization: &Authorization,
    expected: &Expected,
    receipt: &Receipt,
    called: Option<&Transaction>,
) -> Evidence {
    let logs: Vec<(Address, &LogData)> =
        receipt.logs.iter().map(|log| (log.contract, &log.content)).collect();
    let call = called.map(|called| Call { to: called.to, input: &called.input });
    let whole = Whole { transaction: receipt.transaction, logs: &logs, call };
    let payments = decode_whole(authorization.chain, &[source(contracts, authorization)], whole).payments;
    let fits = |payment: &&Payment| {
        (payment.asset.address(), payment.payer, payment.payee, payment.amount.0)
            == (expected.token, expected.from, expected.to, expected.value)
    };
    let id = authorization.id();
    if let Some(own) = payments.iter().find(|payment| payment.id == id) {
        return if fits(&own) { Evidence::Paid } else { Evidence::Lost };
    }
    let moved = receipt.logs.iter().filter(|log| expected.is_transfer(log)).count();
    let is_left = moved > payments.iter().filter(fits).count();
    let is_used = match expected.nonce {
        Some(_) => receipt.logs.iter().any(|log| expected.is_use(log)),
        None => {
            is_left
                && settled_by_proxy(contracts, authorization, &receipt.logs)
                && names(authorization, called)
        }
    };
    match (is_used, is_left) {
        (false, _) => Evidence::Nothing,
        (true, true) => Evidence::Unclear,
        (true, false) => Evidence::Lost,
    }
}

/// What would make the index report it.
fn source(contracts: &SettleContracts, authorization: &Authorization) -> Source {
    let payees = vec![authorization.payee];
    let proxy = |scheme| SourceKind::X402Proxy {
        scheme,
        tokens: vec![authorization.token],
        payees: vec![authorization.payee],
    };
    let (contract, kind) = match authorization.method {
        Method::Eip3009 { .. } | Method::CitrateFee { .. } => {
            (authorization.token, SourceKind::Eip3009Token { payees })
        }
        Method::Permit2Exact { .. } => (contracts.exact_proxy, proxy(ProxyScheme::Exact)),
        Method::Permit2Upto { .. } => (contracts.upto_proxy, proxy(ProxyScheme::Upto)),
    };
    Source { contract, kind, start_block: 0 }
}

/// Whether the proxy settled something.
fn settled_by_proxy(contracts: &SettleContracts, authorization: &Authorization, logs: &[Log]) -> bool {
    let proxy = source(contracts, authorization).contract;
    logs.iter().filter(|log| log.contract == proxy).any(|log| {
        let signature = log.content.topics().first();
        signature == Some(&IX402Settled::Settled::SIGNATURE_HASH)
            || signature == Some(&IX402Settled::SettledWithPermit::SIGNATURE_HASH)
    })
}

/// Whether a call reached the proxy through an unknown contract, and its calldata has the payer and the nonce.
fn names(authorization: &Authorization, called: Option<&Transaction>) -> bool {
    let Some(called) = called else { return false };
    let has = |word: U256| {
        let word = word.to_be_bytes::<32>();
        called.input.windows(32).any(|window| window == word)
    };
    has(authorization.nonce) && has(U256::from_be_bytes(authorization.payer.into_word().0))
}
