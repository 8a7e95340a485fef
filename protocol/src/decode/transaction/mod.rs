//! Decodes a whole transaction: every log of its receipt, and its calldata where events have no fields.
//!
//! One movement of money can leave several logs: the token's `Transfer`, its `AuthorizationUsed`, and the facilitator's
//! event. They become one payment. Each `Transfer` belongs to at most one payment, and the source with the most precise
//! event takes it first:
//!
//! 1. `SaltPay`, which names payer, payee, asset and amount directly after the transfer;
//! 2. this project's proxies, whose event names all terms;
//! 3. x402's own proxies, whose terms come from the calldata;
//! 4. authorizations, which come directly before their transfer.
//!
//! The result does not depend on the order of the sources.
//!
//! A payment's id does not depend on the source. An authorization's id hashes token, authorizer and nonce; a Permit2
//! settlement's id hashes owner and nonce. The chain accepts each nonce once. So the id stays the same through every
//! source, and when the same signature is mined in another transaction.

mod authorizations;
mod proxies;
mod reader;
mod transfers;

use alloy_primitives::{Address, LogData};

pub use crate::decode::transaction::reader::Whole;

use crate::decode::log::{Decoded, RawLog, decode_places};
use crate::decode::source::{Source, SourceKind};
use crate::decode::transaction::proxies::settlements_without_terms;
use crate::decode::transaction::reader::Reader;
use crate::decode::transaction::transfers::Transfer;
use crate::payment::{Payment, Settlement};
use crate::values::asset::Asset;
use crate::values::network::ChainId;

/// Whether the transaction's calldata is needed: a followed proxy settled something without naming the terms.
pub fn needs_call(sources: &[Source], logs: &[(Address, &LogData)]) -> bool {
    sources.iter().any(|source| {
        matches!(source.kind, SourceKind::X402Proxy { .. })
            && !settlements_without_terms(source.contract, logs).is_empty()
    })
}

/// Decodes everything the sources report in a transaction. Payments come in the order of their logs.
pub fn decode_whole(chain: ChainId, sources: &[Source], whole: Whole<'_>) -> Decoded {
    let raw = whole.logs.iter().map(|(contract, content)| RawLog {
        contract: *contract,
        transaction: whole.transaction,
        content,
    });
    let (mut decoded, places) = decode_places(chain, sources, raw);
    decoded.skipped = undecodable(sources, whole.logs, &decoded);
    let mut placed: Vec<(usize, Payment)> = places.into_iter().zip(decoded.payments.drain(..)).collect();

    let mut reader = Reader::new(chain, sources, whole);
    for (place, payment) in &placed {
        if payment.asset != Asset::Native {
            let (token, value) = (payment.asset.address(), payment.amount.0);
            let expected = Transfer { token, from: payment.payer, to: payment.payee, value };
            if let Some(transfer) = reader.transfers.use_before(*place, expected) {
                reader.transfers.pay(transfer);
            }
        }
    }
    let uncertain = reader.proxies();
    reader.authorizations();
    reader.add_uncertain(uncertain);
    decoded.ambiguities = reader.ambiguities();
    decoded.unaccounted = reader.transfers.unaccounted();
    for found in reader.found {
        decoded.settlements.push(Settlement {
            payment: found.payment.id,
            transaction: whole.transaction,
            movement: found.movement,
        });
        placed.push((found.place, found.payment));
    }
    placed.sort_by_key(|(place, _)| *place);
    decoded.payments = placed.into_iter().map(|(_, payment)| payment).collect();
    decoded
}

/// The number of logs that match a source's filter and do not decode.
fn undecodable(sources: &[Source], logs: &[(Address, &LogData)], decoded: &Decoded) -> usize {
    let followed = logs.iter().filter(|(contract, content)| {
        let direct = sources.iter().filter(|source| source.is_direct() && source.contract == *contract);
        direct.flat_map(Source::questions).any(|question| {
            let signatures = question.topics.first();
            content
                .topics()
                .first()
                .is_some_and(|topic| signatures.is_some_and(|known| known.contains(topic)))
        })
    });
    followed.count().saturating_sub(decoded.payments.len() + decoded.refunds.len() + decoded.channels.len())
}
