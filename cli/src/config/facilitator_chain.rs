//! `[facilitator.chains.NAME]`: what is settled on a chain, for whom, and what it may cost.

use std::path::Path;

use salt402_chain::Account;
use salt402_facilitator::{CitratePolicy, NetworkPolicy, Payees, SignatureRule, TokenPolicy};
use salt402_protocol::foreign::MULTICALL3;
use salt402_protocol::typed_data::{PERMIT2, X402_EXACT_PROXY, X402_UPTO_PROXY};
use salt402_protocol::{Address, Amount};
use serde::Deserialize;

use super::error::ConfigError;
use super::signer::KeyConfig;
use super::source::{self, Defaults};
use super::text::parse_price;

/// What is settled on a chain.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FacilitatedChainConfig {
    /// The tokens that may be moved. Left out: the token of `[payment]`, the deployment's, or the network's wrapped coin.
    tokens: Option<Vec<TokenConfig>>,
    /// The accounts that may be paid. `["*"]` means all: then whoever may ask has your keys pay the gas of payments to
    /// anybody. Left out: the payee of `[payment]`.
    payees: Option<Vec<String>>,
    /// The private keys that send settlements here and pay the gas. Left out: `facilitator.keys`.
    keys: Option<Vec<KeyConfig>>,
    /// The proxy of x402's scheme `exact` over Permit2. Left out: x402's own address, for which clients sign.
    exact_proxy: Option<String>,
    /// The proxy of x402's scheme `upto`. Left out: x402's own address, for which clients sign.
    upto_proxy: Option<String>,
    /// Citrate's own `X402Facilitator`, of which the keys must hold the role. Left out: it is not used.
    citrate: Option<CitrateConfig>,
    /// The factories that may be called to create a payer's wallet that does not exist yet (ERC-6492), before it pays by EIP-3009.
    /// Your keys pay the gas of that. Left out: none, and such a wallet cannot pay.
    factories: Vec<String>,
    /// The balance of a key below which it is reported as low, such as `1 SALT`. Left out: none is.
    low_water: Option<String>,
}

/// A token that may be moved.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct TokenConfig {
    /// Its address.
    contract: String,
    /// Whether it is moved by its own authorizations (EIP-3009).
    #[serde(default = "yes")]
    eip3009: bool,
    /// Whether it is moved through Permit2.
    #[serde(default = "yes")]
    permit2: bool,
    /// How it judges the authorization of a payer that has code. `key`: as any other, such as Citrate's wSALT. `contract`:
    /// it asks the payer's code, as USDC and Salt do. `unknown`: each such settlement is tried on the node first.
    #[serde(default)]
    signatures: SignaturesConfig,
    /// The least that is moved, in base units of the token: what is less is not worth its gas.
    #[serde(default = "none")]
    least: String,
}

/// Citrate's own facilitator contract, as it stands on the chain.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct CitrateConfig {
    /// Its address.
    contract: String,
    /// The account that gets its fees: its `treasury()`. Payers sign for it.
    treasury: String,
    /// The token that it settles in. Left out: the network's wrapped coin, or the deployment's.
    #[serde(default)]
    token: Option<String>,
}

/// How a token judges the authorization of a payer that has code.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum SignaturesConfig {
    #[default]
    Unknown,
    Key,
    Contract,
}

fn yes() -> bool {
    true
}
fn none() -> String {
    "0".to_owned()
}

/// What is settled on a chain, with everything that is needed for it but the keys themselves.
#[derive(Clone, Debug)]
pub(crate) struct FacilitatedChain {
    pub(crate) policy: NetworkPolicy,
    /// The keys, each with the place in the configuration that names it.
    pub(crate) keys: Vec<(String, KeyConfig)>,
    /// The balance of a key below which it is low, in base units of the coin.
    pub(crate) low_water: Option<Amount>,
}

impl FacilitatedChain {
    /// Reads the keys, which lie below `folder`. Each account is there once: two queues would use the same nonces.
    pub(crate) fn accounts(&self, folder: &Path) -> Result<Vec<Account>, ConfigError> {
        let mut accounts: Vec<Account> = Vec::with_capacity(self.keys.len());
        for (place, key) in &self.keys {
            let account = key.account(place, folder)?;
            if accounts.iter().any(|other| other.address() == account.address()) {
                let what = format!("{} is there twice: give each key once", account.address());
                return Err(ConfigError::value(place, what));
            }
            if matches!(&self.policy.payees, Payees::Listed(payees) if payees.contains(&account.address())) {
                let what = format!(
                    "{} is also paid here: a key that settles lies on this machine and must hold nothing but gas. Make a \
                     key of its own for it",
                    account.address()
                );
                return Err(ConfigError::value(place, what));
            }
            accounts.push(account);
        }
        Ok(accounts)
    }
}

impl FacilitatedChainConfig {
    /// With the keys of `[facilitator]`, where it names none.
    pub(crate) fn resolve(
        &self,
        name: &str,
        shared_keys: &[(String, KeyConfig)],
        defaults: &Defaults<'_>,
    ) -> Result<FacilitatedChain, ConfigError> {
        let here = format!("facilitator.chains.{name}");
        let named = |key: &str, given: &Option<String>| {
            given.as_ref().map(|text| source::address(&format!("{here}.{key}"), text)).transpose()
        };
        let money = |key: &str, text: &Option<String>| {
            let profile = defaults.profile;
            let read = |text: &String| {
                let amount = parse_price(text, &profile.native_symbol, profile.native_decimals);
                amount.map_err(|what| ConfigError::value(format!("{here}.{key}"), what))
            };
            text.as_ref().map(read).transpose()
        };
        let tokens = self.tokens(&here, defaults)?;
        let citrate = self.citrate.as_ref().map(|own| own.resolve(&here, defaults)).transpose()?;
        let is_moved = |own: &CitratePolicy| tokens.iter().any(|it| it.token == own.token && it.eip3009);
        if let Some(own) = citrate.filter(|own| !is_moved(own)) {
            let what = format!(
                "{} is none of the tokens that are moved by their own authorizations here: list it in {here}.tokens",
                own.token
            );
            return Err(ConfigError::value(format!("{here}.citrate.token"), what));
        }
        let exact_proxy = named("exact_proxy", &self.exact_proxy)?.unwrap_or(X402_EXACT_PROXY);
        let upto_proxy = named("upto_proxy", &self.upto_proxy)?.unwrap_or(X402_UPTO_PROXY);
        let factories = self.factories(&here)?;
        let others = [PERMIT2, MULTICALL3, exact_proxy, upto_proxy];
        let is_other = |factory: &Address| {
            others.contains(factory)
                || tokens.iter().any(|token| token.token == *factory)
                || citrate.is_some_and(|own| own.contract == *factory)
        };
        if let Some(factory) = factories.iter().find(|factory| is_other(factory)) {
            let what = format!(
                "{factory} moves tokens, and is called with whatever a payer writes: name contracts that create wallets alone"
            );
            return Err(ConfigError::value(format!("{here}.factories"), what));
        }
        Ok(FacilitatedChain {
            policy: NetworkPolicy {
                payees: self.payees(&here, defaults)?,
                exact_proxy: Some(exact_proxy),
                upto_proxy: Some(upto_proxy),
                citrate,
                factories,
                ..NetworkPolicy::new(defaults.profile.chain_id, tokens)
            },
            keys: self.keys(&here, shared_keys)?,
            low_water: money("low_water", &self.low_water)?,
        })
    }

    fn tokens(&self, here: &str, defaults: &Defaults<'_>) -> Result<Vec<TokenPolicy>, ConfigError> {
        let key = format!("{here}.tokens");
        let Some(listed) = &self.tokens else {
            let token = defaults.token()?.ok_or_else(|| {
                let what = "expected the tokens that may be moved, as in tokens = [{ contract = \"0x…\" }]: neither \
                            [payment], the network nor a deployment names one";
                ConfigError::value(&key, what)
            })?;
            return Ok(vec![TokenPolicy::new(token)]);
        };
        source::not_empty(&key, listed)?;
        let mut tokens: Vec<TokenPolicy> = Vec::with_capacity(listed.len());
        for (index, token) in listed.iter().enumerate() {
            let token = token.resolve(&format!("{key}[{index}]"))?;
            if tokens.iter().any(|other| other.token == token.token) {
                return Err(ConfigError::value(format!("{key}[{index}]"), "is there twice"));
            }
            tokens.push(token);
        }
        Ok(tokens)
    }

    fn factories(&self, here: &str) -> Result<Vec<Address>, ConfigError> {
        let key = format!("{here}.factories");
        if self.factories.is_empty() {
            return Ok(Vec::new());
        }
        Ok(source::addresses(&key, Some(&self.factories))?.unwrap_or_default())
    }

    fn payees(&self, here: &str, defaults: &Defaults<'_>) -> Result<Payees, ConfigError> {
        let key = format!("{here}.payees");
        match (&self.payees, defaults.payment) {
            (Some(any), _) if any.len() == 1 && any.iter().all(|one| one == "*") => Ok(Payees::Any),
            (Some(payees), _) => {
                Ok(Payees::Listed(source::addresses(&key, Some(payees))?.unwrap_or_default()))
            }
            (None, Some((payee, _))) => Ok(Payees::Listed(vec![payee])),
            (None, None) => {
                let what = "expected the 0x addresses that may be paid, since [payment] names no payee on this chain; \
                            [\"*\"] means all, and then whoever may ask has your keys pay the gas of payments to anybody";
                Err(ConfigError::value(key, what))
            }
        }
    }

    fn keys(
        &self,
        here: &str,
        shared: &[(String, KeyConfig)],
    ) -> Result<Vec<(String, KeyConfig)>, ConfigError> {
        let Some(keys) = &self.keys else { return Ok(shared.to_vec()) };
        source::not_empty(&format!("{here}.keys"), keys)?;
        let numbered = |(index, key): (usize, &KeyConfig)| {
            let place = format!("{here}.keys[{index}]");
            key.check(&place)?;
            Ok((place, key.clone()))
        };
        keys.iter().enumerate().map(numbered).collect()
    }
}

impl CitrateConfig {
    fn resolve(&self, here: &str, defaults: &Defaults<'_>) -> Result<CitratePolicy, ConfigError> {
        let key = |field: &str| format!("{here}.citrate.{field}");
        let token = match &self.token {
            Some(text) => source::address(&key("token"), text)?,
            None => defaults.token()?.ok_or_else(|| {
                ConfigError::value(key("token"), "expected the token that it settles in: none is known here")
            })?,
        };
        Ok(CitratePolicy {
            contract: source::address(&key("contract"), &self.contract)?,
            treasury: source::address(&key("treasury"), &self.treasury)?,
            token,
        })
    }
}

impl TokenConfig {
    fn resolve(&self, key: &str) -> Result<TokenPolicy, ConfigError> {
        if !self.eip3009 && !self.permit2 {
            return Err(ConfigError::value(key, "expected eip3009 or permit2: how is it moved?"));
        }
        let least = Amount::from_base_units(&self.least).map_err(|error| {
            ConfigError::value(format!("{key}.least"), format!("expected base units of the token: {error}"))
        })?;
        Ok(TokenPolicy {
            token: source::address(&format!("{key}.contract"), &self.contract)?,
            eip3009: self.eip3009,
            permit2: self.permit2,
            signatures: match self.signatures {
                SignaturesConfig::Unknown => SignatureRule::Unknown,
                SignaturesConfig::Key => SignatureRule::Key,
                SignaturesConfig::Contract => SignatureRule::Contract,
            },
            least: least.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{MULTICALL3, PERMIT2};
    use crate::config::Config;

    const TOKEN: &str = "0xAa918302B94a4B0E75E01e019cc6b819B4F7c906";
    /// anvil's first account, whose key is published.
    const ACCOUNT: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    /// What a start with these lines complains of.
    fn complaint(facilitator: &str, chain: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("settle.key"), KEY).unwrap();
        std::fs::write(folder.path().join("token"), "0123456789abcdef").unwrap();
        let keys = if facilitator.contains("keys") { "" } else { "keys = [{ file = \"settle.key\" }]" };
        let payees = if chain.contains("payees") { "" } else { "payees = [\"*\"]" };
        let text = format!(
            "[chains.citrate]\ncontract = \"{TOKEN}\"\n[facilitator]\n{keys}\n{facilitator}\n\
             [facilitator.chains.citrate]\n{payees}\n{chain}"
        );
        let file = folder.path().join("salt402.toml");
        std::fs::write(&file, text).unwrap();
        let started = Config::load(&file).and_then(|config| {
            for chain in config.chains()? {
                let here = chain.facilitated.as_ref().expect("a chain to settle on");
                here.accounts(folder.path())?;
            }
            let facilitator = config.facilitator.as_ref().expect("a facilitator");
            facilitator.callers(folder.path(), &config.chains)
        });
        started.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_would_be_read_in_two_ways_or_settle_nothing_is_refused() {
        assert_eq!(complaint("", ""), "");
        let citrate = |token: &str| {
            format!("citrate = {{ contract = \"{TOKEN}\", treasury = \"{ACCOUNT}\", token = \"{token}\" }}")
        };
        let listed = format!("tokens = [{{ contract = \"{TOKEN}\" }}]\n");
        assert_eq!(complaint("", &(listed.clone() + &citrate(TOKEN))), "");
        let factory = |contract: &str| format!("factories = [\"{contract}\"]");
        assert_eq!(complaint("", &factory(ACCOUNT)), "");
        let by_permit2 = format!("tokens = [{{ contract = \"{TOKEN}\", eip3009 = false }}]\n");
        for (facilitator, chain, place) in [
            ("keys = []", String::new(), "facilitator.keys"),
            ("", "keys = []".to_owned(), "facilitator.chains.citrate.keys"),
            ("", "tokens = []".to_owned(), "facilitator.chains.citrate.tokens"),
            ("", "payees = []".to_owned(), "facilitator.chains.citrate.payees"),
            (
                "callers.a = { token_file = \"token\", chains = [] }",
                String::new(),
                "facilitator.callers.a.chains",
            ),
            // Less than a plain transfer needs.
            ("gas = { eip3009 = 60000 }", String::new(), "facilitator.gas.eip3009"),
            ("gas = { permit2_upto = 99999 }", String::new(), "facilitator.gas.permit2_upto"),
            // A key on this machine that holds what was earned.
            ("", format!("payees = [\"{TOKEN}\", \"{ACCOUNT}\"]"), "facilitator.keys[0]"),
            ("", listed.clone() + &citrate(ACCOUNT), "facilitator.chains.citrate.citrate.token"),
            ("", by_permit2 + &citrate(TOKEN), "facilitator.chains.citrate.citrate.token"),
            // A payer writes what it is called with.
            ("", listed + &factory(TOKEN), "facilitator.chains.citrate.factories"),
            ("", factory(&MULTICALL3.to_string()), "facilitator.chains.citrate.factories"),
            ("", factory(&PERMIT2.to_string()), "facilitator.chains.citrate.factories"),
            ("", factory("0x"), "facilitator.chains.citrate.factories[0]"),
            ("gas = { deployment = 1 }", String::new(), "facilitator.gas.deployment"),
        ] {
            let said = complaint(facilitator, &chain);
            assert!(said.contains(place), "{facilitator} {chain}: {said:?}");
            assert!(!said.contains(&KEY[..16]), "{said}");
        }
    }
}
