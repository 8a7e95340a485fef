//! What logs say by themselves: payments of `SaltPay` and events of channels, each with its name.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use alloy_primitives::{Address, B256, Keccak256, LogData};
use alloy_sol_types::SolEvent;

use crate::channel::{ChannelChange, ChannelEvent, ChannelEventId};
use crate::contracts::ISaltPay;
use crate::decode::channel;
use crate::decode::source::{Source, SourceKind};
use crate::payment::{Ambiguity, Payment, PaymentId, Settlement};
use crate::values::asset::Asset;
use crate::values::money::Amount;
use crate::values::name::name;
use crate::values::network::ChainId;

/// A log that may be a payment, with where it stands and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct RawLog<'a> {
    /// The contract that emitted it.
    pub contract: Address,
    /// The transaction it belongs to.
    pub transaction: B256,
    /// Its topics and data.
    pub content: &'a LogData,
}

/// Reads what logs tell by themselves, in the order of the logs: the payments of `SaltPay` and the events of channels.
/// Of other sources only whole transactions tell ([`crate::decode::transaction::decode_whole`]).
///
/// `logs` must hold whole transactions, as every answer of `eth_getLogs` and every receipt does: equal logs are
/// counted within their transaction. Logs of contracts that are in none of `sources`, with another event, or that do
/// not decode are passed over and counted in [`Decoded::skipped`].
pub fn decode<'a>(chain: ChainId, sources: &[Source], logs: impl IntoIterator<Item = RawLog<'a>>) -> Decoded {
    decode_places(chain, sources, logs).0
}

/// As [`decode`], with the place of each payment among the logs.
pub(crate) fn decode_places<'a>(
    chain: ChainId,
    sources: &[Source],
    logs: impl IntoIterator<Item = RawLog<'a>>,
) -> (Decoded, Vec<usize>) {
    let logs = logs.into_iter();
    let mut seen: HashMap<Equal, u32> = HashMap::with_capacity(logs.size_hint().0);
    let (mut decoded, mut places) = (Decoded::default(), Vec::new());
    for (place, log) in logs.enumerate() {
        let source = sources.iter().find(|source| source.contract == log.contract && source.is_direct());
        let event = source.and_then(|source| Event::read(&source.kind, log.content));
        let Some(event) = event else {
            decoded.skipped += 1;
            continue;
        };
        let content = content_hash(log.content);
        let equal = Equal { contract: log.contract, transaction: log.transaction, content };
        let before = seen.entry(equal).or_default();
        let nth = before.to_be_bytes();
        *before += 1;
        let parts: [&[u8]; 3] = [log.transaction.as_slice(), content.as_slice(), &nth];
        let name = |kind: &str| name(kind, chain, log.contract, &parts);
        match event {
            Event::Payment(event) => {
                places.push(place);
                decoded.payments.push(Payment {
                    id: PaymentId(name("salt402-payment-v1")),
                    chain,
                    contract: log.contract,
                    transaction: log.transaction,
                    reference: event.paymentReference,
                    payer: event.payer,
                    payee: event.payee,
                    asset: Asset::from_address(event.asset),
                    amount: Amount(event.amount),
                });
            }
            Event::Channel(channel, change) => decoded.channels.push(ChannelEvent {
                id: ChannelEventId(name("salt402-channel-event-v1")),
                chain,
                contract: log.contract,
                transaction: log.transaction,
                channel,
                change,
            }),
        }
    }
    (decoded, places)
}

/// Logs that are interchangeable.
#[derive(PartialEq, Eq)]
struct Equal {
    contract: Address,
    transaction: B256,
    content: B256,
}

impl Hash for Equal {
    /// Of what tells nearly all of them apart: there are many in a back-fill.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.transaction.as_slice());
        state.write(self.content.as_slice());
    }
}

/// What a log says by itself.
enum Event {
    Payment(ISaltPay::Payment),
    Channel(B256, ChannelChange),
}

impl Event {
    fn read(kind: &SourceKind, content: &LogData) -> Option<Self> {
        match kind {
            SourceKind::SaltPay => {
                ISaltPay::Payment::decode_log_data_validate(content).ok().map(Self::Payment)
            }
            SourceKind::SaltChannels => {
                channel::salt_channels(content).map(|(channel, change)| Self::Channel(channel, change))
            }
            SourceKind::X402BatchSettlement => {
                channel::batch_settlement(content).map(|(channel, change)| Self::Channel(channel, change))
            }
            SourceKind::X402Proxy { .. }
            | SourceKind::Eip3009Token { .. }
            | SourceKind::CitrateFacilitator { .. }
            | SourceKind::CitratePaywall { .. } => None,
        }
    }
}

/// What was found in logs or in a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The payments, in the order of their logs.
    pub payments: Vec<Payment>,
    /// What happened to channels.
    pub channels: Vec<ChannelEvent>,
    /// Which movement of money each payment is that is more than one log.
    pub settlements: Vec<Settlement>,
    /// What may be a payment, and can be read in two ways.
    pub ambiguities: Vec<Ambiguity>,
    /// Which tokens reached whom without a payment that is counted: token and receiver. Known of whole transactions alone.
    pub unaccounted: BTreeSet<(Address, Address)>,
    /// Logs that are neither.
    pub skipped: usize,
}

pub(crate) fn content_hash(content: &LogData) -> B256 {
    let mut hasher = Keccak256::new();
    for topic in content.topics() {
        hasher.update(topic);
    }
    hasher.update(&content.data);
    hasher.finalize()
}

/// Whether a log has the signature of an event.
pub(crate) fn is<E: SolEvent>(content: &LogData) -> bool {
    content.topics().first() == Some(&E::SIGNATURE_HASH)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;
    use proptest::prelude::*;

    use super::*;

    fn log(reference: u8, amount: u64) -> LogData {
        ISaltPay::Payment {
            paymentReference: B256::repeat_byte(reference),
            payer: Address::repeat_byte(1),
            payee: Address::repeat_byte(2),
            asset: Address::ZERO,
            amount: U256::from(amount),
        }
        .encode_log_data()
    }

    fn source() -> Source {
        Source { contract: Address::repeat_byte(9), kind: SourceKind::SaltPay, start_block: 0 }
    }

    fn ids(logs: &[(B256, LogData)]) -> Vec<PaymentId> {
        let raw = logs.iter().map(|(transaction, content)| RawLog {
            contract: Address::repeat_byte(9),
            transaction: *transaction,
            content,
        });
        decode(ChainId::CITRATE, &[source()], raw).payments.iter().map(|p| p.id).collect()
    }

    #[test]
    fn logs_of_other_contracts_and_broken_logs_are_no_payments() {
        let good = log(1, 5);
        let short = LogData::new_unchecked(good.topics().to_vec(), good.data.slice(..32));
        let dirty = {
            let mut data = good.data.to_vec();
            data[0] = 1;
            LogData::new_unchecked(good.topics().to_vec(), data.into())
        };
        let raw = |contract: u8, content| RawLog {
            contract: Address::repeat_byte(contract),
            transaction: B256::ZERO,
            content,
        };
        let logs = [raw(9, &good), raw(8, &good), raw(9, &short), raw(9, &dirty)];
        let decoded = decode(ChainId::CITRATE, &[source()], logs);
        assert_eq!((decoded.payments.len(), decoded.skipped), (1, 3));
        assert_eq!(decoded.payments[0].asset, Asset::Native);
    }

    proptest! {
        /// Any filter that keeps or drops equal logs together, and any order of transactions, gives the same names.
        #[test]
        fn a_payment_has_one_name_by_any_question(
            logs in prop::collection::vec((0u8..3, 1u8..4, 1u64..3), 1..24),
            asked_reference in 1u8..4,
            asked_transaction in 0u8..3,
        ) {
            let all: Vec<_> =
                logs.iter().map(|(tx, r, a)| (B256::repeat_byte(*tx), log(*r, *a))).collect();
            let names = ids(&all);
            let distinct: std::collections::HashSet<_> = names.iter().collect();
            prop_assert_eq!(distinct.len(), names.len());

            let pick = |keep: &dyn Fn(&(B256, LogData)) -> bool| {
                let some: Vec<_> = all.iter().filter(|l| keep(l)).cloned().collect();
                let expected: Vec<_> =
                    all.iter().zip(&names).filter(|(l, _)| keep(l)).map(|(_, id)| *id).collect();
                (ids(&some), expected)
            };
            let topic = B256::repeat_byte(asked_reference);
            let (by_reference, expected) = pick(&|l| l.1.topics()[1] == topic);
            prop_assert_eq!(by_reference, expected);
            let (by_receipt, expected) = pick(&|l| l.0 == B256::repeat_byte(asked_transaction));
            prop_assert_eq!(by_receipt, expected);
        }
    }
}
