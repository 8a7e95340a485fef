//! A 402 in headers alone: `X-Payment-Required: true`, `X-Payment-Amount`, `-Asset`, `-Network` and `-Recipient`. The paid request has
//! `X-Payment-Signature`, which is an EIP-3009 authorization, and `X-Payment-Amount`, `-Asset` and `-Nonce`, which say the same.
//!
//! Amounts are in whole units, and asset and network are names. What they stand for is the token's EIP-712 domain, in
//! `X-Payment-Domain`: a payer signs `TransferWithAuthorization` in it.

use alloy_primitives::{Address, B256, U256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::details::Names;
use crate::values::asset::{checked_address, parse_address};
use crate::values::money::Amount;
use crate::values::request::parse_hash;
use crate::wire::object::Object;
use crate::x402::payload::SchemePayload;
use crate::x402::required::{LONGEST_SIGNED, Offered, SignedHeader, SignedHeaderError};
use crate::x402::{EIP3009, EXACT};

/// The header of a 402 that says that there is a price: `true`.
pub const REQUIRED_HEADER: &str = "x-payment-required";
/// The price in whole units, in a 402 and in a paid request.
pub const AMOUNT_HEADER: &str = "x-payment-amount";
/// The token's name, in both; in a paid request it may be the contract's address.
pub const ASSET_HEADER: &str = "x-payment-asset";
/// The network's name, in a 402.
pub const NETWORK_HEADER: &str = "x-payment-network";
/// The payee, in a 402.
pub const RECIPIENT_HEADER: &str = "x-payment-recipient";
/// The EIP-712 domain in which is signed, in a 402: JSON.
pub const DOMAIN_HEADER: &str = "x-payment-domain";
/// The signed authorization, in a paid request.
pub const SIGNATURE_HEADER: &str = "x-payment-signature";
/// The authorization's nonce, in a paid request.
pub const NONCE_HEADER: &str = "x-payment-nonce";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Domain<'a> {
    name: &'a str,
    version: &'a str,
    chain_id: u64,
    #[serde(with = "checked_address")]
    verifying_contract: Address,
}

/// The headers of a 402; `None` for what is not signed by EIP-3009.
pub fn asked(offered: &Offered, names: &Names) -> Option<Vec<(&'static str, String)>> {
    if offered.scheme != EXACT || offered.extra.asset_transfer_method != EIP3009 {
        return None;
    }
    let domain = Domain {
        name: &offered.extra.name,
        version: &offered.extra.version,
        chain_id: offered.network.get(),
        verifying_contract: offered.asset,
    };
    Some(vec![
        (REQUIRED_HEADER, "true".to_owned()),
        (AMOUNT_HEADER, offered.amount.to_units(names.decimals)),
        (ASSET_HEADER, names.symbol.clone()),
        (NETWORK_HEADER, names.network.clone()),
        (RECIPIENT_HEADER, offered.pay_to.to_string()),
        (DOMAIN_HEADER, serde_json::to_string(&domain).ok()?),
    ])
}

/// The headers of a paid request, as they came. All are needed.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// [`SIGNATURE_HEADER`].
    pub signature: &'a str,
    /// [`AMOUNT_HEADER`].
    pub amount: Option<&'a str>,
    /// [`ASSET_HEADER`].
    pub asset: Option<&'a str>,
    /// [`NONCE_HEADER`].
    pub nonce: Option<&'a str>,
}

/// What a payer sends. Nobody has judged its signature yet.
#[derive(Clone, PartialEq, Eq)]
pub struct PaymentHeaders {
    amount: String,
    asset: String,
    value: U256,
    payload: String,
}

/// Without what was signed, which belongs into no log.
impl std::fmt::Debug for PaymentHeaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaymentHeaders").finish_non_exhaustive()
    }
}

/// A nonce: 0x and 64 hexadecimal digits, or a whole number.
fn nonce_of(text: &str) -> Option<B256> {
    parse_hash(text).or_else(|| Amount::from_base_units(text).ok().map(|number| B256::from(number.0)))
}

impl PaymentHeaders {
    /// Reads the headers.
    ///
    /// # Errors
    /// See [`SignedHeaderError`]. One of them is missing, or says something else than the authorization.
    pub fn read(sent: &Sent<'_>) -> Result<Self, SignedHeaderError> {
        let wrong = |what: &str| SignedHeaderError::Json(what.to_owned());
        let json = |error: serde_json::Error| SignedHeaderError::Json(error.to_string());
        if sent.signature.len() > LONGEST_SIGNED {
            return Err(SignedHeaderError::TooLong);
        }
        let (Some(amount), Some(asset), Some(nonce)) = (sent.amount, sent.asset, sent.nonce) else {
            return Err(wrong("X-Payment-Amount, X-Payment-Asset and X-Payment-Nonce come with it"));
        };
        let bytes = STANDARD.decode(sent.signature).map_err(|_| SignedHeaderError::Base64)?;
        let Object(payload) = serde_json::from_slice::<Object<SchemePayload>>(&bytes).map_err(json)?;
        let Some(authorization) = payload.authorization.filter(|_| payload.permit2_authorization.is_none())
        else {
            return Err(wrong("it is JSON with signature and authorization (EIP-3009), and no other"));
        };
        if nonce_of(nonce) != Some(authorization.nonce) {
            return Err(wrong("X-Payment-Nonce is another than authorization.nonce"));
        }
        let payload = String::from_utf8(bytes).map_err(|error| SignedHeaderError::Json(error.to_string()))?;
        Ok(Self { amount: amount.to_owned(), asset: asset.to_owned(), value: authorization.value, payload })
    }

    /// The same as a payer of x402 sends it. `offered` is what is asked for the amount that was signed, and `names` are as the 402 had
    /// them.
    ///
    /// # Errors
    /// The amount or the asset beside the authorization is another.
    pub fn to_v2(
        &self,
        names: &Names,
        offered: impl FnOnce(Amount) -> Offered,
    ) -> Result<SignedHeader, SignedHeaderError> {
        let offered = offered(Amount(self.value));
        if self.asset != names.symbol && parse_address(&self.asset) != Some(offered.asset) {
            let what = format!("X-Payment-Asset is {:?} or {}", names.symbol, offered.asset);
            return Err(SignedHeaderError::Json(what));
        }
        if Amount::from_units(&self.amount, names.decimals) != Ok(offered.amount) {
            let signed = offered.amount.to_units(names.decimals);
            let what = format!("X-Payment-Amount is another than authorization.value, which is {signed}");
            return Err(SignedHeaderError::Json(what));
        }
        SignedHeader::of(&offered, &self.payload)
    }
}
