//! `[payment]`: on which chain, to whom and in what everything that is sold is paid.

use std::collections::BTreeMap;

use salt402_chain::Profile;
use salt402_paywall::Dialects;
use salt402_protocol::asset::parse_address;
use salt402_protocol::details::Names;
use salt402_protocol::{Address, Asset, ChainId};
use salt402_verifier::PaymentRules;
use serde::Deserialize;

use super::chain::ChainConfig;
use super::error::ConfigError;
use super::signatures::{Signatures, SignaturesConfig};
use super::text::no_placeholder;

/// On which chain, to whom and in what to be paid.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct PaymentConfig {
    /// The chain to be paid on: the name of a table `[chains.NAME]`.
    chain: String,
    /// The address that is paid.
    payee: String,
    /// What is paid: `native`, or the address of an ERC-20 token.
    #[serde(default = "native")]
    #[cfg_attr(test, schemars(with = "String"))]
    asset: Asset,
    /// The token's symbol, in which prices are written. Needed for a token.
    #[serde(default)]
    asset_symbol: Option<String>,
    /// A token's decimal places. Needed with a token.
    #[serde(default)]
    asset_decimals: Option<u8>,
    /// Payments that are signed and not sent (x402): in which token, and who settles them. Left out: none are taken.
    #[serde(default)]
    pub(crate) signatures: Option<SignaturesConfig>,
    /// In which dialects a 402 says how to pay, beside `X-Payment-Details`: `x402`, `x402-v1`, `mpp`, `payment-headers`, `requirements-header`,
    /// `nested-body` and `masken`. What is shown in a dialect that is left out is taken all the same. Left out: all but `masken`.
    #[serde(default = "dialects")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    dialects: Vec<DialectName>,
}

/// A dialect of a 402.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum DialectName {
    X402,
    #[serde(rename = "x402-v1")]
    X402V1,
    Mpp,
    PaymentHeaders,
    RequirementsHeader,
    NestedBody,
    Masken,
}

fn dialects() -> Vec<DialectName> {
    use DialectName::{Mpp, NestedBody, PaymentHeaders, RequirementsHeader, X402, X402V1};
    vec![X402, X402V1, Mpp, PaymentHeaders, RequirementsHeader, NestedBody]
}

fn native() -> Asset {
    Asset::Native
}

impl PaymentConfig {
    pub(crate) fn payee(&self) -> Result<Address, ConfigError> {
        let key = "payment.payee";
        let payee = parse_address(&self.payee).filter(|address| !address.is_zero()).ok_or_else(|| {
            let what = format!(
                "expected the 0x address that is to be paid, with the right checksum, found {:?}",
                self.payee
            );
            ConfigError::value(key, what)
        })?;
        no_placeholder(key, payee)
    }

    /// In which dialects a 402 says how to pay, beside its own.
    pub(crate) fn dialects(&self) -> Dialects {
        let has = |name| self.dialects.contains(&name);
        Dialects {
            x402: has(DialectName::X402),
            x402_v1: has(DialectName::X402V1),
            mpp: has(DialectName::Mpp),
            payment_headers: has(DialectName::PaymentHeaders),
            requirements_header: has(DialectName::RequirementsHeader),
            nested_body: has(DialectName::NestedBody),
            masken: has(DialectName::Masken),
        }
    }

    /// What signed payments are taken in, if they are.
    pub(crate) fn signed(&self) -> Result<Option<Signatures>, ConfigError> {
        self.signatures.as_ref().map(|signatures| signatures.resolve(self.asset)).transpose()
    }

    /// How network and asset are named, for people.
    pub(crate) fn names(&self, chains: &BTreeMap<String, ChainConfig>) -> Result<Names, ConfigError> {
        let (symbol, decimals) = self.unit(chains)?;
        Ok(Names { network: self.profile(chains)?.name, symbol, decimals })
    }

    /// How network and token are named where a dialect has names. What the coin is wrapped in has no symbol here, and goes by the name
    /// in its EIP-712 domain.
    pub(crate) fn signed_names(
        &self,
        chains: &BTreeMap<String, ChainConfig>,
        domain_name: &str,
    ) -> Result<Names, ConfigError> {
        let names = self.names(chains)?;
        let symbol = if self.asset == Asset::Native { domain_name.to_owned() } else { names.symbol };
        Ok(Names { symbol, ..names })
    }

    /// Whether it is on the chain of the table `[chains.NAME]`.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.chain == name
    }

    pub(crate) fn asset(&self) -> Asset {
        self.asset
    }

    pub(crate) fn chain(&self, chains: &BTreeMap<String, ChainConfig>) -> Result<ChainId, ConfigError> {
        Ok(self.profile(chains)?.chain_id)
    }

    /// A token's symbol and decimals. `None` for the native coin, which the chain describes.
    pub(crate) fn token_names(&self) -> Option<(String, u8)> {
        self.asset_symbol.clone().zip(self.asset_decimals)
    }

    /// The token to be paid, with its decimals as the operator wrote them. `None` for the native coin.
    pub(crate) fn token(&self) -> Option<(Address, u8)> {
        match self.asset {
            Asset::Token(token) => Some(token).zip(self.asset_decimals),
            Asset::Native => None,
        }
    }

    /// The symbol and the decimals in which prices are written.
    pub(crate) fn unit(&self, chains: &BTreeMap<String, ChainConfig>) -> Result<(String, u8), ConfigError> {
        match self.token_names() {
            Some(names) => Ok(names),
            None => {
                let profile = self.profile(chains)?;
                Ok((profile.native_symbol, profile.native_decimals))
            }
        }
    }

    pub(crate) fn check(&self, chains: &BTreeMap<String, ChainConfig>) -> Result<(), ConfigError> {
        self.payee()?;
        self.profile(chains)?;
        self.signed()?;
        let token = matches!(self.asset, Asset::Token(_));
        let key = "payment.asset_symbol";
        if token && self.token_names().is_none() {
            let what = "expected with a token, together with asset_decimals, as in asset_symbol = \"USDC\"";
            return Err(ConfigError::value(key, what));
        }
        if !token && (self.asset_symbol.is_some() || self.asset_decimals.is_some()) {
            let what = "is for tokens; the native coin's symbol and decimals are the network's";
            return Err(ConfigError::value(key, what));
        }
        Ok(())
    }

    /// Whether the chain's own policy accepts the asset and the payee. Otherwise nothing could be sold.
    pub(crate) fn accepted(&self, policy: &PaymentRules) -> Result<(), ConfigError> {
        let listed = format!("chains.{}.policy", self.chain);
        if policy.assets.as_ref().is_some_and(|assets| !assets.contains(&self.asset)) {
            let what = format!("{} is not in {listed}.assets: add it there", self.asset);
            return Err(ConfigError::value("payment.asset", what));
        }
        let payee = self.payee()?;
        if policy.payees.as_ref().is_some_and(|payees| !payees.contains(&payee)) {
            let what = format!("{payee} is not in {listed}.payees: add it there");
            return Err(ConfigError::value("payment.payee", what));
        }
        Ok(())
    }

    fn profile(&self, chains: &BTreeMap<String, ChainConfig>) -> Result<Profile, ConfigError> {
        let chain = chains.get(&self.chain).ok_or_else(|| {
            let known: Vec<_> = chains.keys().map(String::as_str).collect();
            let what = format!(
                "expected a table of [chains], which are {}, found {:?}",
                known.join(", "),
                self.chain
            );
            ConfigError::value("payment.chain", what)
        })?;
        chain.profile(&self.chain)
    }
}
