//! What a chain says of the accounts of an authorization.

use std::sync::Arc;

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use salt402_chain::Call;
use salt402_protocol::x402::digest::Domain;
use salt402_protocol::{ChainId, PaymentId};

use crate::authorization::Authorization;

/// A question about an authorization.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    /// The authorization.
    pub(crate) authorization: &'a Authorization,
    /// Its id.
    pub(crate) id: PaymentId,
    /// Whether the index has it on the chain: then its nonce was used.
    pub(crate) is_on_chain: bool,
    /// Whether it is asked how high the chain is that answers.
    pub(crate) wants_height: bool,
    /// The proxy that would settle it, if one does.
    pub(crate) proxy: Option<Address>,
    /// Whether the chain is asked anew for all that changes.
    pub(crate) is_fresh: bool,
    /// The most gas that the payer's code may use.
    pub(crate) most_gas: u64,
    /// A digest that the payer's code is asked about (ERC-1271).
    pub(crate) digest: Option<B256>,
    /// A call to simulate, and who would send it.
    pub(crate) simulate: Option<(Option<Address>, Call)>,
}

/// What is known of an authorization's accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Of the payer.
    pub(crate) payer: PayerFacts,
    /// Of the token.
    pub(crate) token: TokenFacts,
    /// Whether the proxy has code. True if none was asked for.
    pub(crate) has_proxy: bool,
    /// Whether the nonce was used.
    pub(crate) nonce: Nonce,
    /// What the payer's code says of the signature. `None`: it was not asked.
    pub(crate) contract_signature: Option<bool>,
    /// Whether there is code at the payer's address once its factory was called. `None`: it was not tried.
    pub(crate) deploys: Option<bool>,
    /// Whether all that changes was asked of the chain for this question.
    pub(crate) is_fresh: bool,
    /// Whether the simulated call went through, or why not. `None`: nothing was simulated.
    pub(crate) simulation: Option<Result<(), String>>,
    /// How high the chain is of which all this is known, or higher. `None`: it was not asked.
    pub(crate) height: Option<u64>,
}

/// Whether a nonce was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nonce {
    /// It was not, or nobody knows of it.
    New,
    /// It was, or it was cancelled.
    Used,
    /// The contract does not know nonces: the token has no EIP-3009.
    Unsupported,
}

/// What is known of a payer, for one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PayerFacts {
    /// Whether it has code.
    pub(crate) has_code: bool,
    /// What it has of the token, in base units. `None`: the token does not say.
    pub(crate) balance: Option<U256>,
    /// What Permit2 may move of it, in base units. `None`: it was not asked, or the token does not say.
    pub(crate) allowance: Option<U256>,
}

/// What is known of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenFacts {
    /// Whether there is a contract.
    pub(crate) has_code: bool,
    /// Its EIP-712 domain. `None`: it does not say.
    pub(crate) domain: Option<Domain>,
    /// The name in it. `None`: it does not say.
    pub(crate) name: Option<Arc<str>>,
    /// The version in it. `None`: it does not say.
    pub(crate) version: Option<Arc<str>>,
}

/// Why nothing is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FactsError {
    /// No node answers.
    #[error("the chain cannot be asked now: {0}")]
    Node(String),
    /// The index cannot be read.
    #[error("the index cannot be read now: {0}")]
    Storage(String),
    /// The index stands still.
    #[error("no settlement's outcome could be seen now: {0}")]
    Blind(String),
    /// The chain is not configured.
    #[error("the chain {0} is not configured here")]
    Chain(ChainId),
}

/// Whoever knows about accounts.
#[async_trait]
pub(crate) trait KnowsAccounts: Send + Sync + 'static {
    /// What is known of an authorization's accounts. What has to be asked of a node is asked in one round trip.
    async fn facts(&self, question: &Question<'_>) -> Result<Facts, FactsError>;

    /// Whether a payer has code, if that is known without a question.
    fn has_code(&self, authorization: &Authorization) -> Option<bool>;

    /// The time of the chain's newest known block, in seconds since 1970; 0 if none is known.
    fn head_time(&self, chain: ChainId) -> u64;

    /// Why no outcome on a chain could be seen: then nothing is settled. `None`: it could, though it may be late.
    async fn blind(&self, _chain: ChainId) -> Option<String> {
        None
    }

    /// Why outcomes on a chain cannot be seen in time now. `None`: they can.
    async fn complaint(&self, chain: ChainId) -> Option<String>;
}
