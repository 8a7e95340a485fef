//! Signed payments that are settled from here.

use salt402_protocol::{Address, Amount, B256, ChainId, PaymentId};

/// A signed payment that is about to be claimed for settling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSettlement {
    /// The chain.
    pub chain: ChainId,
    /// The payment that it becomes.
    pub payment: PaymentId,
    /// The token.
    pub token: Address,
    /// Who signed, and pays.
    pub payer: Address,
    /// Who is paid.
    pub payee: Address,
    /// What was signed, in base units of the token.
    pub amount: Amount,
    /// What is moved, in base units. 0 is remembered as settled without a transaction.
    pub charge: Amount,
    /// How it is settled, as one word.
    pub method: String,
    /// What the call is built from again.
    pub payload: Vec<u8>,
    /// The only account that may send it. `None`: any.
    pub sender: Option<Address>,
    /// Who asked, by name.
    pub caller: Option<String>,
    /// Where the index stands. No settlement of it that comes later is below.
    pub since_block: u64,
    /// The most gas that settling it may use. It counts in the budgets until it is known.
    pub gas: u64,
}

/// Whose gas is limited, for a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GasBudget {
    /// All of a chain.
    All,
    /// A payer's.
    Payer,
    /// A token's.
    Token,
    /// A caller's.
    Caller,
}

impl GasBudget {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::All, Self::Payer, Self::Token, Self::Caller];

    /// Its name in the database and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Payer => "payer",
            Self::Token => "token",
            Self::Caller => "caller",
        }
    }
}

/// The most gas of a day, in units, since midnight UTC. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GasBudgets {
    /// Of all settlements of a chain.
    pub all: Option<u64>,
    /// Of one payer.
    pub payer: Option<u64>,
    /// Of one token.
    pub token: Option<u64>,
    /// Of one caller.
    pub caller: Option<u64>,
}

impl GasBudgets {
    pub(crate) const fn of(&self, kind: GasBudget) -> Option<u64> {
        match kind {
            GasBudget::All => self.all,
            GasBudget::Payer => self.payer,
            GasBudget::Token => self.token,
            GasBudget::Caller => self.caller,
        }
    }
}

/// What came of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettlementClaim {
    /// It is claimed. A charge of 0 is settled by that.
    New(SettlementRow),
    /// It was claimed before, and nothing changed.
    Known(SettlementRow),
    /// A verifier over this database keeps it for a request, and this was not asked with its key. Nothing was claimed.
    OfAnother,
    /// A budget does not allow it, and nothing was claimed.
    OverBudget {
        /// Which budget.
        budget: GasBudget,
        /// When the next day begins, in milliseconds from now.
        retry_after_ms: u64,
    },
}

/// A signed payment that was called valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalledValid {
    /// The chain.
    pub chain: ChainId,
    /// The payment that it becomes.
    pub payment: PaymentId,
    /// A digest of what was signed: a payer can sign several payments with one nonce.
    pub signed: B256,
    /// Who was told so, by name.
    pub caller: Option<String>,
}

/// A payment that is to be called valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidCall {
    /// The payment, and who is told.
    pub valid: CalledValid,
    /// Whether it is valid for the first one alone who was told.
    pub is_exclusive: bool,
}

/// Whether a caller may be told that a payment was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It may: nobody was told before, or it was told before and shows the same key.
    Now,
    /// It may not: another caller was told, or the same one without a key, or a verifier granted on the payment.
    Before,
    /// There is nothing to tell now: it is not settled, or its block has left the chain.
    Unsettled,
}

/// How a settlement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettlementState {
    /// Claimed, and in no transaction that may still be mined.
    Queued,
    /// In a transaction that is sent or about to be.
    Sent,
    /// The money moved.
    Settled,
    /// It moved nothing.
    Failed,
}

impl SettlementState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Sent, Self::Settled, Self::Failed];

    /// Its name in the database and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Settled => "settled",
            Self::Failed => "failed",
        }
    }

    /// The state of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A claimed settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettlementRow {
    /// Its number, ascending in the order of claims.
    pub number: u64,
    /// What was claimed.
    pub claimed: NewSettlement,
    /// How it stands.
    pub state: SettlementState,
    /// Why it failed.
    pub reason: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
    /// Whether it failed and can be claimed again.
    pub again: bool,
    /// Whether it was settled, now or before its block left the chain.
    pub settled_once: bool,
    /// The transaction that settled it, or that failed.
    pub transaction: Option<B256>,
    /// The height of that transaction's block.
    pub block: Option<u64>,
    /// Its share of the gas that its transactions used, in units.
    pub gas_used: u64,
    /// Its share of what its transactions cost, in base units of the native coin.
    pub fee: Amount,
    /// In how many slots it was.
    pub slots: u64,
    /// When it was claimed, in milliseconds since 1970 UTC.
    pub made_at_ms: u64,
    /// When it last changed, in milliseconds since 1970 UTC.
    pub changed_at_ms: u64,
}

/// One nonce of an account that settles. At most one of its transactions is mined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The account. Zero for a settlement by somebody else.
    pub signer: Address,
    /// The nonce; for a settlement by somebody else, the number of its row.
    pub nonce: u64,
}

/// How a transaction of a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotState {
    /// It may be mined.
    Open,
    /// It is in a block that is not final.
    Mined,
    /// It is in a final block.
    Final,
    /// Another transaction of its slot was mined.
    Dropped,
    /// A transaction that is not ours has its nonce, for good.
    Void,
}

impl SlotState {
    /// Its name in the database and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Mined => "mined",
            Self::Final => "final",
            Self::Dropped => "dropped",
            Self::Void => "void",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Open, Self::Mined, Self::Final, Self::Dropped, Self::Void]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// A signed transaction of a slot. It is on disk before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotTransaction {
    /// Its account and nonce.
    pub slot: Slot,
    /// Its hash.
    pub hash: B256,
    /// The signed transaction (EIP-2718). Empty for a settlement by somebody else, and once a block of its slot is final.
    pub raw: Vec<u8>,
    /// Whether it settles the orders of its slot. If not, it only uses the nonce up.
    pub carries: bool,
    /// Its gas limit.
    pub gas_limit: u64,
    /// The highest price of a unit of gas, in base units of the native coin.
    pub max_fee_per_gas: u64,
    /// The tip in it.
    pub tip: u64,
    /// How it stands.
    pub state: SlotState,
    /// Its block, once mined.
    pub block: Option<(u64, B256)>,
}

/// What became of a settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettlementOutcome {
    /// The money moved.
    Settled {
        /// Where, if it was not by the slot's transaction.
        elsewhere: Option<Elsewhere>,
        /// What it cost in this slot.
        cost: GasCost,
    },
    /// It moved nothing and is not tried again. If it was settled before, that is an incident.
    Failed {
        /// Why, as a word.
        reason: String,
        /// The same in words.
        detail: String,
        /// Whether it can be claimed again. It cannot if it was ever settled.
        again: bool,
        /// What it cost in this slot.
        cost: GasCost,
    },
    /// It moved nothing in this slot, and waits to be sent in another.
    Again {
        /// Why it is tried again.
        detail: String,
        /// What it cost in this slot.
        cost: GasCost,
    },
}

/// A settlement by a transaction that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The transaction.
    pub transaction: B256,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
}

/// A share of what a transaction cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GasCost {
    /// Gas, in units.
    pub gas: u64,
    /// In base units of the native coin.
    pub fee: Amount,
}

/// A transaction of a slot that was mined, and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotMined {
    /// The slot.
    pub slot: Slot,
    /// The mined transaction.
    pub hash: B256,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// What became of each of its orders, by their numbers. An order that is not named does not change.
    pub outcomes: Vec<(u64, SettlementOutcome)>,
}

/// A slot with its transactions and the numbers of its orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSlot {
    /// The slot.
    pub slot: Slot,
    /// Its transactions that may be mined, the first signed first.
    pub transactions: Vec<SlotTransaction>,
    /// Its orders.
    pub orders: Vec<u64>,
    /// The gas that each of its orders was said to need in a transaction of its own. 0: it is not known.
    pub gas_alone: Vec<u64>,
}

impl OpenSlot {
    /// The gas that an order of it was said to need in a transaction of its own. 0: it is not known.
    pub fn alone(&self, order: u64) -> u64 {
        let place = self.orders.iter().position(|number| *number == order);
        place.and_then(|place| self.gas_alone.get(place)).copied().unwrap_or(0)
    }
}

/// A transaction that was mined and is not final, and whether its block is on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinedSlot {
    /// The slot.
    pub slot: Slot,
    /// The mined transaction.
    pub hash: B256,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// Whether the index has that block on the chain. `false` also if it does not keep the header.
    pub canonical: bool,
}

/// Which settlements are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettlementFilter {
    /// Those of a chain.
    pub chain: Option<ChainId>,
    /// Those in a state.
    pub state: Option<SettlementState>,
    /// Those with a smaller number. The next page after this number.
    pub before: Option<u64>,
}

/// One thing that was tried with a signed payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettlementAttempt {
    /// The chain.
    pub chain: ChainId,
    /// The payment.
    pub payment: PaymentId,
    /// Who asked, by name.
    pub caller: Option<String>,
    /// What came of it, as a word.
    pub outcome: String,
    /// Why, as a word.
    pub reason: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
    /// The transaction, if there is one.
    pub transaction: Option<B256>,
    /// When, in milliseconds since 1970 UTC. It is set when it is written.
    pub at_ms: u64,
}

/// What is known of a signed payment and of its payer, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Whether it was claimed for settling here, whatever came of it.
    pub is_claimed: bool,
    /// Whether the index has it on the chain.
    pub is_on_chain: bool,
    /// What the payer has promised in the token and not moved yet: the sum of what is claimed and neither settled nor failed,
    /// in base units.
    pub promised: Amount,
}

impl Default for Recorded {
    fn default() -> Self {
        Self { is_claimed: false, is_on_chain: false, promised: Amount::ZERO }
    }
}
