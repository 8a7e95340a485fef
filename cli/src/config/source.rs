//! `[[chains.NAME.sources]]`: contracts that are followed besides the payment contract.

use salt402_chain::Profile;
use salt402_protocol::asset::parse_address;
use salt402_protocol::source::ProxyScheme;
use salt402_protocol::typed_data::{X402_BATCH_SETTLEMENT, X402_EXACT_PROXY, X402_UPTO_PROXY};
use salt402_protocol::{Address, Asset, Source, SourceKind};
use serde::Deserialize;

use super::deployment::Deployment;
use super::error::ConfigError;

/// One more contract to follow.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceConfig {
    /// What the contract is, see docs/sources.md.
    kind: Kind,
    /// Its address. Left out: the deployment's. For x402's contracts, their address on every chain. For a token, that
    /// of `[payment]`, the deployment or the network.
    #[serde(default)]
    contract: Option<String>,
    /// The first block that may hold one of its events. Left out: the deployment's, or the chain's `start_block`.
    #[serde(default)]
    start_block: Option<u64>,
    /// The payees whose payments count. Left out: the payee of `[payment]`.
    #[serde(default)]
    payees: Option<Vec<String>>,
    /// The tokens whose payments count. Left out: the token of `[payment]`, the deployment's, or the network's wrapped
    /// coin.
    #[serde(default)]
    tokens: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
enum Kind {
    SaltChannels,
    PastSaltChannels,
    X402ExactProxy,
    X402UptoProxy,
    Eip3009Token,
    CitrateFacilitator,
    CitratePaywall,
    X402BatchSettlement,
}

/// Where a source takes values from that it does not name.
pub(crate) struct Defaults<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) deployment: Option<&'a Deployment>,
    /// The payee and the asset of `[payment]`, if it is on this chain.
    pub(crate) payment: Option<(Address, Asset)>,
    /// The chain's first block.
    pub(crate) start_block: u64,
}

impl SourceConfig {
    /// Whether it is a `SaltChannels` of before, of which no vouchers are taken any more.
    pub(crate) fn is_past(&self) -> bool {
        self.kind == Kind::PastSaltChannels
    }

    pub(crate) fn resolve(&self, key: &str, defaults: &Defaults<'_>) -> Result<Source, ConfigError> {
        let (contract, deployed) = self.contract(key, defaults)?;
        let start_block = self.start_block.or(deployed).unwrap_or(defaults.start_block);
        let kind = match self.kind {
            Kind::SaltChannels | Kind::PastSaltChannels | Kind::X402BatchSettlement => {
                self.refuse(key, "payees", self.payees.is_some())?;
                self.refuse(key, "tokens", self.tokens.is_some())?;
                if self.kind == Kind::X402BatchSettlement {
                    SourceKind::X402BatchSettlement
                } else {
                    SourceKind::SaltChannels
                }
            }
            Kind::X402ExactProxy | Kind::X402UptoProxy => SourceKind::X402Proxy {
                scheme: if self.kind == Kind::X402ExactProxy {
                    ProxyScheme::Exact
                } else {
                    ProxyScheme::Upto
                },
                tokens: self.tokens(key, defaults)?,
                payees: self.payees(key, defaults)?,
            },
            Kind::Eip3009Token => {
                self.refuse(key, "tokens", self.tokens.is_some())?;
                SourceKind::Eip3009Token { payees: self.payees(key, defaults)? }
            }
            Kind::CitrateFacilitator => SourceKind::CitrateFacilitator {
                tokens: self.tokens(key, defaults)?,
                payees: self.payees(key, defaults)?,
            },
            Kind::CitratePaywall => SourceKind::CitratePaywall {
                tokens: self.tokens(key, defaults)?,
                payees: self.payees(key, defaults)?,
            },
        };
        Ok(Source { contract, kind, start_block })
    }

    fn refuse(&self, key: &str, field: &str, given: bool) -> Result<(), ConfigError> {
        if !given {
            return Ok(());
        }
        let what = match self.kind {
            Kind::Eip3009Token => "is not for a token, which is followed itself: name it in `contract`",
            _ => "is not for channels, which are followed whoever is paid, and in what",
        };
        Err(ConfigError::value(format!("{key}.{field}"), what))
    }

    fn contract(&self, key: &str, defaults: &Defaults<'_>) -> Result<(Address, Option<u64>), ConfigError> {
        if let Some(text) = &self.contract {
            return Ok((address(&format!("{key}.contract"), text)?, None));
        }
        let named = |name: &str| {
            let found = defaults.deployment.and_then(|deployment| deployment.contract(name)).transpose()?;
            Ok::<_, ConfigError>(found.map(|(address, block)| (address, Some(block))))
        };
        let found = match self.kind {
            Kind::SaltChannels => named("SaltChannels")?,
            Kind::X402ExactProxy => named("X402ExactPermit2Proxy")?.or(Some((X402_EXACT_PROXY, None))),
            Kind::X402UptoProxy => named("X402UptoPermit2Proxy")?.or(Some((X402_UPTO_PROXY, None))),
            Kind::X402BatchSettlement => Some((X402_BATCH_SETTLEMENT, None)),
            Kind::Eip3009Token => defaults.token()?.map(|token| (token, None)),
            Kind::PastSaltChannels | Kind::CitrateFacilitator | Kind::CitratePaywall => None,
        };
        found.ok_or_else(|| {
            let what = "expected the 0x address of the contract: no deployment names it, and it stands nowhere by rule";
            ConfigError::value(format!("{key}.contract"), what)
        })
    }

    fn payees(&self, key: &str, defaults: &Defaults<'_>) -> Result<Vec<Address>, ConfigError> {
        let key = format!("{key}.payees");
        match (&self.payees, defaults.payment) {
            (Some(payees), _) if !payees.is_empty() => {
                payees.iter().enumerate().map(|(n, payee)| address(&format!("{key}[{n}]"), payee)).collect()
            }
            (None, Some((payee, _))) => Ok(vec![payee]),
            _ => {
                let what = "expected the 0x addresses whose payments count, since [payment] names no payee on this chain";
                Err(ConfigError::value(key, what))
            }
        }
    }

    fn tokens(&self, key: &str, defaults: &Defaults<'_>) -> Result<Vec<Address>, ConfigError> {
        let key = format!("{key}.tokens");
        if let Some(tokens) = self.tokens.as_ref().filter(|tokens| !tokens.is_empty()) {
            return tokens
                .iter()
                .enumerate()
                .map(|(n, token)| address(&format!("{key}[{n}]"), token))
                .collect();
        }
        let token = defaults.token()?.ok_or_else(|| {
            let what = "expected the 0x addresses of the tokens whose payments count: neither [payment], the network nor \
                        a deployment names one";
            ConfigError::value(key, what)
        })?;
        Ok(vec![token])
    }
}

impl Defaults<'_> {
    /// The token of `[payment]`, or that of the deployment, or the network's wrapped coin.
    pub(crate) fn token(&self) -> Result<Option<Address>, ConfigError> {
        if let Some((_, Asset::Token(token))) = self.payment {
            return Ok(Some(token));
        }
        for name in ["WrappedSalt", "Salt"] {
            if let Some((token, _)) = self.deployment.and_then(|d| d.contract(name)).transpose()? {
                return Ok(Some(token));
            }
        }
        Ok(self.profile.wrapped_native)
    }
}

pub(crate) fn address(key: &str, text: &str) -> Result<Address, ConfigError> {
    parse_address(text).filter(|address| !address.is_zero()).ok_or_else(|| {
        ConfigError::value(key, format!("expected a 0x address with the right checksum, found {text:?}"))
    })
}

/// The addresses of a list. `None` where the list was left out.
pub(crate) fn addresses(key: &str, list: Option<&[String]>) -> Result<Option<Vec<Address>>, ConfigError> {
    let Some(list) = list else { return Ok(None) };
    not_empty(key, list)?;
    let one = |(index, text): (usize, &String)| address(&format!("{key}[{index}]"), text);
    list.iter().enumerate().map(one).collect::<Result<_, _>>().map(Some)
}

/// Refuses an empty list, which could be read in two ways: as none, and as one that was left out.
pub(crate) fn not_empty<T>(key: &str, list: &[T]) -> Result<(), ConfigError> {
    if list.is_empty() {
        return Err(ConfigError::value(key, "expected one entry at least, or the key left out"));
    }
    Ok(())
}

/// Refuses what cannot be followed together.
pub(crate) fn check(name: &str, sources: &[Source]) -> Result<(), ConfigError> {
    for (index, source) in sources.iter().enumerate() {
        let twice = sources[..index].iter().any(|other| {
            other.contract == source.contract
                && (other.is_direct()
                    || source.is_direct()
                    || std::mem::discriminant(&other.kind) == std::mem::discriminant(&source.kind))
        });
        if twice {
            let what = format!(
                "{} is followed twice: each contract once, with all payees and tokens",
                source.contract
            );
            return Err(ConfigError::value(format!("chains.{name}.sources"), what));
        }
    }
    Ok(())
}

/// What sources need in addition, in words. A facilitator and a paywall submit a token's authorizations. Anybody else
/// can submit them too; then the money reaches the payee without them and pays for nothing.
pub(crate) fn needed_beside(sources: &[Source]) -> Vec<String> {
    let follows = |token: &Address| {
        let is_token = |kind: &SourceKind| matches!(kind, SourceKind::Eip3009Token { .. });
        sources.iter().any(|source| source.contract == *token && is_token(&source.kind))
    };
    let lacking = sources.iter().flat_map(|source| {
        let (what, tokens): (_, &[Address]) = match &source.kind {
            SourceKind::CitrateFacilitator { tokens, .. } => ("facilitator", tokens),
            SourceKind::CitratePaywall { tokens, .. } => ("paywall", tokens),
            _ => ("", &[]),
        };
        tokens.iter().filter(|token| !follows(token)).map(move |token| {
            format!(
                "note: authorizations of {token} that reach a payee past the {what} {} pay for nothing, and whoever shows \
                 one is answered ambiguous_payment: follow the token too, with kind = \"eip3009-token\"",
                source.contract
            )
        })
    });
    lacking.collect()
}

/// A source in words.
pub(crate) fn explain(source: &Source) -> String {
    let list =
        |addresses: &[Address]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let Source { contract, kind, start_block } = source;
    let what = match kind {
        SourceKind::SaltPay => format!("payments through SaltPay {contract}"),
        SourceKind::SaltChannels => format!("channels in SaltChannels {contract}"),
        SourceKind::X402BatchSettlement => format!("channels in x402's batch settlement {contract}"),
        SourceKind::X402Proxy { scheme, tokens, payees } => format!(
            "payments to {} in {} that the {} proxy {contract} settled over Permit2",
            list(payees),
            list(tokens),
            match scheme {
                ProxyScheme::Exact => "exact",
                ProxyScheme::Upto => "upto",
            }
        ),
        SourceKind::Eip3009Token { payees } => {
            format!("payments to {} in the token {contract} by EIP-3009 authorization", list(payees))
        }
        SourceKind::CitrateFacilitator { tokens, payees } => format!(
            "payments to {} in {} that Citrate's facilitator {contract} settled",
            list(payees),
            list(tokens)
        ),
        SourceKind::CitratePaywall { tokens, payees } => format!(
            "payments to {} and to the paywall itself in {} that gave access through Citrate's paywall {contract}",
            list(payees),
            list(tokens)
        ),
        _ => format!("{contract}"),
    };
    format!("{what}, from block {start_block}")
}
