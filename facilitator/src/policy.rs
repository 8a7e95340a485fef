//! What the operator accepts.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use salt402_http::Rate;
use salt402_protocol::ChainId;
use salt402_protocol::typed_data::{PERMIT2, X402_EXACT_PROXY, X402_UPTO_PROXY};

use crate::authorization::Method;
use crate::calls::SettleContracts;

/// What the operator accepts, and how carefully it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The networks, each once.
    pub networks: Vec<NetworkPolicy>,
    /// How long a payment must still be valid, so that it can be settled. x402's own facilitator takes six seconds.
    pub margin: Duration,
    /// When a settlement is simulated before it is called valid.
    pub simulation: Simulation,
    /// How it is known that a nonce was not used.
    pub nonces: NonceCheck,
    /// The most gas that a settlement may use, by the way it is settled. It bounds what a payer's contract can do: what needs
    /// more to be verified or simulated is not valid, as it would not be settled.
    pub gas_caps: GasCaps,
    /// For how long what is known of an account is believed while no new block is seen.
    pub facts_for: Duration,
    /// For how long a permit of `upto` that was called valid, and is not settled, holds its payer's balance against others.
    pub upto_held_for: Duration,
}

impl Policy {
    /// With the usual care: six seconds, simulation of contracts' payments, every nonce asked for, and facts of one
    /// block or two seconds.
    pub fn new(networks: Vec<NetworkPolicy>) -> Self {
        Self {
            networks,
            margin: Duration::from_secs(6),
            simulation: Simulation::Contracts,
            nonces: NonceCheck::Chain,
            gas_caps: GasCaps::default(),
            facts_for: Duration::from_secs(2),
            upto_held_for: Duration::from_secs(600),
        }
    }

    /// What is accepted on a chain.
    pub fn network(&self, chain: ChainId) -> Option<&NetworkPolicy> {
        self.networks.iter().find(|network| network.chain == chain)
    }
}

/// The most gas of one settlement, in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GasCaps {
    /// By EIP-3009, and through Citrate's facilitator.
    pub eip3009: u64,
    /// By Permit2, through the proxy for `exact`.
    pub permit2_exact: u64,
    /// By Permit2, through the proxy for `upto`.
    pub permit2_upto: u64,
    /// What creating the payer's contract may use besides (ERC-6492).
    pub deployment: u64,
}

impl Default for GasCaps {
    /// Several times what tokens need: about 70,000 by EIP-3009, 85,000 by Permit2 and 150,000 with a permit. Wallets are created
    /// with 100,000 to 350,000.
    fn default() -> Self {
        Self { eip3009: 300_000, permit2_exact: 400_000, permit2_upto: 400_000, deployment: 500_000 }
    }
}

impl GasCaps {
    pub(crate) const fn of(&self, method: &Method) -> u64 {
        match method {
            Method::Eip3009 { deployment: Some(_), .. } => self.eip3009.saturating_add(self.deployment),
            Method::Eip3009 { .. } | Method::CitrateFee { .. } => self.eip3009,
            Method::Permit2Exact { .. } => self.permit2_exact,
            Method::Permit2Upto { .. } => self.permit2_upto,
        }
    }
}

/// When a settlement is simulated before it is called valid. A simulation is part of the same question to the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Simulation {
    /// Never. Payments whose payer is a contract are judged by its own word alone (ERC-1271).
    Never,
    /// Where the payer has code, or where what is known is not enough: the chain has the last word.
    #[default]
    Contracts,
    /// Every time.
    Always,
}

/// How it is known that a nonce was not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonceCheck {
    /// The chain is asked once for each payment and block, if the index does not know the payment.
    #[default]
    Chain,
    /// A payment that the index does not know counts as new, if the rest is known of the payer. The index sees only
    /// payments to followed payees, so a payer can make a payment look good that it has cancelled. Settling asks the
    /// chain all the same.
    Index,
}

/// What is accepted on one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// The chain.
    pub chain: ChainId,
    /// The accepted tokens, each once. No other token is touched.
    pub tokens: Vec<TokenPolicy>,
    /// Who may be paid.
    pub payees: Payees,
    /// The proxy that settles `exact` by Permit2. `None`: it is not offered.
    pub exact_proxy: Option<Address>,
    /// The proxy that settles `upto`. `None`: it is not offered.
    pub upto_proxy: Option<Address>,
    /// Citrate's own facilitator contract, whose role the signers hold. `None`: it is not offered.
    pub citrate: Option<CitratePolicy>,
    /// What may be called to create a payer's contract that does not exist yet (ERC-6492). It is called with calldata of the
    /// payer's making, at the expense of whoever settles.
    pub factories: Vec<Address>,
    /// After how long without a word of the indexer nothing is verified or settled: no outcome could be seen.
    pub stale_after: Duration,
}

/// Citrate's own facilitator contract, as it stands on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CitratePolicy {
    /// The contract.
    pub contract: Address,
    /// The token that it settles in: wrapped SALT.
    pub token: Address,
    /// The account that gets its fees.
    pub treasury: Address,
}

impl NetworkPolicy {
    /// With x402's own proxies, any payee, and without Citrate's own facilitator or any factory.
    pub fn new(chain: ChainId, tokens: Vec<TokenPolicy>) -> Self {
        let (exact, upto) = (X402_EXACT_PROXY, X402_UPTO_PROXY);
        Self {
            chain,
            tokens,
            payees: Payees::Any,
            exact_proxy: Some(exact),
            upto_proxy: Some(upto),
            citrate: None,
            factories: Vec::new(),
            stale_after: Duration::from_secs(30),
        }
    }

    /// The contracts that settle. What is not offered is refused before it comes to that.
    pub(crate) fn contracts(&self) -> SettleContracts {
        SettleContracts {
            permit2: PERMIT2,
            exact_proxy: self.exact_proxy.unwrap_or(X402_EXACT_PROXY),
            upto_proxy: self.upto_proxy.unwrap_or(X402_UPTO_PROXY),
        }
    }

    /// What is accepted of a token.
    pub fn token(&self, token: Address) -> Option<&TokenPolicy> {
        self.tokens.iter().find(|policy| policy.token == token)
    }
}

/// Who may be paid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Payees {
    /// Anybody.
    #[default]
    Any,
    /// These accounts.
    Listed(Vec<Address>),
}

impl Payees {
    /// Whether an account may be paid.
    pub fn has(&self, payee: Address) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(payees) => payees.contains(&payee),
        }
    }
}

/// What one named caller may ask for, within what the operator accepts. `None` is no rule of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerRules {
    /// On which chains.
    pub networks: Option<Vec<ChainId>>,
    /// Of which tokens.
    pub tokens: Option<Vec<Address>>,
    /// For which payees.
    pub payees: Option<Vec<Address>>,
    /// How often.
    pub rate: Option<Rate>,
}

impl CallerRules {
    /// Whether a payment may be settled for this caller.
    ///
    /// # Errors
    /// What it may not, for people.
    pub fn check(&self, chain: ChainId, token: Address, payee: Address) -> Result<(), &'static str> {
        let lists = |listed: bool, detail| if listed { Ok(()) } else { Err(detail) };
        let has = |list: &Option<Vec<Address>>, account| list.as_ref().is_none_or(|it| it.contains(&account));
        let network = self.networks.as_ref().is_none_or(|it| it.contains(&chain));
        lists(network, "your token does not allow payments on this network")?;
        lists(has(&self.tokens, token), "your token does not allow payments in this asset")?;
        lists(has(&self.payees, payee), "your token does not allow payments to this payee")
    }
}

/// What is accepted of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPolicy {
    /// The token.
    pub token: Address,
    /// Whether it takes authorizations itself (EIP-3009).
    pub eip3009: bool,
    /// Whether it is settled through Permit2.
    pub permit2: bool,
    /// How it judges an authorization of a payer that has code.
    pub signatures: SignatureRule,
    /// The least that is settled, in base units of the token: below it gas costs more than is moved.
    pub least: U256,
}

impl TokenPolicy {
    /// Everything that a token may have, and any amount.
    pub fn new(token: Address) -> Self {
        Self { token, eip3009: true, permit2: true, signatures: SignatureRule::Unknown, least: U256::ZERO }
    }
}

/// How a token judges an authorization (EIP-3009) of a payer that has code. Without code all of them recover the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureRule {
    /// Not known: the settlement is simulated, whatever [`Simulation`] says.
    #[default]
    Unknown,
    /// It recovers the key from `v`, `r` and `s`, and never looks at code. Wrapped SALT does.
    Key,
    /// It asks the payer's code (ERC-1271). USDC and Salt do.
    Contract,
}
