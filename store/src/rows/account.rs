//! Accounts with a prepaid balance, and what is drawn of them.

use salt402_protocol::api::KeyLimits;
use salt402_protocol::{AccountId, Address, Amount, Asset, B256, ChainId, PaymentId};

/// What a payment is to buy: it is credited in the transaction of its claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCredit {
    /// The account. `None`: the one of the key, or a new one.
    pub account: Option<AccountId>,
    /// The SHA-256 of the key of an account that is made, or topped up where there is one.
    pub key_hash: B256,
    /// The plan of a new account.
    pub plan: String,
    /// What a new account's key may do.
    pub limits: KeyLimits,
    /// What was paid, in base units.
    pub amount: Amount,
    /// What is credited beside it, in base units.
    pub bonus: Amount,
    /// In what.
    pub asset: Asset,
    /// Who paid.
    pub payer: Address,
}

/// An account that an operator makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAccount {
    /// Its id.
    pub id: AccountId,
    /// The SHA-256 of its key.
    pub key_hash: B256,
    /// The service.
    pub claimant: String,
    /// The chain on which it is topped up.
    pub chain: ChainId,
    /// What the balance is in.
    pub asset: Asset,
    /// The plan, by its name; empty for none.
    pub plan: String,
    /// Whose it is, in words.
    pub label: String,
    /// What its key may do.
    pub limits: KeyLimits,
    /// What is in it, in base units.
    pub amount: Amount,
    /// Who made it, and why.
    pub note: String,
    /// The time, in milliseconds since 1970 UTC.
    pub now_ms: u64,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The SHA-256 of its key.
    pub key_hash: B256,
    /// The service.
    pub claimant: String,
    /// The chain on which it is topped up.
    pub chain: ChainId,
    /// What the balance is in.
    pub asset: Asset,
    /// Who bought it first; zero if an operator made it.
    pub payer: Address,
    /// The plan, by its name; empty for none.
    pub plan: String,
    /// Whose it is, in words.
    pub label: String,
    /// Whether its key was revoked.
    pub revoked: bool,
    /// Whether a payment for it left the chain or was given back, or may have been, and no operator has settled that.
    pub blocked: bool,
    /// What was credited, in base units.
    pub credited: Amount,
    /// What was given back of it, in base units.
    pub returned: Amount,
    /// What was used, in base units.
    pub spent: Amount,
    /// What is reserved, in base units.
    pub reserved: Amount,
    /// The day since 1970 UTC of `day_used`.
    pub day: u64,
    /// What was used on that day, with what is reserved, in base units.
    pub day_used: Amount,
    /// What its key may do.
    pub limits: KeyLimits,
    /// How many payments have bought it that may still block it.
    pub payments: u64,
    /// When it was made, in milliseconds since 1970 UTC.
    pub made_at_ms: u64,
}

/// How many payments one account is topped up with. Each draw looks at all of them.
const MOST_PAYMENTS: u64 = 1000;

impl Account {
    /// Whether it takes no more payments.
    pub fn is_full(&self) -> bool {
        self.payments >= MOST_PAYMENTS
    }

    /// What may be used, in base units.
    pub fn free(&self) -> Amount {
        let gone = [self.returned, self.spent, self.reserved];
        Amount(gone.iter().fold(self.credited.0, |left, amount| left.saturating_sub(amount.0)))
    }

    /// What was used at a time, in milliseconds since 1970 UTC, of what may be used on its day.
    pub fn used_on(&self, now_ms: u64) -> Amount {
        if self.day == day(now_ms) { self.day_used } else { Amount::ZERO }
    }

    /// Whether its key is good at a time, in milliseconds since 1970 UTC.
    pub fn is_open(&self, now_ms: u64) -> bool {
        !self.revoked && self.limits.ends_at.is_none_or(|ends_at| now_ms / 1000 <= ends_at)
    }
}

/// The day since 1970 UTC of a time in milliseconds.
pub(crate) const fn day(now_ms: u64) -> u64 {
    now_ms / 86_400_000
}

/// What is to be reserved of the balance of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDraw {
    /// Its id.
    pub draw: PaymentId,
    /// The SHA-256 of the key.
    pub key_hash: B256,
    /// The service.
    pub claimant: String,
    /// The chain on which balances are bought now.
    pub chain: ChainId,
    /// What prices are in now.
    pub asset: Asset,
    /// The request.
    pub request: B256,
    /// Its path.
    pub path: String,
    /// The models and services that it is for.
    pub models: Vec<String>,
    /// The most that it may cost, in base units.
    pub ceiling: Amount,
    /// The time, in milliseconds since 1970 UTC.
    pub now_ms: u64,
}

/// The result of a [`NewDraw`]. Only [`DrawResult::Reserved`] has written something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrawResult {
    /// It is reserved.
    Reserved {
        /// The account, with it.
        account: Box<Account>,
        /// Whether it was reserved now.
        first: bool,
        /// What is reserved, in base units: what was reserved first.
        ceiling: Amount,
        /// What was charged of it, in base units.
        captured: Option<Amount>,
    },
    /// The service has no such key, or it was revoked or has ended.
    KeyRefused,
    /// The id was used for another request.
    OtherRequest(AccountId),
    /// The balance is of another chain or in another asset than prices are now.
    OtherAsset(AccountId),
    /// A payment for it left the chain or was given back, or may have.
    Blocked(AccountId),
    /// The key is not for this model, service or path.
    NotAllowed(AccountId, String),
    /// More than may be used today.
    DayUsed {
        /// The account.
        account: AccountId,
        /// What was used today, in base units.
        used: Amount,
        /// What may be.
        most: Amount,
    },
    /// More than is free.
    TooLow {
        /// The account.
        account: AccountId,
        /// What is free, in base units.
        free: Amount,
    },
}

/// Something that happened to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEvent {
    /// Its number, which grows.
    pub id: u64,
    /// Its account.
    pub account: AccountId,
    /// What happened.
    pub kind: AccountEventKind,
    /// The id of a draw or of a payment.
    pub name: Option<PaymentId>,
    /// What was reserved, of a draw, in base units.
    pub ceiling: Option<Amount>,
    /// How much, in base units. `None`: a draw that was not charged yet.
    pub amount: Option<Amount>,
    /// The models and services of a draw.
    pub models: Vec<String>,
    /// Who did it and why, in words.
    pub note: String,
    /// Why it blocks the account no more.
    pub settled: Option<String>,
    /// When, in milliseconds since 1970 UTC.
    pub at_ms: u64,
}

/// What happened to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountEventKind {
    /// A request drew from it.
    Draw,
    /// A payment was credited.
    Payment,
    /// A plan's bonus was credited.
    Bonus,
    /// Its operator credited something.
    Granted,
    /// Its operator took something out, to give it back.
    Returned,
    /// It was made.
    Created,
    /// Its limits were changed.
    Limits,
    /// Its key was revoked.
    Revoked,
}

impl AccountEventKind {
    const ALL: [Self; 8] = [
        Self::Draw,
        Self::Payment,
        Self::Bonus,
        Self::Granted,
        Self::Returned,
        Self::Created,
        Self::Limits,
        Self::Revoked,
    ];

    /// Its name, as the database has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Draw => "draw",
            Self::Payment => "payment",
            Self::Bonus => "bonus",
            Self::Granted => "granted",
            Self::Returned => "returned",
            Self::Created => "created",
            Self::Limits => "limits",
            Self::Revoked => "revoked",
        }
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.word() == word)
    }
}

/// What an operator does to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountChange {
    /// Credits so much, in base units.
    Grant(Amount),
    /// Takes out so much of what is free, in base units, to give it back. With a payment: the account is blocked for it no more.
    Return(Amount, Option<PaymentId>),
    /// Sets what its key may do.
    Limits(KeyLimits),
    /// Revokes its key.
    Revoke,
}

/// What became of an [`AccountChange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is done, and this is the account then.
    Done(Box<Account>),
    /// There is no such account.
    NoAccount,
    /// Only so much is free, in base units.
    TooLow(Amount),
    /// No such payment was credited to it, or it was settled before.
    NoPayment,
    /// The sum would be beyond what an amount can be.
    TooMuch,
}
