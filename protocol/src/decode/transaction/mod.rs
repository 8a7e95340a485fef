//! A whole transaction read at once: every log of its receipt, and its calldata where events say nothing.
//!
//! One movement of money can leave several traces: the token's `Transfer`, its `AuthorizationUsed`, the event of the
//! facilitator that submitted it. Here they become one payment. Each `Transfer` is used up by at most one payment, and
//! whoever knows most of it comes first:
//!
//! 1. `SaltPay`, which names payer, payee, asset and amount and logs right after the transfer;
//! 2. one of our proxies, whose event says what it settled;
//! 3. one of x402's own, whose settlement is identified by the calldata;
//! 4. an authorization, which is followed by its transfer with nothing in between.
//!
//! The order of the sources has no part in what is found.
//!
//! A payment's name does not depend on who told of it: an authorization is named by token, authorizer and nonce, a
//! settlement over Permit2 by owner and nonce, and the chain takes both once. So a payment has one name through
//! whatever sources it is seen, and keeps it when the same signature is mined in another transaction.

mod authorizations;
mod proxies;
mod reader;
mod transfers;

use alloy_primitives::{Address, LogData};

pub use crate::decode::transaction::reader::Whole;

use crate::decode::log::{Decoded, RawLog, decode_places};
use crate::decode::source::{Source, SourceKind};
use crate::decode::transaction::proxies::bare_settlements;
use crate::decode::transaction::reader::Reader;
use crate::decode::transaction::transfers::Transfer;
use crate::payment::{Payment, Settlement};
use crate::values::asset::Asset;
use crate::values::network::ChainId;

/// Whether a transaction cannot be read without its calldata: a proxy that is followed settled something and did not
/// say what.
pub fn needs_call(sources: &[Source], logs: &[(Address, &LogData)]) -> bool {
    sources.iter().any(|source| {
        matches!(source.kind, SourceKind::X402Proxy { .. })
            && !bare_settlements(source.contract, logs).is_empty()
    })
}

/// Reads everything that the sources tell of a transaction, the payments in the order of their logs.
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
            let told = Transfer { token, from: payment.payer, to: payment.payee, value };
            if let Some(transfer) = reader.transfers.use_before(*place, told) {
                reader.transfers.pay(transfer);
            }
        }
    }
    let unexplained = reader.proxies();
    reader.authorizations();
    reader.add_unexplained(unexplained);
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

/// Logs that are asked for and do not decode. Those of others are nobody's concern.
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
    followed.count().saturating_sub(decoded.payments.len() + decoded.channels.len())
}
