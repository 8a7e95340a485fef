//! A whole transaction read at once: every log of its receipt, and its calldata where events say nothing.
//!
//! One movement of money can leave several traces: the token's `Transfer`, its `AuthorizationUsed`, the event of the
//! facilitator that submitted it. Here they become one payment. Each `Transfer` is used up by at most one payment, and
//! whoever knows most of it comes first:
//!
//! 1. `SaltPay`, which names payer, payee, asset and amount and logs right after the transfer;
//! 2. a proxy whose settlement is identified, by our proxies' event or by the calldata;
//! 3. an authorization, which is followed by its transfer with nothing in between.
//!
//! A payment's name does not depend on who told of it: an authorization is named by token, authorizer and nonce, a
//! settlement over Permit2 by owner and nonce, and the chain takes both once. So a payment has one name through
//! whatever sources it is seen, and keeps it when the same signature is mined in another transaction.

use std::collections::{HashMap, HashSet};

use alloy_primitives::{Address, B256, Keccak256, LogData, U256};
use alloy_sol_types::SolEvent;

use crate::contracts::IX402Permit2Proxy;
use crate::foreign::{ICitrateFacilitator, ICitratePaywall, IToken, IX402Settled};
use crate::payment::{Decoded, RawLog, content_hash, decode_places};
use crate::permit2::{self, Call};
use crate::source::ProxyScheme;
use crate::{Amount, Asset, ChainId, Payment, PaymentId, SignedNonce, Source, SourceKind};

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
            let paid = (payment.payer, payment.payee, payment.amount.0);
            reader.use_transfer_before(*place, payment.asset.address(), paid);
        }
    }
    reader.proxies();
    reader.authorizations();
    for found in reader.found {
        decoded.settlements.push(Settlement {
            payment: found.payment.id,
            transaction: whole.transaction,
            movement: found.movement,
        });
        placed.push((found.place, found.payment));
    }
    decoded.ambiguities = reader.ambiguities;
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

/// A token's `Transfer`.
#[derive(Clone, Copy)]
struct Transfer {
    token: Address,
    from: Address,
    to: Address,
    value: U256,
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
    /// By place, every log with the signature of a transfer, of whatever contract; `None` where it does not decode.
    transfers: HashMap<usize, Option<Transfer>>,
    used: HashSet<usize>,
    names: HashSet<PaymentId>,
    found: Vec<Found>,
    ambiguities: Vec<Ambiguity>,
}

impl<'a> Reader<'a> {
    fn new(chain: ChainId, sources: &'a [Source], whole: Whole<'a>) -> Self {
        let transfers =
            whole.logs.iter().enumerate().filter(|(_, (_, content))| is::<IToken::Transfer>(content));
        let transfers = transfers
            .map(|(place, (token, content))| {
                let event = IToken::Transfer::decode_log_data_validate(content).ok();
                let transfer = event.map(|event| Transfer {
                    token: *token,
                    from: event.from,
                    to: event.to,
                    value: event.value,
                });
                (place, transfer)
            })
            .collect();
        Self {
            chain,
            sources,
            whole,
            transfers,
            used: HashSet::new(),
            names: HashSet::new(),
            found: Vec::new(),
            ambiguities: Vec::new(),
        }
    }

    /// The transfer that stands nearest before a log: whoever logs right after it moved money means this one. A
    /// transfer of another contract in between means that it was not.
    fn transfer_before(&self, place: usize) -> Option<(usize, Transfer)> {
        let (before, transfer) =
            (0..place).rev().find_map(|before| Some((before, self.transfers.get(&before)?)))?;
        transfer.filter(|_| !self.used.contains(&before)).map(|transfer| (before, transfer))
    }

    /// Uses up the transfer right before a log, if it is the one that the log tells of.
    fn use_transfer_before(
        &mut self,
        place: usize,
        token: Address,
        paid: (Address, Address, U256),
    ) -> Option<usize> {
        let (before, transfer) = self.transfer_before(place)?;
        let same = transfer.token == token && (transfer.from, transfer.to, transfer.value) == paid;
        (same && self.used.insert(before)).then_some(before)
    }

    /// The name of the movement that a transfer is.
    fn movement(&self, place: usize) -> B256 {
        let (token, content) = self.whole.logs[place];
        let equal = |log: &&(Address, &LogData)| log.0 == token && log.1 == content;
        let equal_before = self.whole.logs[..place].iter().filter(equal).count() as u64;
        let mut hasher = Keccak256::new();
        hasher.update(b"salt402-movement-v1");
        hasher.update(self.chain.get().to_be_bytes());
        hasher.update(token);
        hasher.update(self.whole.transaction);
        hasher.update(content_hash(content));
        hasher.update(equal_before.to_be_bytes());
        hasher.finalize()
    }

    fn add(&mut self, place: usize, transfer: usize, payment: Payment) {
        // A token that says twice that a nonce was used is not to be believed the second time.
        if self.names.insert(payment.id) {
            let movement = self.movement(transfer);
            self.found.push(Found { place, payment, movement });
        }
    }

    fn doubt(&mut self, place: usize, reason: &'static str) {
        let contract = self.whole.logs[place].0;
        let nth = self.whole.logs[..place].iter().filter(|log| log.0 == contract).count() as u64;
        let mut hasher = Keccak256::new();
        hasher.update(b"salt402-ambiguity-v1");
        hasher.update(self.chain.get().to_be_bytes());
        hasher.update(contract);
        hasher.update(self.whole.transaction);
        hasher.update(nth.to_be_bytes());
        let transaction = self.whole.transaction;
        self.ambiguities.push(Ambiguity { id: hasher.finalize(), transaction, contract, reason });
    }

    fn proxies(&mut self) {
        for source in self.sources {
            if let SourceKind::X402Proxy { scheme, tokens, payees } = &source.kind {
                let counts =
                    |token: Address, payee: Address| tokens.contains(&token) && payees.contains(&payee);
                self.telling_proxy(source.contract, &counts);
                self.silent_proxy(source.contract, *scheme, &counts);
            }
        }
    }

    /// Our proxies: one event says all of a settlement, but not that the token moved.
    fn telling_proxy(&mut self, proxy: Address, counts: &dyn Fn(Address, Address) -> bool) {
        for (place, (contract, content)) in self.whole.logs.iter().enumerate() {
            if *contract != proxy {
                continue;
            }
            let Ok(event) = IX402Permit2Proxy::PaymentSettled::decode_log_data_validate(content) else {
                continue;
            };
            let paid = (event.owner, event.payee, event.amount);
            let moved = self.use_transfer_before(place, event.token, paid);
            if !counts(event.token, event.payee) {
                continue;
            }
            match moved {
                Some(transfer) => {
                    let payment = self.permit2_payment(proxy, event.token, paid, event.nonce);
                    self.add(place, transfer, payment);
                }
                None => self.doubt(
                    place,
                    "the proxy says that a payment was settled, the token moved something else",
                ),
            }
        }
    }

    /// x402's own proxies: `Settled()` right after the transfer, and the rest from the calldata.
    fn silent_proxy(
        &mut self,
        proxy: Address,
        scheme: ProxyScheme,
        counts: &dyn Fn(Address, Address) -> bool,
    ) {
        let settled = silent_settlements(proxy, self.whole.logs);
        if settled.is_empty() {
            return;
        }
        let sources = self.sources;
        // Tokens that the operator names. Other followed contracts are not: they call payees and any token, which may call
        // the proxy.
        let harmless = |target: Address| {
            sources.iter().any(|source| tokens_of(&source.kind).is_some_and(|own| own.contains(&target)))
        };
        let asked = self.whole.call.and_then(|call| permit2::asked(call, proxy, scheme, harmless));
        // What each settlement moved, by the transfer right before it. One before another settlement is not its own:
        // a token can be silent.
        let moved: Vec<_> = settled
            .iter()
            .filter_map(|(place, with_permit)| {
                let (before, transfer) = self.transfer_before(*place)?;
                let own = !settled.iter().any(|(other, _)| (before..*place).contains(other));
                own.then_some((*place, *with_permit, before, transfer))
            })
            .collect();
        let mut matched: HashMap<(Address, Address, Address, U256, bool), usize> = HashMap::new();
        for (place, with_permit, before, transfer) in &moved {
            let paid = (transfer.from, transfer.to, transfer.value);
            let key = (transfer.token, transfer.from, transfer.to, transfer.value, *with_permit);
            let fits =
                |one: &&permit2::Asked| (one.token, one.owner, one.payee, one.amount, one.with_permit) == key;
            let settlements =
                moved.iter().filter(|(_, p, _, t)| (t.token, t.from, t.to, t.value, *p) == key).count();
            let candidates: Vec<_> = asked.iter().flatten().filter(fits).collect();
            let next = matched.entry(key).or_default();
            let nth = *next;
            *next += 1;
            // As many were asked for as were settled: then these are those, in this order.
            let identified = (candidates.len() == settlements).then(|| candidates.get(nth)).flatten();
            match identified {
                Some(one) => {
                    // Its own: no other settlement stands between the two.
                    self.used.insert(*before);
                    if counts(transfer.token, transfer.to) {
                        let payment = self.permit2_payment(proxy, transfer.token, paid, one.nonce);
                        self.add(*place, *before, payment);
                    }
                }
                None if counts(transfer.token, transfer.to) => {
                    self.doubt(*place, "the proxy settled a payment, and it cannot be told which");
                }
                None => {}
            }
        }
    }

    fn permit2_payment(
        &self,
        proxy: Address,
        token: Address,
        (payer, payee, amount): (Address, Address, U256),
        nonce: U256,
    ) -> Payment {
        Payment {
            id: SignedNonce::Permit2 { owner: payer, nonce }.payment_id(self.chain),
            chain: self.chain,
            contract: proxy,
            transaction: self.whole.transaction,
            reference: B256::from(nonce),
            payer,
            payee,
            asset: Asset::from_address(token),
            amount: Amount(amount),
        }
    }

    /// Authorizations of tokens: `AuthorizationUsed`, and right after it the transfer that it allowed.
    ///
    /// An authorization that moved nothing is followed by somebody else's log, which is its transfer only if it is of
    /// the same token and account, and was not used up before.
    fn authorizations(&mut self) {
        let mut moved: Vec<(usize, usize, Payment)> = Vec::new();
        for (place, (token, content)) in self.whole.logs.iter().enumerate() {
            if !is::<IToken::AuthorizationUsed>(content) || !self.is_authorization_token(*token) {
                continue;
            }
            let Ok(used) = IToken::AuthorizationUsed::decode_log_data_validate(content) else { continue };
            let after = place + 1;
            let Some(Some(transfer)) = self.transfers.get(&after).copied() else { continue };
            let own = transfer.token == *token && transfer.from == used.authorizer;
            if !own || transfer.value.is_zero() || transfer.to == transfer.from || !self.used.insert(after) {
                continue;
            }
            let signed =
                SignedNonce::Eip3009 { token: *token, authorizer: used.authorizer, nonce: used.nonce };
            let payment = Payment {
                id: signed.payment_id(self.chain),
                chain: self.chain,
                contract: *token,
                transaction: self.whole.transaction,
                reference: used.nonce,
                payer: transfer.from,
                payee: transfer.to,
                asset: Asset::from_address(*token),
                amount: Amount(transfer.value),
            };
            moved.push((place, after, payment));
        }
        let admitted = self.admitted(&moved);
        for ((place, transfer, payment), admitted) in moved.into_iter().zip(admitted) {
            if admitted {
                self.add(place, transfer, payment);
            }
        }
    }

    fn is_authorization_token(&self, token: Address) -> bool {
        self.sources.iter().any(|source| match &source.kind {
            SourceKind::Eip3009Token { .. } => source.contract == token,
            SourceKind::CitrateFacilitator { tokens, .. } | SourceKind::CitratePaywall { tokens, .. } => {
                tokens.contains(&token)
            }
            _ => false,
        })
    }

    /// Which authorizations a source brings.
    fn admitted(&mut self, moved: &[(usize, usize, Payment)]) -> Vec<bool> {
        let mut admitted = vec![false; moved.len()];
        for source in self.sources {
            match &source.kind {
                SourceKind::Eip3009Token { payees } => {
                    for (index, (_, _, payment)) in moved.iter().enumerate() {
                        admitted[index] |=
                            payment.contract == source.contract && payees.contains(&payment.payee);
                    }
                }
                SourceKind::CitrateFacilitator { tokens, payees } => {
                    for (index, (place, _, payment)) in moved.iter().enumerate() {
                        admitted[index] |= tokens.contains(&payment.contract)
                            && payees.contains(&payment.payee)
                            && self.facilitated(source.contract, *place, payment);
                    }
                }
                _ => {}
            }
        }
        for source in self.sources {
            if let SourceKind::CitratePaywall { tokens, payees } = &source.kind {
                let counts = |payment: &Payment| {
                    tokens.contains(&payment.contract)
                        && (payees.contains(&payment.payee) || payment.payee == source.contract)
                };
                self.paywall(source.contract, moved, &counts, &mut admitted);
            }
        }
        admitted
    }

    /// Whether a facilitator says that it settled an authorization.
    fn facilitated(&self, facilitator: Address, place: usize, payment: &Payment) -> bool {
        self.whole.logs[place..].iter().filter(|(contract, _)| *contract == facilitator).any(
            |(_, content)| {
                ICitrateFacilitator::PaymentSettled::decode_log_data_validate(content).is_ok_and(|event| {
                    (event.from, event.to, event.value, event.nonce)
                        == (payment.payer, payment.payee, payment.amount.0, payment.reference)
                })
            },
        )
    }

    /// Access that a paywall gave. Its event names payer and amount and no nonce: with as many authorizations as there
    /// were grants they are those, else it cannot be told.
    fn paywall(
        &mut self,
        paywall: Address,
        moved: &[(usize, usize, Payment)],
        counts: &dyn Fn(&Payment) -> bool,
        admitted: &mut [bool],
    ) {
        let grants: Vec<(usize, Address, U256)> = self
            .whole
            .logs
            .iter()
            .enumerate()
            .filter(|(_, (contract, _))| *contract == paywall)
            .filter_map(|(place, (_, content))| {
                let event = ICitratePaywall::AccessGranted::decode_log_data_validate(content).ok()?;
                Some((place, event.payer, event.amount))
            })
            .collect();
        for (place, payer, amount) in &grants {
            let equal = grants.iter().filter(|(_, p, a)| (p, a) == (payer, amount)).count();
            let candidates: Vec<usize> = (0..moved.len())
                .filter(|index| {
                    let payment = &moved[*index].2;
                    counts(payment) && (payment.payer, payment.amount.0) == (*payer, *amount)
                })
                .collect();
            if candidates.len() == equal {
                candidates.iter().for_each(|index| admitted[*index] = true);
            } else if !candidates.iter().all(|index| admitted[*index]) || candidates.is_empty() {
                self.doubt(*place, "the paywall gave access, and it cannot be told for which payment");
            }
        }
    }
}

fn tokens_of(kind: &SourceKind) -> Option<&[Address]> {
    match kind {
        SourceKind::X402Proxy { tokens, .. }
        | SourceKind::CitrateFacilitator { tokens, .. }
        | SourceKind::CitratePaywall { tokens, .. } => Some(tokens),
        _ => None,
    }
}

/// The places of a proxy's settlements, and whether each came with a permit; none of one that tells what it settled.
fn silent_settlements(proxy: Address, logs: &[(Address, &LogData)]) -> Vec<(usize, bool)> {
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

fn is<E: SolEvent>(content: &LogData) -> bool {
    content.topics().first() == Some(&E::SIGNATURE_HASH)
}
