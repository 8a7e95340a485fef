//! `[payment.signatures]`: in which token payments are taken that are signed and not sent, and who settles them.

use std::path::{Path, PathBuf};

use salt402_paywall::SignedMethod;
use salt402_protocol::source::ProxyScheme;
use salt402_protocol::typed_data::{X402_EXACT_PROXY, X402_UPTO_PROXY};
use salt402_protocol::{Address, Amount, Asset, Source, SourceKind};
use serde::Deserialize;
use url::Url;

use super::error::ConfigError;
use super::secret;
use super::source::{self, Defaults};
use super::text::parse_price;

/// The environment variable with the token for a facilitator elsewhere.
const FACILITATOR_TOKEN: &str = "SALT402_FACILITATOR_TOKEN";
/// For how long a signature must be good, in seconds.
const TIMEOUT: std::ops::RangeInclusive<u64> = 30..=3600;
/// The least with `upto`.
const LEAST_UPTO_S: u64 = 60;
/// Where it stands.
const KEY: &str = "payment.signatures";

/// In which token payments are taken that are signed and not sent (x402), and who settles them.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SignaturesConfig {
    /// A facilitator of x402 elsewhere, as `http://…` or `https://…`. Left out: the one of this process, from `[facilitator]`.
    #[serde(default)]
    pub(crate) facilitator: Option<Url>,
    /// A file with the token that the facilitator elsewhere wants. Relative to this file. Left out: the environment variable
    /// `SALT402_FACILITATOR_TOKEN`. Without both, none is sent.
    #[serde(default)]
    token_file: Option<PathBuf>,
    /// The token that is paid in, whose base units count as those of `payment.asset`: that token, or the coin's wrapped form.
    /// Left out: `payment.asset`, which must be a token then.
    #[serde(default)]
    token: Option<String>,
    /// How the token is moved. `eip3009`: by its own authorizations. `permit2`: by Permit2 and x402's proxy, for tokens
    /// without them.
    #[serde(default)]
    method: MethodConfig,
    /// The name in the token's EIP-712 domain, which payers sign.
    domain_name: String,
    /// The version in it.
    #[serde(default = "one")]
    domain_version: String,
    /// For how long what is signed must be good, in seconds: 30 to 3600.
    #[serde(default = "timeout")]
    timeout_s: u64,
    /// Whether payers may sign a ceiling for what is charged by use (`charge = "used"`), by x402's scheme `upto`: through Permit2, of
    /// which the token needs an allowance of the payer.
    #[serde(default)]
    upto: bool,
    /// The account of the facilitator elsewhere that settles what is signed for `upto`, as its `GET /supported` says. Left out: the
    /// first account of the facilitator of this process.
    #[serde(default)]
    upto_facilitator: Option<String>,
    /// The most that one payer may have authorized or used by `upto` that is not settled yet, such as `1 SALT`. Left out: any
    /// amount, of 64 requests at the most.
    #[serde(default)]
    most_unsettled: Option<String>,
    /// The beginning of the addresses under which clients ask, such as `https://shop.example`. Left out: `http://` and the host that
    /// each client names.
    #[serde(default)]
    public_url: Option<Url>,
}

/// How a token is moved.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum MethodConfig {
    #[default]
    Eip3009,
    Permit2,
}

fn one() -> String {
    "1".to_owned()
}

const fn timeout() -> u64 {
    300
}

/// What signed payments are taken in.
#[derive(Clone, Debug)]
pub(crate) struct Signatures {
    pub(crate) token: Address,
    pub(crate) method: SignedMethod,
    pub(crate) domain_name: String,
    pub(crate) domain_version: String,
    pub(crate) timeout_s: u64,
    pub(crate) upto: bool,
    pub(crate) upto_facilitator: Option<Address>,
    pub(crate) public_url: Option<String>,
}

impl SignaturesConfig {
    /// What signed payments are taken in, where everything is paid in `asset`.
    pub(crate) fn resolve(&self, asset: Asset) -> Result<Signatures, ConfigError> {
        let key = |field: &str| format!("{KEY}.{field}");
        let token = match (&self.token, asset) {
            (Some(text), asset) => {
                let token = source::address(&key("token"), text)?;
                if let Asset::Token(asset) = asset
                    && asset != token
                {
                    let what =
                        format!("is another token than payment.asset, which is {asset}: prices are in one");
                    return Err(ConfigError::value(key("token"), what));
                }
                token
            }
            (None, Asset::Token(token)) => token,
            (None, Asset::Native) => {
                let what = "expected the token that payers sign for, as the coin itself cannot be signed for: its wrapped form";
                return Err(ConfigError::value(key("token"), what));
            }
        };
        if self.domain_name.is_empty() || self.domain_version.is_empty() {
            let what = "expected what the token's contract says: name() and version(), or eip712Domain()";
            return Err(ConfigError::value(key("domain_name"), what));
        }
        ConfigError::unless_within(key("timeout_s"), self.timeout_s, TIMEOUT)?;
        let upto_facilitator =
            self.upto_facilitator.as_ref().map(|text| source::address(&key("upto_facilitator"), text));
        let upto_facilitator = upto_facilitator.transpose()?;
        if self.upto && self.facilitator.is_some() && upto_facilitator.is_none() {
            let what =
                "expected the account that settles upto, as GET /supported of the facilitator elsewhere says";
            return Err(ConfigError::value(key("upto_facilitator"), what));
        }
        // What is run is settled after it.
        if self.upto && self.timeout_s < LEAST_UPTO_S {
            let what = format!(
                "expected {LEAST_UPTO_S} or more with upto, which is settled after the request has run"
            );
            return Err(ConfigError::value(key("timeout_s"), what));
        }
        if self.facilitator.as_ref().is_some_and(|url| !matches!(url.scheme(), "http" | "https")) {
            return Err(ConfigError::value(key("facilitator"), "expected http://… or https://…"));
        }
        let public_url = self.public_url.as_ref().map(|url| {
            let is_origin =
                matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
            let what = "expected http:// or https:// with a host, such as \"https://shop.example\"";
            if is_origin {
                Ok(url.as_str().trim_end_matches('/').to_owned())
            } else {
                Err(ConfigError::value(key("public_url"), what))
            }
        });
        Ok(Signatures {
            token,
            method: match self.method {
                MethodConfig::Eip3009 => SignedMethod::Eip3009,
                MethodConfig::Permit2 => SignedMethod::Permit2,
            },
            domain_name: self.domain_name.clone(),
            domain_version: self.domain_version.clone(),
            timeout_s: self.timeout_s,
            upto: self.upto,
            upto_facilitator,
            public_url: public_url.transpose()?,
        })
    }

    /// The most that one payer may have open; amounts are in `unit`.
    pub(crate) fn most_unsettled(
        &self,
        (symbol, decimals): &(String, u8),
    ) -> Result<Option<Amount>, ConfigError> {
        let Some(text) = &self.most_unsettled else { return Ok(None) };
        let amount = parse_price(text, symbol, *decimals)
            .map_err(|what| ConfigError::value(format!("{KEY}.most_unsettled"), what))?;
        Ok(Some(amount))
    }

    /// The token for a facilitator elsewhere.
    pub(crate) fn bearer(&self, folder: &Path) -> Result<Option<String>, ConfigError> {
        match &self.token_file {
            Some(file) => secret::text(&format!("{KEY}.token_file"), &folder.join(file)).map(Some),
            None => Ok(std::env::var(FACILITATOR_TOKEN).ok().filter(|token| !token.trim().is_empty())),
        }
    }
}

impl Signatures {
    /// Follows what shows the settled payments, unless the configuration names it already.
    ///
    /// # Errors
    /// It is named, and without the payee.
    pub(super) fn follow(
        &self,
        chain: &str,
        sources: &mut Vec<Source>,
        defaults: &Defaults<'_>,
    ) -> Result<(), ConfigError> {
        let Some((payee, _)) = defaults.payment else { return Ok(()) };
        let by_proxy =
            |scheme| SourceKind::X402Proxy { scheme, tokens: vec![self.token], payees: vec![payee] };
        let exact = match self.method {
            SignedMethod::Eip3009 => (self.token, SourceKind::Eip3009Token { payees: vec![payee] }),
            SignedMethod::Permit2 => (X402_EXACT_PROXY, by_proxy(ProxyScheme::Exact)),
        };
        let upto = self.upto.then(|| (X402_UPTO_PROXY, by_proxy(ProxyScheme::Upto)));
        for (contract, kind) in [exact].into_iter().chain(upto) {
            match sources.iter().find_map(|source| self.follows(source, &kind, payee)) {
                Some(true) => {}
                Some(false) => {
                    let what = format!(
                        "{payee} or {} is not among what this chain's source of signed payments names",
                        self.token
                    );
                    return Err(ConfigError::value(format!("chains.{chain}.sources"), what));
                }
                None => sources.push(Source { contract, kind, start_block: defaults.start_block }),
            }
        }
        Ok(())
    }

    /// Whether a source is of this kind, and if so, whether it names the payee and the token.
    fn follows(&self, source: &Source, kind: &SourceKind, payee: Address) -> Option<bool> {
        match (&source.kind, kind) {
            (SourceKind::Eip3009Token { payees }, SourceKind::Eip3009Token { .. })
                if source.contract == self.token =>
            {
                Some(payees.contains(&payee))
            }
            (
                SourceKind::X402Proxy { scheme, tokens, payees },
                SourceKind::X402Proxy { scheme: wanted, .. },
            ) if scheme == wanted => Some(payees.contains(&payee) && tokens.contains(&self.token)),
            _ => None,
        }
    }
}
