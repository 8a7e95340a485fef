//! Decodes logs that need no context: payments and refunds of `SaltPay` and channel events, each with its id.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use alloy_primitives::{Address, B256, Keccak256, LogData};
use alloy_sol_types::SolEvent;

use crate::channel::{ChannelChange, ChannelEvent, ChannelEventId};
use crate::contracts::ISaltPay;
use crate::decode::channel;
use crate::decode::source::{Source, SourceKind};
use crate::payment::{Ambiguity, Payment, PaymentId, Refund, Settlement};
use crate::values::asset::Asset;
use crate::values::id::hash_id;
use crate::values::money::Amount;
use crate::values::network::ChainId;

/// A log that may be a payment.
#[derive(Clone, Copy, Debug)]
pub struct RawLog<'a> {
    /// The contract that emitted the log.
    pub contract: Address,
    /// The transaction of the log.
    pub transaction: B256,
    /// The log's topics and data.
    pub content: &'a LogData,
}

/// Decodes `SaltPay` payments and refunds and channel events, in the order of the logs. Other sources need whole transactions:
/// [`crate::decode::transaction::decode_whole`].
///
/// `logs` must hold whole transactions, as answers of `eth_getLogs` and receipts do, because equal logs are counted
/// within their transaction. Logs of other contracts, other events, and logs that do not decode are counted in
/// [`Decoded::skipped`].
pub fn decode<'a>(chain: ChainId, sources: &[Source], logs: impl IntoIterator<Item = RawLog<'a>>) -> Decoded {
    decode_places(chain, sources, logs).0
}

/// Like [`decode`], and returns the index of each payment's log.
pub(crate) fn decode_places<'a>(
    chain: ChainId,
    sources: &[Source],
    logs: impl IntoIterator<Item = RawLog<'a>>,
) -> (Decoded, Vec<usize>) {
    let logs = logs.into_iter();
    let mut seen: HashMap<LogKey, u32> = HashMap::with_capacity(logs.size_hint().0);
    let (mut decoded, mut places) = (Decoded::default(), Vec::new());
    for (place, log) in logs.enumerate() {
        let source = sources.iter().find(|source| source.contract == log.contract && source.is_direct());
        let event = source.and_then(|source| Event::read(&source.kind, log.content));
        let Some(event) = event else {
            decoded.skipped += 1;
            continue;
        };
        let content = content_hash(log.content);
        let equal = LogKey { contract: log.contract, transaction: log.transaction, content };
        let before = seen.entry(equal).or_default();
        let nth = before.to_be_bytes();
        *before += 1;
        let parts: [&[u8]; 3] = [log.transaction.as_slice(), content.as_slice(), &nth];
        let id = |kind: &str| hash_id(kind, chain, log.contract, &parts);
        match event {
            Event::Payment(event) => {
                places.push(place);
                decoded.payments.push(Payment {
                    id: PaymentId(id("salt402-payment-v1")),
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
            Event::Refund(event) => decoded.refunds.push(Refund {
                id: id("salt402-refund-v1"),
                chain,
                contract: log.contract,
                transaction: log.transaction,
                reference: event.paymentReference,
                payee: event.payee,
                payer: event.payer,
                asset: Asset::from_address(event.asset),
                amount: Amount(event.amount),
            }),
            Event::Channel(channel, change) => decoded.channels.push(ChannelEvent {
                id: ChannelEventId(id("salt402-channel-event-v1")),
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

/// The key under which logs are interchangeable.
#[derive(PartialEq, Eq)]
struct LogKey {
    contract: Address,
    transaction: B256,
    content: B256,
}

impl Hash for LogKey {
    /// Leaves out the contract: transaction and content almost always differ, and back-fills hash many logs.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.transaction.as_slice());
        state.write(self.content.as_slice());
    }
}

/// An event that needs no context.
enum Event {
    Payment(ISaltPay::Payment),
    Refund(ISaltPay::Refund),
    Channel(B256, ChannelChange),
}

impl Event {
    fn read(kind: &SourceKind, content: &LogData) -> Option<Self> {
        match kind {
            SourceKind::SaltPay if is::<ISaltPay::Refund>(content) => {
                ISaltPay::Refund::decode_log_data_validate(content).ok().map(Self::Refund)
            }
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

/// The result of decoding logs or a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The payments, in the order of their logs.
    pub payments: Vec<Payment>,
    /// What payees gave back.
    pub refunds: Vec<Refund>,
    /// The channel events.
    pub channels: Vec<ChannelEvent>,
    /// The token movement of each payment that has more than one log.
    pub settlements: Vec<Settlement>,
    /// Possible payments that cannot be read with certainty.
    pub ambiguities: Vec<Ambiguity>,
    /// Token and receiver of each transfer that is no counted payment. Filled for whole transactions only.
    pub unaccounted: BTreeSet<(Address, Address)>,
    /// The number of logs that are none of these.
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

/// Whether a log has the event's signature.
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

    #[test]
    fn a_refund_is_no_payment_and_has_a_name_of_its_own() {
        let refund = ISaltPay::Refund {
            paymentReference: B256::repeat_byte(1),
            payee: Address::repeat_byte(2),
            payer: Address::repeat_byte(1),
            asset: Address::ZERO,
            amount: U256::from(5),
        };
        let refund = refund.encode_log_data();
        // The same topics and data but for the event: the payer of the refund stands where a payment has its payee.
        let payment = ISaltPay::Payment {
            paymentReference: B256::repeat_byte(1),
            payer: Address::repeat_byte(2),
            payee: Address::repeat_byte(1),
            asset: Address::ZERO,
            amount: U256::from(5),
        };
        let payment = payment.encode_log_data();
        assert_eq!(refund.topics()[1..], payment.topics()[1..]);
        let raw = |contract: u8, content| RawLog {
            contract: Address::repeat_byte(contract),
            transaction: B256::ZERO,
            content,
        };
        let cut = LogData::new_unchecked(refund.topics().to_vec(), refund.data.slice(..32));
        let logs = [raw(9, &refund), raw(9, &payment), raw(9, &refund), raw(8, &refund), raw(9, &cut)];
        let decoded = decode(ChainId::CITRATE, &[source()], logs);
        assert_eq!((decoded.payments.len(), decoded.refunds.len(), decoded.skipped), (1, 2, 2));
        let [first, second] = decoded.refunds.as_slice() else { panic!("two refunds") };
        assert_ne!(first.id, second.id, "two equal refunds of a transaction are two");
        assert_eq!((first.payee, first.payer), (Address::repeat_byte(2), Address::repeat_byte(1)));
        assert_eq!((first.reference, first.amount), (B256::repeat_byte(1), Amount(U256::from(5))));
        assert_ne!(first.id, decoded.payments[0].id.0);
    }

    proptest! {
        /// Ids do not depend on the filter or on the order of transactions, if equal logs stay together.
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
