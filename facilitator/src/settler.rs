//! Where a facilitator's halves meet: what was verified, and whoever settles it.

use alloy_primitives::{Address, B256, Bytes, U256};
use async_trait::async_trait;
use salt402_protocol::{ChainId, PaymentId, X402Reason};
use salt402_store::{CalledValid, KeptFor, Told, ValidCall};

use crate::authorization::Authorization;

/// What was verified and may be settled.
#[derive(Clone, PartialEq, Eq)]
pub struct Approved {
    /// What was signed.
    pub authorization: Authorization,
    /// What to charge, in base units of the token. Below the signed amount only under `upto`.
    pub charge: U256,
    /// Whether the payer has code: then it settles alone.
    pub payer_has_code: bool,
    /// The name of the token that the caller showed. `None` where callers show none.
    pub caller: Option<String>,
    /// The key of the request, by which its caller can ask again.
    pub key: Option<String>,
    /// The body of the request as it came. It holds the signature.
    pub payload: Bytes,
}

/// Without the payload and the signature in it, which belong into no log.
impl std::fmt::Debug for Approved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Approved")
            .field("payment", &self.authorization.id())
            .field("charge", &self.charge)
            .field("payer_has_code", &self.payer_has_code)
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

/// Settles what was verified, each authorization once.
#[async_trait]
pub trait Settler: Send + Sync + 'static {
    /// What is already known of an authorization of a chain. Whoever asks again gets the first one's result, and nothing is checked
    /// again. `None`: nothing was claimed, or it failed before anything was sent and may be tried again.
    ///
    /// The id is made of the nonce alone, and anybody can read that off the chain. So whoever asks holds the terms
    /// against what was claimed, and tells nobody else's result.
    ///
    /// # Errors
    /// It could not be read.
    async fn known(&self, chain: ChainId, id: PaymentId) -> Result<Option<Known>, SettleFault>;

    /// As [`Settler::known`], but waits for the outcome of one that is pending, as long as is configured. `None` also for a charge
    /// under `upto` that reverted, and that its payer can still make good.
    ///
    /// # Errors
    /// It could not be read.
    async fn outcome(&self, chain: ChainId, id: PaymentId) -> Result<Option<Known>, SettleFault> {
        self.known(chain, id).await
    }

    /// For whose request an authorization is kept here, where it is asked with a key. What was signed can be read on its way to the
    /// chain, so whoever has it may be anybody.
    ///
    /// # Errors
    /// It could not be read.
    async fn kept_for(
        &self,
        chain: ChainId,
        id: PaymentId,
        key: Option<&str>,
    ) -> Result<KeptFor, SettleFault>;

    /// Writes down that payments are called valid, all at once. Of each: `false` if it was called so to another caller, and is exclusive.
    /// Durable when this returns.
    ///
    /// # Errors
    /// None of it could be written.
    async fn call_valid(&self, calls: Vec<ValidCall>) -> Result<Vec<bool>, SettleFault>;

    /// What was called valid of an authorization, and to whom, by this process or one before it. `None`: nothing, or it is long ago.
    ///
    /// # Errors
    /// It could not be read.
    async fn called_valid(&self, chain: ChainId, id: PaymentId) -> Result<Option<CalledValid>, SettleFault>;

    /// Claims the authorization, sends its transaction, and waits for the outcome as long as is configured. A second
    /// call for the same authorization joins the first.
    ///
    /// # Errors
    /// Nothing was claimed.
    async fn settle(&self, approved: Approved) -> Result<Settled, SettleFault>;

    /// Whether this caller may be told that an authorization was settled. Whoever is told it serves for it, so one caller is: the
    /// first who asks, and after that whoever shows the same key as the first. Durable when this returns.
    ///
    /// # Errors
    /// It could not be written.
    async fn tell(&self, chain: ChainId, id: PaymentId, key: Option<B256>) -> Result<Told, SettleFault>;

    /// What is known of an authorization with this id, and what its payer has promised to others in its token, at one moment.
    ///
    /// # Errors
    /// It could not be read.
    async fn recorded(&self, authorization: &Authorization, id: PaymentId) -> Result<Recorded, SettleFault>;

    /// Waits until what blocks of a chain up to this height settled is not promised any more, and not for long.
    async fn wait_for(&self, _chain: ChainId, _height: u64) {}

    /// Why nothing is settled on a chain now: then nothing is called valid or claimed there. `None`: it is.
    fn complaint(&self, _chain: ChainId) -> Option<String> {
        None
    }

    /// The accounts that send transactions on a chain.
    fn signers(&self, chain: ChainId) -> Vec<Address>;
}

/// What is known of an authorization and of its payer, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// As [`Settler::known`].
    pub known: Option<Known>,
    /// Whether the index has it on the chain, whoever settled it.
    pub is_on_chain: bool,
    /// What is promised of the payer's balance, in base units of the token: claimed, not failed, and not yet seen in a block of
    /// the chain. What a block holds is off the balance already, and must not count twice.
    pub promised: U256,
    /// The newest block that was seen then. `None`: none was.
    pub height: Option<u64>,
}

/// A claimed authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What was signed, without its signatures. `None`: another version of this program claimed it, and it cannot be read.
    pub authorization: Option<Authorization>,
    /// What is charged, in base units of the token.
    pub charge: U256,
    /// What became of it.
    pub settled: Settled,
}

/// What became of an authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The money moved.
    Done {
        /// The transaction. `None` only for a charge of 0, which needs none.
        transaction: Option<B256>,
        /// What moved, in base units of the token.
        amount: U256,
    },
    /// No money moved, and none will.
    Failed {
        /// The reason that clients act on.
        reason: X402Reason,
        /// What happened, for people.
        detail: String,
        /// The transaction that failed, if one was sent.
        transaction: Option<B256>,
    },
    /// It was sent or is about to be. Ask again with the same payload.
    Pending {
        /// The transaction that was sent last.
        transaction: Option<B256>,
    },
}

/// Why an authorization could not be taken. Nothing was claimed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleFault {
    /// There is no room now, or no budget.
    #[error("{what}: ask again in {retry_after_ms} ms")]
    Busy {
        /// When to ask again, in milliseconds.
        retry_after_ms: u64,
        /// What there is no room for.
        what: String,
    },
    /// The database cannot be read or written.
    #[error("nothing can be stored now: {0}")]
    Storage(String),
    /// It cannot be settled here, and asking again does not help.
    #[error("{detail}")]
    Refused {
        /// The reason that clients act on.
        reason: X402Reason,
        /// What is wrong, for people.
        detail: String,
    },
}
