//! SaltChannels beside a small model of it: the same random steps, and after each the same states and balances.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, Log, U256};
use alloy_sol_types::{Eip712Domain, SolCall, SolEvent as _, SolStruct};
use proptest::prelude::*;
use salt402_protocol::log::{RawLog, decode};
use salt402_protocol::{ChainId, ChannelState, Source, SourceKind};

use crate::channels::{ISaltChannels, domain, domain_of_identifiers, hashed, typed};
use crate::machine::{Key, Machine, bytes};

/// What everyone starts with.
const FUNDS: u128 = 1_000;

/// The shortest and the longest exit delay, in seconds.
const DELAYS: [u32; 2] = [900, 2_592_000];

/// How many payers, payees and salts there are.
const PAYERS: u8 = 2;
const PAYEES: u8 = 2;
const SALTS: u8 = 2;

/// Who may claim and close beside the payee.
const OPERATOR: Address = Address::repeat_byte(0x99);

/// Names one of the channels that there can be.
type Name = (u8, u8, u8);

#[derive(Clone, Debug)]
enum Step {
    Open {
        name: Name,
        amount: u128,
    },
    TopUp {
        name: Name,
        amount: u128,
    },
    Claim {
        name: Name,
        ceiling: u128,
        total: u128,
    },
    /// Rows of one payee. What comes of another's, the forge tests say.
    ClaimMany {
        payee: u8,
        rows: Vec<(Name, u128)>,
        how: How,
    },
    /// Rows of one payee that are closed.
    CloseMany {
        payee: u8,
        rows: Vec<(Name, u128)>,
    },
    /// The payee gives something back of what it was paid.
    Refund {
        name: Name,
        amount: u128,
    },
    ExitMany {
        names: Vec<Name>,
    },
    Close {
        name: Name,
        total: u128,
        by_signature: bool,
    },
    RequestExit {
        name: Name,
        by_signature: bool,
    },
    Exit {
        name: Name,
    },
    Wait {
        seconds: u64,
    },
}

/// How many channels are claimed from at once.
#[derive(Clone, Copy, Debug)]
enum How {
    ByPayee,
    ByOperator,
    Packed,
    PackedByOperator,
    BySignature,
}

fn any_how() -> impl Strategy<Value = How> {
    prop_oneof![
        Just(How::ByPayee),
        Just(How::ByOperator),
        Just(How::Packed),
        Just(How::PackedByOperator),
        Just(How::BySignature),
    ]
}

fn name() -> impl Strategy<Value = Name> {
    (0..PAYERS, 0..PAYEES, 0..SALTS)
}

fn step() -> impl Strategy<Value = Step> {
    // Amounts often meet: that is where the edges are.
    let amount = || prop_oneof![0..8u128, 0..FUNDS];
    prop_oneof![
        4 => (name(), amount()).prop_map(|(name, amount)| Step::Open { name, amount }),
        2 => (name(), amount()).prop_map(|(name, amount)| Step::TopUp { name, amount }),
        4 => (name(), amount(), amount())
            .prop_map(|(name, ceiling, total)| Step::Claim { name, ceiling, total }),
        3 => (0..PAYEES, prop::collection::vec((name(), amount()), 0..4), any_how())
            .prop_map(|(payee, rows, how)| {
                let own = |((payer, _, salt), total)| ((payer, payee, salt), total);
                Step::ClaimMany { payee, rows: rows.into_iter().map(own).collect(), how }
            }),
        1 => (0..PAYEES, prop::collection::vec((name(), amount()), 0..4))
            .prop_map(|(payee, rows)| {
                let own = |((payer, _, salt), total)| ((payer, payee, salt), total);
                Step::CloseMany { payee, rows: rows.into_iter().map(own).collect() }
            }),
        2 => (name(), amount()).prop_map(|(name, amount)| Step::Refund { name, amount }),
        1 => prop::collection::vec(name(), 0..4).prop_map(|names| Step::ExitMany { names }),
        2 => (name(), amount(), any::<bool>())
            .prop_map(|(name, total, by_signature)| Step::Close { name, total, by_signature }),
        2 => (name(), any::<bool>()).prop_map(|(name, by_signature)| Step::RequestExit { name, by_signature }),
        3 => name().prop_map(|name| Step::Exit { name }),
        2 => (0..2_000_000u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// A channel, as simply as it can be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Channel {
    deposit: u128,
    claimed: u128,
    exit_at: Option<u64>,
    closed: bool,
}

impl Channel {
    fn is_open(&self) -> bool {
        self.deposit > 0 && !self.closed
    }

    /// Claims up to a total, and returns what that pays.
    fn claim(&mut self, total: u128) -> u128 {
        if !self.is_open() {
            return 0;
        }
        let paid = total.min(self.deposit).saturating_sub(self.claimed);
        self.claimed += paid;
        paid
    }

    /// Closes, and returns what is left.
    fn close(&mut self) -> u128 {
        self.closed = true;
        self.exit_at = None;
        self.deposit - self.claimed
    }
}

#[derive(Default)]
struct Model {
    channels: BTreeMap<Name, Channel>,
    payers: BTreeMap<u8, u128>,
    payees: BTreeMap<u8, u128>,
}

impl Model {
    /// Whether the step is allowed; if so, it is made.
    fn make(&mut self, step: &Step, time: u64) -> bool {
        match step {
            Step::Open { name, amount } => {
                let fits = *amount > 0 && self.payer(name.0) >= *amount;
                if !fits || self.channel(*name).deposit > 0 {
                    return false;
                }
                *self.payers.get_mut(&name.0).unwrap() -= amount;
                self.channel(*name).deposit = *amount;
            }
            Step::TopUp { name, amount } => {
                let fits = *amount > 0 && self.payer(name.0) >= *amount;
                if !fits || !self.channel(*name).is_open() {
                    return false;
                }
                *self.payers.get_mut(&name.0).unwrap() -= amount;
                self.channel(*name).deposit += amount;
                self.channel(*name).exit_at = None;
            }
            Step::Claim { name, ceiling, total } => {
                if total > ceiling {
                    return false;
                }
                let paid = self.channel(*name).claim(*total);
                *self.payees.entry(name.1).or_default() += paid;
                return paid > 0;
            }
            Step::ClaimMany { payee, rows, .. } => {
                for (name, total) in rows {
                    let paid = self.channel(*name).claim(*total);
                    *self.payees.entry(*payee).or_default() += paid;
                }
            }
            Step::CloseMany { payee, rows } => {
                for (name, total) in
                    rows.iter().filter(|(name, _)| self.channel(*name).is_open()).collect::<Vec<_>>()
                {
                    if !self.channel(*name).is_open() {
                        continue;
                    }
                    let paid = self.channel(*name).claim(*total);
                    let rest = self.channel(*name).close();
                    *self.payees.entry(*payee).or_default() += paid;
                    self.payer(name.0);
                    *self.payers.get_mut(&name.0).unwrap() += rest;
                }
            }
            Step::Refund { name, amount } => {
                let paid = self.payees.get(&name.1).copied().unwrap_or_default();
                if *amount == 0 || paid < *amount || self.channel(*name).claimed < *amount {
                    return false;
                }
                *self.payees.get_mut(&name.1).unwrap() -= amount;
                *self.payers.get_mut(&name.0).unwrap() += amount;
            }
            Step::ExitMany { names } => {
                for name in names {
                    self.make(&Step::Exit { name: *name }, time);
                }
            }
            Step::Close { name, total, .. } => {
                if !self.channel(*name).is_open() {
                    return false;
                }
                let paid = self.channel(*name).claim(*total);
                let refund = self.channel(*name).close();
                *self.payees.entry(name.1).or_default() += paid;
                *self.payers.get_mut(&name.0).unwrap() += refund;
            }
            Step::RequestExit { name, .. } => {
                let channel = self.channel(*name);
                if !channel.is_open() || channel.exit_at.is_some() {
                    return false;
                }
                channel.exit_at = Some(time + u64::from(delay(*name)));
            }
            Step::Exit { name } => {
                let channel = self.channel(*name);
                if !channel.is_open() || channel.exit_at.is_none_or(|at| time < at) {
                    return false;
                }
                let refund = channel.close();
                *self.payers.get_mut(&name.0).unwrap() += refund;
            }
            Step::Wait { .. } => {}
        }
        true
    }

    fn channel(&mut self, name: Name) -> &mut Channel {
        self.channels.entry(name).or_default()
    }

    fn payer(&mut self, payer: u8) -> u128 {
        *self.payers.entry(payer).or_insert(FUNDS)
    }
}

fn delay(name: Name) -> u32 {
    DELAYS[usize::from(name.2) % DELAYS.len()]
}

/// The contract, with keys for everyone.
struct Real {
    chain: Machine,
    contract: Address,
    domain: Eip712Domain,
    identifiers: B256,
    payers: Vec<Key>,
    payees: Vec<Key>,
    session: Key,
    /// Everything that was logged, with the time of its block.
    logs: Vec<(u64, Log)>,
}

impl Real {
    fn new() -> Self {
        let mut chain = Machine::new();
        let contract = chain.deploy("SaltChannels");
        let identifiers = domain_of_identifiers(&mut chain, contract);
        let keys = |first: u8, count: u8| (0..count).map(|i| Key::new([first + i; 32])).collect::<Vec<_>>();
        let (payers, payees) = (keys(1, PAYERS), keys(101, PAYEES));
        for payer in &payers {
            chain.fund(payer.address, U256::from(FUNDS));
        }
        Self {
            chain,
            contract,
            domain: domain(contract),
            identifiers,
            payers,
            payees,
            session: Key::new([201; 32]),
            logs: Vec::new(),
        }
    }

    /// The first payer's channels have a session key, the other's vouchers it signs itself.
    fn channel(&self, name: Name) -> ISaltChannels::Channel {
        ISaltChannels::Channel {
            payer: self.payers[usize::from(name.0)].address,
            payee: self.payees[usize::from(name.1)].address,
            asset: Address::ZERO,
            signer: if name.0 == 0 { self.session.address } else { Address::ZERO },
            operator: OPERATOR,
            exitDelay: delay(name),
            salt: U256::from(name.2).into(),
        }
    }

    fn id(&self, name: Name) -> B256 {
        hashed(self.identifiers, &self.channel(name))
    }

    fn voucher(&self, name: Name, ceiling: u128) -> Bytes {
        let (channel, payee) = (self.id(name), self.channel(name).payee);
        let voucher = typed::Voucher { channel, payee, asset: Address::ZERO, ceiling: U256::from(ceiling) };
        let key = if name.0 == 0 { &self.session } else { &self.payers[usize::from(name.0)] };
        bytes(key.sign(voucher.eip712_signing_hash(&self.domain)))
    }

    fn send<C: SolCall>(&mut self, from: Address, value: u128, call: &C) -> bool {
        if self.chain.balance(from) < U256::from(value) {
            return false;
        }
        let done = self.chain.send(from, self.contract, U256::from(value), call);
        let time = self.chain.time;
        self.logs.extend(done.iter().flat_map(|done| &done.logs).map(|log| (time, log.clone())));
        done.is_ok()
    }

    /// Whether the contract allowed the step.
    fn make(&mut self, step: &Step) -> bool {
        let anyone = Address::repeat_byte(0x77);
        match step {
            Step::Open { name, amount } => {
                let channel = self.channel(*name);
                let call = ISaltChannels::openCall { channel, amount: U256::from(*amount) };
                self.send(call.channel.payer, *amount, &call)
            }
            Step::TopUp { name, amount } => {
                let channel = self.channel(*name);
                let call = ISaltChannels::topUpCall { channel, amount: U256::from(*amount) };
                self.send(call.channel.payer, *amount, &call)
            }
            Step::Claim { name, ceiling, total } => {
                let call = ISaltChannels::claimCall {
                    channel: self.channel(*name),
                    ceiling: U256::from(*ceiling),
                    total: U256::from(*total),
                    voucher: self.voucher(*name, *ceiling),
                };
                self.send(call.channel.payee, 0, &call)
            }
            Step::ClaimMany { payee, rows, how } => self.claim_many(*payee, rows, *how),
            Step::CloseMany { payee, rows } => {
                let claims = self.claims(rows);
                let payee = self.payees[usize::from(*payee)].address;
                let call = ISaltChannels::closeManyCall { payee, asset: Address::ZERO, claims };
                self.send(OPERATOR, 0, &call)
            }
            Step::Refund { name, amount } => {
                let call =
                    ISaltChannels::refundCall { channel: self.channel(*name), amount: U256::from(*amount) };
                self.send(call.channel.payee, *amount, &call)
            }
            Step::ExitMany { names } => {
                let many = names.iter().map(|name| self.channel(*name)).collect();
                self.send(anyone, 0, &ISaltChannels::exitManyCall { many })
            }
            Step::Close { name, total, by_signature } => {
                let (channel, voucher) = (self.channel(*name), self.voucher(*name, *total));
                let total = U256::from(*total);
                if !by_signature {
                    let call = ISaltChannels::closeCall { channel, ceiling: total, total, voucher };
                    return self.send(call.channel.payee, 0, &call);
                }
                let deadline = U256::from(self.chain.time);
                let deposit = U256::from(self.state(*name).deposit);
                let close = typed::Close { channel: self.id(*name), total, deposit, deadline };
                let signature =
                    bytes(self.payees[usize::from(name.1)].sign(close.eip712_signing_hash(&self.domain)));
                let call = ISaltChannels::closeForCall {
                    channel,
                    ceiling: total,
                    total,
                    voucher,
                    deadline,
                    signature,
                };
                self.send(anyone, 0, &call)
            }
            Step::RequestExit { name, by_signature } => {
                let channel = self.channel(*name);
                if !by_signature {
                    let call = ISaltChannels::requestExitCall { channel };
                    return self.send(call.channel.payer, 0, &call);
                }
                let deposit = U256::from(self.state(*name).deposit);
                let deadline = U256::from(self.chain.time);
                let exit = typed::Exit { channel: self.id(*name), deposit, deadline };
                let signature =
                    bytes(self.payers[usize::from(name.0)].sign(exit.eip712_signing_hash(&self.domain)));
                self.send(anyone, 0, &ISaltChannels::requestExitForCall { channel, deadline, signature })
            }
            Step::Exit { name } => {
                let channel = self.channel(*name);
                self.send(anyone, 0, &ISaltChannels::exitCall { channel })
            }
            Step::Wait { seconds } => {
                self.chain.time += seconds;
                true
            }
        }
    }

    fn claims(&self, rows: &[(Name, u128)]) -> Vec<ISaltChannels::Claim> {
        let row = |(name, total): &(Name, u128)| {
            let channel = self.channel(*name);
            ISaltChannels::Claim {
                payer: channel.payer,
                signer: channel.signer,
                operator: channel.operator,
                exitDelay: channel.exitDelay,
                salt: channel.salt,
                ceiling: U256::from(*total),
                total: U256::from(*total),
                voucher: self.voucher(*name, *total),
            }
        };
        rows.iter().map(row).collect()
    }

    fn claim_many(&mut self, payee: u8, rows: &[(Name, u128)], how: How) -> bool {
        let claims = self.claims(rows);
        let key = &self.payees[usize::from(payee)];
        let (asset, payee) = (Address::ZERO, key.address);
        let caller = if matches!(how, How::ByPayee | How::Packed) { payee } else { OPERATOR };
        match how {
            How::ByPayee | How::ByOperator => {
                return self.send(caller, 0, &ISaltChannels::claimManyCall { payee, asset, claims });
            }
            How::Packed | How::PackedByOperator => {
                let rows = claims.iter().flat_map(packed).collect::<Vec<_>>().into();
                let call = ISaltChannels::claimRowsCall { payee, asset, operator: OPERATOR, rows };
                return self.send(caller, 0, &call);
            }
            How::BySignature => {}
        }
        let totals = rows
            .iter()
            .map(|(name, total)| typed::ClaimTotal { channel: self.id(*name), total: U256::from(*total) });
        let signed = typed::Claims { totals: totals.collect() };
        let signature = bytes(key.sign(signed.eip712_signing_hash(&self.domain)));
        let call = ISaltChannels::claimManyForCall { payee, asset, claims, signature };
        self.send(Address::repeat_byte(0x77), 0, &call)
    }

    fn state(&mut self, name: Name) -> Channel {
        let channel = self.id(name);
        let call = ISaltChannels::stateOfCall { channel };
        let output = self.chain.send(Address::ZERO, self.contract, U256::ZERO, &call).unwrap().output;
        let state = ISaltChannels::stateOfCall::abi_decode_returns(&output).unwrap();
        let exit_at = state.exitAt.to::<u64>();
        Channel {
            deposit: state.deposit.to(),
            claimed: state.claimed.to(),
            exit_at: (exit_at != 0).then_some(exit_at),
            closed: state.closed,
        }
    }
}

/// A row as `claimRows` takes it.
fn packed(claim: &ISaltChannels::Claim) -> Vec<u8> {
    let thirteen = |value: U256| value.to_be_bytes::<32>()[19..].to_vec();
    [
        claim.payer.to_vec(),
        claim.signer.to_vec(),
        claim.exitDelay.to_be_bytes().to_vec(),
        claim.salt.to_vec(),
        thirteen(claim.ceiling),
        thirteen(claim.total),
        claim.voucher.to_vec(),
    ]
    .concat()
}

impl Real {
    /// Where each channel stands by the events alone, given in any order.
    fn folded(&self, seed: u64) -> BTreeMap<B256, ChannelState> {
        let source = Source { contract: self.contract, kind: SourceKind::SaltChannels, start_block: 0 };
        let mut logs: Vec<_> = self.logs.iter().enumerate().collect();
        let mut random = seed;
        for last in (1..logs.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            logs.swap(last, (random >> 33) as usize % (last + 1));
        }
        let mut events: BTreeMap<B256, Vec<_>> = BTreeMap::new();
        for (index, (time, log)) in logs {
            let transaction = B256::from(U256::from(index));
            let raw = RawLog { contract: log.address, transaction, content: &log.data };
            let decoded = decode(ChainId::CITRATE, std::slice::from_ref(&source), [raw]);
            let skipped = log.data.topics().first() == Some(&ISaltChannels::ChannelSkipped::SIGNATURE_HASH);
            assert_eq!(decoded.skipped, usize::from(skipped), "{log:?}");
            for event in decoded.channels {
                // Steps between which no time passes are in one block.
                events.entry(event.channel).or_default().push((*time, event.change));
            }
        }
        events.into_iter().filter_map(|(id, events)| Some((id, ChannelState::fold(events)?))).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_events_fold_to_what_the_contract_says(
        steps in prop::collection::vec(step(), 1..60), seed in any::<u64>(),
    ) {
        let mut real = Real::new();
        for (index, step) in steps.iter().enumerate() {
            real.make(step);
            if index % 5 != 0 && index + 1 != steps.len() {
                continue;
            }
            let folded = real.folded(seed);
            for name in (0..PAYERS).flat_map(|a| (0..PAYEES).flat_map(move |b| (0..SALTS).map(move |c| (a, b, c)))) {
                let (channel, says) = (real.channel(name), real.state(name));
                let id = real.id(name);
                let Some(state) = folded.get(&id) else {
                    prop_assert_eq!(says, Channel::default());
                    continue;
                };
                let known = Channel {
                    deposit: state.deposit.0.to(),
                    claimed: state.claimed.0.to(),
                    exit_at: state.exit_at,
                    closed: state.closed,
                };
                prop_assert_eq!(known, says, "{:?} after {:?}", name, step);
                let descriptor = state.descriptor.unwrap();
                prop_assert_eq!(
                    (descriptor.payer, descriptor.payee, descriptor.exit_delay, descriptor.salt),
                    (channel.payer, channel.payee, u64::from(channel.exitDelay), channel.salt)
                );
                prop_assert_eq!(descriptor.signer.unwrap_or_default(), channel.signer);
                let left = if says.closed { 0 } else { says.deposit - says.claimed };
                prop_assert_eq!(state.available().0, U256::from(left));
            }
        }
    }

    #[test]
    fn the_contract_does_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let (mut real, mut model) = (Real::new(), Model::default());
        for step in &steps {
            let allowed = model.make(step, real.chain.time);
            prop_assert_eq!(real.make(step), allowed, "{:?}", step);

            let names: Vec<Name> = model.channels.keys().copied().collect();
            let mut held = 0;
            for name in names {
                let channel = *model.channel(name);
                prop_assert_eq!(real.state(name), channel, "{:?} after {:?}", name, step);
                held += if channel.closed { 0 } else { channel.deposit - channel.claimed };
            }
            for payer in 0..PAYERS {
                let address = real.payers[usize::from(payer)].address;
                prop_assert_eq!(real.chain.balance(address), U256::from(model.payer(payer)));
            }
            for payee in 0..PAYEES {
                let address = real.payees[usize::from(payee)].address;
                let paid = model.payees.get(&payee).copied().unwrap_or_default();
                prop_assert_eq!(real.chain.balance(address), U256::from(paid));
            }
            prop_assert_eq!(real.chain.balance(real.contract), U256::from(held));
        }
    }
}
