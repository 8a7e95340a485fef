//! The reference: a chain that runs calls as the real contracts do, and remembers who really paid whom, and for which
//! reference. It knows nothing of how logs are read.

use std::collections::HashSet;

use alloy_primitives::{Address, B256, Bytes, LogData, U256};
use alloy_sol_types::{SolCall, SolEvent};
use salt402_protocol::contracts::{
    ISalt, ISaltPay, IX402ExactPermit2Proxy as Exact, IX402Permit2Proxy as Proxy,
    IX402UptoPermit2Proxy as Upto,
};
use salt402_protocol::foreign::{
    ICitrateFacilitator, ICitratePaywall, IMulticall3 as M, IToken, IX402BatchSettlement, IX402Settled,
    MULTICALL3,
};

pub(crate) const SALT_PAY: Address = Address::repeat_byte(0x50);
pub(crate) const TOKEN: Address = Address::repeat_byte(0x70);
pub(crate) const HOSTILE: Address = Address::repeat_byte(0x7f);
pub(crate) const TELLING: Address = Address::repeat_byte(0x60);
pub(crate) const SILENT: Address = Address::repeat_byte(0x61);
pub(crate) const SILENT_UPTO: Address = Address::repeat_byte(0x62);
pub(crate) const FACILITATOR: Address = Address::repeat_byte(0x64);
pub(crate) const PAYWALL: Address = Address::repeat_byte(0x65);
pub(crate) const BATCH: Address = Address::repeat_byte(0x66);
pub(crate) const PAYEE: Address = Address::repeat_byte(0xee);
const STRANGER: Address = Address::repeat_byte(0xef);
const WRAPPER: Address = Address::repeat_byte(0xf0);
const TREASURY: Address = Address::repeat_byte(0xed);

/// Who signs: two victims, and the thief.
pub(crate) const OWNERS: u8 = 3;
/// How many messages each has signed of each kind.
pub(crate) const MESSAGES: u8 = 3;

pub(crate) fn owner(number: u8) -> Address {
    Address::repeat_byte(0xa0 + number)
}

/// The nonce of a message, which is the reference of its signer's quote.
pub(crate) fn nonce(owner: u8, message: u8) -> U256 {
    U256::from(u64::from(owner) * 100 + u64::from(message) + 1)
}

/// What a message is signed over. Amounts often meet: that is where two things look alike.
pub(crate) fn amount(message: u8) -> U256 {
    U256::from(1 + message % 2)
}

/// A settlement that a proxy is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) proxy: Address,
    pub(crate) owner: u8,
    /// Whose nonce is named. Another's than the owner's, or another amount than that message's, nobody signed.
    pub(crate) nonce_of: u8,
    pub(crate) message: u8,
    pub(crate) amount: u8,
    pub(crate) forged: bool,
    pub(crate) to_payee: bool,
    pub(crate) with_permit: bool,
    /// A token of the thief's, and what it does while it is moved.
    pub(crate) hostile: Option<Hostile>,
}

#[derive(Clone, Debug)]
pub(crate) struct Hostile {
    pub(crate) acts: Vec<Act>,
    /// Whether it logs a transfer.
    pub(crate) shows: bool,
    pub(crate) reverts: bool,
}

/// A call.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Settle(Ask),
    Authorize {
        owner: u8,
        message: u8,
        forged: bool,
        facilitated: bool,
    },
    /// An authorization over nothing, of which wrapped SALT logs no transfer.
    Nothing {
        owner: u8,
        message: u8,
    },
    Access {
        owner: u8,
        message: u8,
    },
    SaltPay {
        reference: u8,
        hostile: Option<Hostile>,
    },
    /// Anybody sends the payee what it has earned in the batch settlement.
    Earnings {
        amount: u8,
    },
    /// The caller's own tokens, with no reference.
    Plain {
        amount: u8,
    },
    /// A function of the trusted token that calls whoever it is told to, such as withdrawing its coins.
    Withdraw {
        acts: Vec<Act>,
    },
    /// A contract that nobody knows, which goes on where a call fails.
    Wrapped {
        acts: Vec<Act>,
    },
    Together(Batch),
}

/// Calls through Multicall3.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// Which of its functions.
    pub(crate) function: u8,
    /// Whether calls may fail.
    pub(crate) lenient: bool,
    pub(crate) acts: Vec<Act>,
}

/// What really moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) value: U256,
    /// What it was paid for; `None` of what is nobody's payment.
    pub(crate) reference: Option<U256>,
}

struct Refused;

#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) logs: Vec<(Address, LogData)>,
    pub(crate) moves: Vec<Move>,
    /// Who used up an authorization over nothing.
    pub(crate) spent_nothing: HashSet<Address>,
    authorizations: HashSet<U256>,
    permits: HashSet<U256>,
    locked: HashSet<Address>,
}

impl World {
    /// Runs a transaction of the thief's: what it did, or `None` where it was reverted.
    pub(crate) fn run(act: &Act) -> Option<Self> {
        let mut world = Self::default();
        world.act(act, owner(OWNERS - 1)).ok().map(|()| world)
    }

    fn log(&mut self, contract: Address, event: &impl SolEvent) {
        self.logs.push((contract, event.encode_log_data()));
    }

    fn transfer(&mut self, from: Address, to: Address, value: U256, reference: Option<U256>) {
        self.log(TOKEN, &IToken::Transfer { from, to, value });
        self.moves.push(Move { from, to, value, reference });
    }

    /// A call of which only its caller's fate hangs on whether it fails.
    fn attempt(&mut self, act: &Act, caller: Address) -> Result<(), Refused> {
        let before = self.clone();
        self.act(act, caller).inspect_err(|_| *self = before)
    }

    fn act(&mut self, act: &Act, caller: Address) -> Result<(), Refused> {
        match act {
            Act::Settle(ask) => self.settle(ask),
            Act::Authorize { owner: o, message, forged, facilitated } => {
                self.authorize(*o, *message, *forged, PAYEE)?;
                if *facilitated {
                    let (from, nonce) = (owner(*o), B256::from(nonce(*o, *message)));
                    self.transfer(from, TREASURY, U256::ONE, None);
                    let (value, fee) = (amount(*message), U256::ONE);
                    let event = ICitrateFacilitator::PaymentSettled { from, to: PAYEE, value, fee, nonce };
                    self.log(FACILITATOR, &event);
                }
                Ok(())
            }
            Act::Nothing { owner: o, message } => {
                self.use_authorization(*o, *message)?;
                self.spent_nothing.insert(owner(*o));
                Ok(())
            }
            Act::Access { owner: o, message } => {
                self.authorize(*o, *message, false, PAYWALL)?;
                let (payer, amount) = (owner(*o), amount(*message));
                let resourceId = B256::repeat_byte(1);
                let event =
                    ICitratePaywall::AccessGranted { payer, resourceId, amount, expiresAt: U256::MAX };
                self.log(PAYWALL, &event);
                Ok(())
            }
            Act::SaltPay { reference, hostile } => self.salt_pay(*reference, hostile.as_ref(), caller),
            Act::Earnings { amount } => {
                self.transfer(BATCH, PAYEE, U256::from(*amount), None);
                let (receiver, token, amount) = (PAYEE, TOKEN, u128::from(*amount));
                self.log(BATCH, &IX402BatchSettlement::Settled { receiver, token, sender: caller, amount });
                Ok(())
            }
            Act::Plain { amount } => {
                self.transfer(caller, PAYEE, U256::from(*amount), None);
                Ok(())
            }
            Act::Withdraw { acts } | Act::Wrapped { acts } => {
                acts.iter().for_each(|act| {
                    let _ = self.attempt(act, WRAPPER);
                });
                Ok(())
            }
            Act::Together(batch) => {
                for act in &batch.acts {
                    let done = self.attempt(act, MULTICALL3);
                    if !batch.may_fail() {
                        done?;
                    }
                }
                Ok(())
            }
        }
    }

    fn use_authorization(&mut self, o: u8, message: u8) -> Result<(), Refused> {
        if !self.authorizations.insert(nonce(o, message)) {
            return Err(Refused);
        }
        let (authorizer, nonce) = (owner(o), B256::from(nonce(o, message)));
        self.log(TOKEN, &IToken::AuthorizationUsed { authorizer, nonce });
        Ok(())
    }

    fn authorize(&mut self, o: u8, message: u8, forged: bool, to: Address) -> Result<(), Refused> {
        if forged {
            return Err(Refused);
        }
        self.use_authorization(o, message)?;
        self.transfer(owner(o), to, amount(message), Some(nonce(o, message)));
        Ok(())
    }

    fn settle(&mut self, ask: &Ask) -> Result<(), Refused> {
        if !self.locked.insert(ask.proxy) {
            return Err(Refused);
        }
        if !ask.is_signed() || !self.permits.insert(ask.nonce()) {
            return Err(Refused);
        }
        let (from, to, value) = (owner(ask.owner), ask.to(), U256::from(ask.amount));
        match &ask.hostile {
            Some(hostile) => self.move_hostile(hostile, from, to, value)?,
            None => self.transfer(from, to, value, Some(ask.nonce())),
        }
        if ask.proxy == TELLING {
            let (token, amount, nonce) = (ask.token(), value, ask.nonce());
            self.log(TELLING, &Proxy::PaymentSettled { owner: from, payee: to, token, amount, nonce });
        }
        if ask.with_permit {
            self.log(ask.proxy, &IX402Settled::SettledWithPermit {});
        } else {
            self.log(ask.proxy, &IX402Settled::Settled {});
        }
        self.locked.remove(&ask.proxy);
        Ok(())
    }

    fn move_hostile(
        &mut self,
        hostile: &Hostile,
        from: Address,
        to: Address,
        value: U256,
    ) -> Result<(), Refused> {
        hostile.acts.iter().for_each(|act| {
            let _ = self.attempt(act, HOSTILE);
        });
        if hostile.shows {
            self.log(HOSTILE, &IToken::Transfer { from, to, value });
        }
        if hostile.reverts { Err(Refused) } else { Ok(()) }
    }

    fn salt_pay(&mut self, reference: u8, hostile: Option<&Hostile>, caller: Address) -> Result<(), Refused> {
        let (value, reference) = (amount(reference), U256::from(reference));
        let asset = match hostile {
            Some(hostile) => {
                self.move_hostile(hostile, caller, PAYEE, value)?;
                HOSTILE
            }
            None => {
                self.transfer(caller, PAYEE, value, Some(reference));
                TOKEN
            }
        };
        let (payer, payee, amount) = (caller, PAYEE, value);
        let paymentReference = B256::from(reference);
        self.log(SALT_PAY, &ISaltPay::Payment { paymentReference, payer, payee, asset, amount });
        Ok(())
    }
}

impl Ask {
    fn nonce(&self) -> U256 {
        nonce(self.nonce_of, self.message)
    }

    fn to(&self) -> Address {
        if self.to_payee { PAYEE } else { STRANGER }
    }

    fn token(&self) -> Address {
        if self.hostile.is_some() { HOSTILE } else { TOKEN }
    }

    /// The thief signs anything; a victim what pays the payee what was quoted.
    fn is_signed(&self) -> bool {
        let by_owner = !self.forged && self.owner == self.nonce_of;
        let as_quoted =
            self.to_payee && self.hostile.is_none() && U256::from(self.amount) == amount(self.message);
        by_owner && (self.owner == OWNERS - 1 || as_quoted)
    }

    fn input(&self) -> Vec<u8> {
        let permitted = Proxy::TokenPermissions { token: self.token(), amount: U256::from(self.amount) };
        let permit = Proxy::PermitTransferFrom { permitted, nonce: self.nonce(), deadline: U256::MAX };
        let (owner, amount, to) = (owner(self.owner), U256::from(self.amount), self.to());
        let signature = Bytes::from(vec![7; 65]);
        let permit2612 =
            Proxy::EIP2612Permit { value: amount, deadline: U256::MAX, r: B256::ZERO, s: B256::ZERO, v: 27 };
        if self.proxy == SILENT_UPTO {
            let witness = Upto::Witness { to, facilitator: MULTICALL3, validAfter: U256::ZERO };
            if self.with_permit {
                return Upto::settleWithPermitCall { permit2612, permit, amount, owner, witness, signature }
                    .abi_encode();
            }
            return Upto::settleCall { permit, amount, owner, witness, signature }.abi_encode();
        }
        let witness = Exact::Witness { to, validAfter: U256::ZERO };
        if self.with_permit {
            return Exact::settleWithPermitCall { permit2612, permit, owner, witness, signature }
                .abi_encode();
        }
        Exact::settleCall { permit, owner, witness, signature }.abi_encode()
    }
}

impl Batch {
    fn may_fail(&self) -> bool {
        self.lenient && self.function % 6 > 1
    }

    fn input(&self) -> Vec<u8> {
        let called: Vec<_> = self.acts.iter().map(Act::call).collect();
        let plain = || {
            let call = |(target, data): &(Address, Vec<u8>)| M::Call {
                target: *target,
                callData: data.clone().into(),
            };
            called.iter().map(call).collect::<Vec<_>>()
        };
        let allowFailure = self.lenient;
        match self.function % 6 {
            0 => M::aggregateCall { calls: plain() }.abi_encode(),
            1 => M::blockAndAggregateCall { calls: plain() }.abi_encode(),
            2 => M::tryAggregateCall { requireSuccess: !self.lenient, calls: plain() }.abi_encode(),
            3 => M::tryBlockAndAggregateCall { requireSuccess: !self.lenient, calls: plain() }.abi_encode(),
            4 => {
                let calls = plain().into_iter();
                let calls =
                    calls.map(|M::Call { target, callData }| M::Call3 { target, allowFailure, callData });
                M::aggregate3Call { calls: calls.collect() }.abi_encode()
            }
            _ => {
                let calls = plain().into_iter().map(|M::Call { target, callData }| M::Call3Value {
                    target,
                    allowFailure,
                    value: U256::ZERO,
                    callData,
                });
                M::aggregate3ValueCall { calls: calls.collect() }.abi_encode()
            }
        }
    }
}

impl Act {
    /// What is called, and its calldata, as far as anybody reads it.
    pub(crate) fn call(&self) -> (Address, Vec<u8>) {
        let other = |contract| (contract, vec![1, 2, 3, 4]);
        match self {
            Self::Settle(ask) => (ask.proxy, ask.input()),
            Self::Authorize { facilitated: true, .. } => other(FACILITATOR),
            Self::Authorize { .. } | Self::Nothing { .. } => {
                (TOKEN, ISalt::transferWithAuthorization_1Call::SELECTOR.to_vec())
            }
            Self::Plain { .. } => (TOKEN, IToken::transferCall::SELECTOR.to_vec()),
            Self::Withdraw { .. } => other(TOKEN),
            Self::Access { .. } => other(PAYWALL),
            Self::SaltPay { .. } => other(SALT_PAY),
            Self::Earnings { .. } => other(BATCH),
            Self::Wrapped { .. } => other(WRAPPER),
            Self::Together(batch) => (MULTICALL3, batch.input()),
        }
    }
}
