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
mod transfers;

use std::collections::{BTreeMap, HashSet};

use alloy_primitives::{Address, B256, Keccak256, LogData};
use alloy_sol_types::SolEvent;

use self::proxies::silent_settlements;
use self::transfers::{Transfer, Transfers};
use crate::payment::{Decoded, RawLog, decode_places};
use crate::permit2::Call;
use crate::{Asset, ChainId, Payment, PaymentId, Source, SourceKind};

/// A payment that is more than one log: which movement of money it is.
///
/// The movement is named by the token's `Transfer` in its transaction, so two payments that would count one transfer
/// show themselves, also when the sources that are followed have changed between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settlement {
    /// The payment.
    pub payment: PaymentId,
    /// The transaction that holds it.
    pub transaction: B256,
    /// The name of the movement.
    pub movement: B256,
}

/// Something that may be a payment and can be read in two ways. It is no payment, and a person must look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguity {
    /// Its name: chain, transaction, contract, and which of its logs in the transaction.
    pub id: B256,
    /// The transaction.
    pub transaction: B256,
    /// The contract whose event cannot be matched.
    pub contract: Address,
    /// Why, in words.
    pub reason: &'static str,
}

/// A transaction with all its logs.
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a> {
    /// The transaction.
    pub transaction: B256,
    /// Every log of its receipt in order, of every contract.
    pub logs: &'a [(Address, &'a LogData)],
    /// Its call, where [`needs_call`] says that it is needed.
    pub call: Option<Call<'a>>,
}

/// Whether a transaction cannot be read without its calldata: a proxy that is followed settled something and did not
/// say what.
pub fn needs_call(sources: &[Source], logs: &[(Address, &LogData)]) -> bool {
    sources.iter().any(|source| {
        matches!(source.kind, SourceKind::X402Proxy { .. })
            && !silent_settlements(source.contract, logs).is_empty()
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
    reader.doubt_unexplained(unexplained);
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

struct Found {
    place: usize,
    payment: Payment,
    movement: B256,
}

struct Reader<'a> {
    chain: ChainId,
    sources: &'a [Source],
    whole: Whole<'a>,
    transfers: Transfers,
    names: HashSet<PaymentId>,
    found: Vec<Found>,
    /// By place, so that it does not matter which source was asked first.
    doubts: BTreeMap<usize, &'static str>,
}

impl<'a> Reader<'a> {
    fn new(chain: ChainId, sources: &'a [Source], whole: Whole<'a>) -> Self {
        Self {
            chain,
            sources,
            whole,
            transfers: Transfers::of(whole.logs),
            names: HashSet::new(),
            found: Vec::new(),
            doubts: BTreeMap::new(),
        }
    }

    fn add(&mut self, place: usize, transfer: usize, payment: Payment) {
        // A token that says twice that a nonce was used is not to be believed the second time.
        if self.names.insert(payment.id) {
            let log = self.whole.logs[transfer];
            let movement = self.transfers.movement(self.chain, self.whole.transaction, log, transfer);
            self.transfers.pay(transfer);
            self.found.push(Found { place, payment, movement });
        }
    }

    fn doubt(&mut self, place: usize, reason: &'static str) {
        self.doubts.insert(place, reason);
    }

    fn ambiguities(&self) -> Vec<Ambiguity> {
        self.doubts.iter().map(|(place, reason)| self.ambiguity(*place, reason)).collect()
    }

    fn ambiguity(&self, place: usize, reason: &'static str) -> Ambiguity {
        let contract = self.whole.logs[place].0;
        let nth = self.whole.logs[..place].iter().filter(|log| log.0 == contract).count() as u64;
        let mut hasher = Keccak256::new();
        hasher.update(b"salt402-ambiguity-v1");
        hasher.update(self.chain.get().to_be_bytes());
        hasher.update(contract);
        hasher.update(self.whole.transaction);
        hasher.update(nth.to_be_bytes());
        Ambiguity { id: hasher.finalize(), transaction: self.whole.transaction, contract, reason }
    }
}

fn is<E: SolEvent>(content: &LogData) -> bool {
    content.topics().first() == Some(&E::SIGNATURE_HASH)
}
