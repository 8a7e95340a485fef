//! Charging by use: a ceiling that a payer authorized, and what is charged of it.

use salt402_protocol::{Address, Amount, B256, ChainId, PaymentId};

/// A request that is about to be run, and charged by what it uses.
#[derive(Clone, PartialEq, Eq)]
pub struct NewCharge {
    /// The payment that authorizes it.
    pub payment: PaymentId,
    /// Its chain.
    pub chain: ChainId,
    /// Who pays.
    pub payer: Address,
    /// The request.
    pub request: B256,
    /// The most that may be charged, in base units.
    pub ceiling: Amount,
    /// What a facilitator settles. `None`: a voucher, whose charge is counted in its channel.
    pub question: Option<Vec<u8>>,
    /// The most that one payer may have open of what a facilitator settles, in base units, this one included. `None`: any.
    pub most_open: Option<Amount>,
    /// How many of these one payer may have open, this one included.
    pub most_open_requests: u64,
    /// When the authorization is given up if nothing was charged, in milliseconds since 1970 UTC.
    pub ends_at_ms: u64,
    /// Whether it is too late to run it, and nothing runs it: then it is given up, and 0 is charged.
    pub too_late: bool,
    /// The time, in milliseconds since 1970 UTC.
    pub now_ms: u64,
}

/// Without the question, in which there is a signature.
impl std::fmt::Debug for NewCharge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewCharge")
            .field("payment", &self.payment)
            .field("ceiling", &self.ceiling)
            .finish_non_exhaustive()
    }
}

/// Whether a request may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It may: it is written down, and nothing was charged yet.
    Running {
        /// Whether it was written down now.
        first: bool,
    },
    /// It was run, or given up, and this was charged.
    Charged(Box<Charge>),
    /// Its payer has a charge open that could not be moved.
    Owing,
    /// Its payer has this much open, in base units, and with this one more than one payer may.
    Exposed(Amount),
}

/// A request that is charged by what it uses.
#[derive(Clone, PartialEq, Eq)]
pub struct Charge {
    /// The payment that authorizes it.
    pub payment: PaymentId,
    /// Its chain.
    pub chain: ChainId,
    /// Who pays.
    pub payer: Address,
    /// The request.
    pub request: B256,
    /// The most that may be charged, in base units.
    pub ceiling: Amount,
    /// What is charged, in base units. `None` until that is known.
    pub amount: Option<Amount>,
    /// What a facilitator settles. `None` for a voucher.
    pub question: Option<Vec<u8>>,
    /// How far it is.
    pub state: ChargeState,
    /// When the authorization ends, in milliseconds since 1970 UTC.
    pub ends_at_ms: u64,
    /// When its next step is due, in milliseconds since 1970 UTC. `None`: nothing more is tried.
    pub due_ms: Option<u64>,
    /// How often it was tried to move it.
    pub tries: u64,
    /// Why it was not moved, in words.
    pub detail: String,
    /// Why an operator wrote it off.
    pub note: Option<String>,
    /// When it was written down, in milliseconds since 1970 UTC.
    pub began_at_ms: u64,
    /// When it last changed, in milliseconds since 1970 UTC.
    pub changed_at_ms: u64,
}

/// Without the question, in which there is a signature.
impl std::fmt::Debug for Charge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Charge")
            .field("payment", &self.payment)
            .field("ceiling", &self.ceiling)
            .field("amount", &self.amount)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// A piece of a stream that is paid as it goes, and is about to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPiece {
    /// The payment that authorizes it.
    pub payment: PaymentId,
    /// The headers of the answer. Those of its first piece stay.
    pub headers: Vec<(String, String)>,
    /// The piece.
    pub bytes: Vec<u8>,
    /// What all that was given costs with it, in base units.
    pub amount: Amount,
    /// Whether it is kept. What came before is not kept without it.
    pub keeps: bool,
}

/// How far a charge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeState {
    /// The request may be under way. Nothing is charged yet.
    Running,
    /// The amount is known, and must still be moved or counted.
    Charged,
    /// It could not be moved. It is tried again until its authorization has ended, and its payer owes it.
    Unpaid,
    /// It was moved or counted.
    Settled,
    /// It was not moved, and an operator asks for it no more.
    WrittenOff,
}

impl ChargeState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Running, Self::Charged, Self::Unpaid, Self::Settled, Self::WrittenOff];

    /// Its name, as the database has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Charged => "charged",
            Self::Unpaid => "unpaid",
            Self::Settled => "settled",
            Self::WrittenOff => "written_off",
        }
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.word() == word)
    }
}

/// What is open, of all payers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenCharges {
    /// How many may be under way.
    pub running: u64,
    /// How many are charged, and not yet moved or counted.
    pub charged: u64,
    /// How many could not be moved.
    pub unpaid: u64,
    /// What these come to, in base units.
    pub unpaid_amount: Amount,
}

/// What is to be charged of an authorization that a verifier has reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCapture {
    /// The payment.
    pub payment: PaymentId,
    /// Who reserved it.
    pub claimant: String,
    /// What is charged, in base units.
    pub amount: Amount,
}

/// The result of a [`NewCapture`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Captured {
    /// It is written down.
    Done {
        /// What is charged, in base units: the first amount that was captured stays.
        amount: Amount,
        /// Whether a facilitator has said that it was settled, as
        /// [`Store::conclude_reservation`](crate::Store::conclude_reservation) wrote down.
        settled: bool,
    },
    /// The authorization is over this much, in base units. Nothing was written.
    AboveCeiling(Amount),
    /// Nothing was reserved under this name whose amount is a ceiling.
    Unknown,
}
