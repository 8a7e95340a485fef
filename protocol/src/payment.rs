//! A payment as the chain tells it, and its identity.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};

use alloy_primitives::{Address, B256, Keccak256, LogData};
use alloy_sol_types::SolEvent;
use serde::{Deserialize, Serialize};

use crate::channel::{self, ChannelChange, ChannelEvent};
use crate::contracts::ISaltPay;
use crate::transaction::{Ambiguity, Settlement};
use crate::{Amount, Asset, ChainId, Source, SourceKind};

/// The name of a payment: a function of what is on chain and never of how it was asked for.
///
/// A payment that its payer signed with a nonce is named by the nonce, since the chain takes it once
/// ([`crate::transaction`]). One of `SaltPay` is one log, and is named by it:
///
/// ```text
/// keccak256( "salt402-payment-v1" ‖ chain id (8 bytes) ‖ contract (20) ‖ transaction hash (32)
///            ‖ keccak256(topics ‖ data) (32) ‖ k (4) )
/// ```
///
/// `k` counts, from zero, the logs of this transaction that are equal in contract, topics and data. Such logs are
/// interchangeable, and no filter can return some of them without the others, so the name is the same by
/// `eth_getLogs` over any range and any filter, by receipt, and after the transaction moved to another block. A log
/// index has no part in it: on Citrate it is a position in the answer, not in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaymentId(pub B256);

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One payment: one movement of money from a payer to a payee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its name.
    pub id: PaymentId,
    /// The chain it is on.
    pub chain: ChainId,
    /// The contract whose event it is: `SaltPay`, the token that an authorization moved, or the proxy that settled it.
    pub contract: Address,
    /// The transaction that holds it; one transaction may hold many.
    pub transaction: B256,
    /// What it was paid for: the hash of a quote's id. Of a payment by a signature, its nonce.
    pub reference: B256,
    /// Who paid.
    pub payer: Address,
    /// Who was paid.
    pub payee: Address,
    /// What was paid.
    pub asset: Asset,
    /// How much arrived at the payee, in base units.
    pub amount: Amount,
}

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
/// Of other sources only whole transactions tell ([`crate::transaction::decode_whole`]).
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
        let equal_before = *before;
        *before += 1;
        match event {
            Event::Payment(event) => {
                places.push(place);
                decoded.payments.push(Payment {
                    id: identity(chain, log.contract, log.transaction, content, equal_before),
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
                id: channel::identity(chain, log.contract, log.transaction, content, equal_before),
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

fn identity(
    chain: ChainId,
    contract: Address,
    transaction: B256,
    content: B256,
    equal_before: u32,
) -> PaymentId {
    let mut hasher = Keccak256::new();
    hasher.update(b"salt402-payment-v1");
    hasher.update(chain.get().to_be_bytes());
    hasher.update(contract);
    hasher.update(transaction);
    hasher.update(content);
    hasher.update(equal_before.to_be_bytes());
    PaymentId(hasher.finalize())
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
