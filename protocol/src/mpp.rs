//! The HTTP authentication scheme `Payment` (MPP): its challenges, credentials and receipts.
//!
//! A challenge's id is the quote's. So what is signed for it names the quote (its nonce is a hash of the id), and nothing is
//! kept of a challenge.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::quote::key::QuoteId;
use crate::values::asset::checked_address;
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::wire::object::{self, Object};
use crate::x402::required::{LONGEST_SIGNED, Offered, SignedHeader, SignedHeaderError};
use crate::x402::text::{self, Text};

/// The scheme's name.
pub const SCHEME: &str = "Payment";
/// The header of an answer that tells what was paid.
pub const RECEIPT_HEADER: &str = "payment-receipt";
/// The method of what is signed with EIP-3009.
const EVM: &str = "evm";
/// The method of a transaction through the payment contract. It has a name of its own: clients of `evm` refuse a challenge
/// that takes a hash alone.
const TRANSACTION: &str = "salt402";
const CHARGE: &str = "charge";

/// What a `WWW-Authenticate` challenge asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// The quote.
    pub quote: &'a QuoteId,
    /// The realm: who asks, without quotes and control characters.
    pub realm: &'a str,
    /// When the quote ends, as RFC 3339 has it.
    pub expires: &'a str,
    /// What is asked.
    pub request: ChargeRequest,
}

/// What is to be paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargeRequest {
    /// In base units of the currency.
    pub amount: Amount,
    /// The token; zero is the native coin.
    #[serde(with = "checked_address")]
    pub currency: Address,
    /// How it is paid.
    pub method_details: MethodDetails,
    /// The payee.
    #[serde(with = "checked_address")]
    pub recipient: Address,
}

/// How a charge is paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MethodDetails {
    /// The chain.
    pub chain_id: u64,
    /// What may be sent as a credential.
    pub credential_types: [CredentialType; 1],
    /// Decimal places, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u8>,
    /// The payment contract, where a transaction is sent through it.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "crate::values::asset::maybe_checked_address::serialize"
    )]
    pub payment_contract: Option<Address>,
    /// The reference that the transaction pays for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<B256>,
}

/// What is sent as a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialType {
    /// An EIP-3009 authorization.
    Authorization,
    /// The hash of a transaction.
    Hash,
}

impl Challenge<'_> {
    /// The value of `WWW-Authenticate`. `None` where the realm cannot be quoted.
    pub fn to_header(&self) -> Option<String> {
        let plain = |text: &str| {
            text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
        };
        if !plain(self.realm) {
            return None;
        }
        let method = match self.request.method_details.credential_types {
            [CredentialType::Authorization] => EVM,
            [CredentialType::Hash] => TRANSACTION,
        };
        // A value of serde_json has its members in the order of their names, as RFC 8785 wants them.
        let request = serde_json::to_value(&self.request).ok()?.to_string();
        let request = URL_SAFE_NO_PAD.encode(request);
        let (quote, realm, expires) = (self.quote.as_str(), self.realm, self.expires);
        Some(format!(
            "{SCHEME} id=\"{quote}\", realm=\"{realm}\", method=\"{method}\", intent=\"{CHARGE}\", expires=\"{expires}\", request=\"{request}\""
        ))
    }
}

/// What a payer sends in `Authorization`. Nobody has judged it yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The quote that its challenge named.
    pub quote: QuoteId,
    /// What is shown.
    pub shown: Shown,
}

/// What a credential shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The hash of a transaction that paid.
    Hash(B256),
    /// An authorization that was signed for the challenge.
    Authorization(SignedCharge),
}

/// An EIP-3009 authorization whose nonce names the challenge.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedCharge {
    authorization: Authorization,
}

/// Without what was signed, which belongs into no log.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").finish_non_exhaustive()
    }
}

/// Without what was signed, which belongs into no log.
impl std::fmt::Debug for SignedCharge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedCharge").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow, deserialize_with = "object::deserialize")]
    challenge: Echo<'a>,
    #[serde(borrow)]
    payload: &'a serde_json::value::RawValue,
}

#[derive(Deserialize)]
struct Echo<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    realm: Text<'a>,
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow)]
    intent: Text<'a>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

#[derive(Deserialize)]
struct Hash {
    #[serde(deserialize_with = "text::word")]
    hash: B256,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    #[serde(deserialize_with = "text::address")]
    from: Address,
    #[serde(deserialize_with = "text::address")]
    to: Address,
    #[serde(deserialize_with = "text::number")]
    value: U256,
    #[serde(deserialize_with = "text::number")]
    valid_after: U256,
    #[serde(deserialize_with = "text::number")]
    valid_before: U256,
    #[serde(deserialize_with = "text::word")]
    nonce: B256,
    #[serde(deserialize_with = "text::signature")]
    signature: Bytes,
}

/// Why a header holds no credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// It is too long.
    #[error("it has more than {LONGEST_SIGNED} characters")]
    TooLong,
    /// It is no base64.
    #[error("after Payment stands JSON in base64url")]
    Base64,
    /// It is not the JSON that is expected.
    #[error("its JSON was not understood: {0}")]
    Json(String),
    /// It is for another challenge.
    #[error("{0}")]
    Challenge(&'static str),
}

/// The token68 of a `Payment` credential, if the value of `Authorization` is one.
pub fn credential_of(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| rest.trim_matches(' '))
}

impl Credential {
    /// Reads what [`credential_of`] found.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn read(text: &str) -> Result<Self, CredentialError> {
        let json = |error: serde_json::Error| CredentialError::Json(error.to_string());
        if text.len() > LONGEST_SIGNED {
            return Err(CredentialError::TooLong);
        }
        let bytes =
            URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| CredentialError::Base64)?;
        let Object(sent) = serde_json::from_slice::<Object<Sent<'_>>>(&bytes).map_err(json)?;
        let Echo { id, realm, method, intent } = sent.challenge;
        let quote: QuoteId = id.0.parse().map_err(|_| {
            CredentialError::Challenge("challenge.id is the id of a challenge of this server, unchanged")
        })?;
        if intent.0 != CHARGE {
            return Err(CredentialError::Challenge("challenge.intent is \"charge\""));
        }
        let payload = sent.payload.get();
        let Object(Kind { kind }) = serde_json::from_str(payload).map_err(json)?;
        let shown = match (&*method.0, &*kind.0) {
            (TRANSACTION | EVM, "hash") => {
                let Object(Hash { hash }) = serde_json::from_str(payload).map_err(json)?;
                Shown::Hash(hash)
            }
            (EVM, "authorization") => {
                let Object(authorization) =
                    serde_json::from_str::<Object<Authorization>>(payload).map_err(json)?;
                // So the payer has signed for this challenge and no other.
                if authorization.nonce != keccak256([id.0.as_bytes(), realm.0.as_bytes()].concat()) {
                    let what = "payload.nonce is the Keccak-256 hash of the challenge's id and realm";
                    return Err(CredentialError::Challenge(what));
                }
                Shown::Authorization(SignedCharge { authorization })
            }
            _ => {
                let what =
                    "a credential is an authorization for the method \"evm\", or a hash for \"salt402\"";
                return Err(CredentialError::Challenge(what));
            }
        };
        Ok(Self { quote, shown })
    }
}

impl SignedCharge {
    /// The same as a payer of x402 sends it. `offered` is what is asked for the amount that was signed.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to_x402(
        &self,
        offered: impl FnOnce(Amount) -> Offered,
    ) -> Result<SignedHeader, SignedHeaderError> {
        let Authorization { from, to, value, valid_after, valid_before, nonce, signature } =
            &self.authorization;
        let payload = json!({
            "signature": signature,
            "authorization": {
                "from": from.to_string(), "to": to.to_string(), "value": value.to_string(),
                "validAfter": valid_after.to_string(), "validBefore": valid_before.to_string(), "nonce": nonce,
            },
        });
        SignedHeader::of(&offered(Amount(*value)), &payload.to_string())
    }
}

/// What an answer tells of its payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Receipt<'a> {
    /// The method that was paid by.
    method: &'static str,
    /// The transaction.
    reference: B256,
    status: &'static str,
    /// When it was told, as RFC 3339 has it.
    timestamp: &'a str,
}

impl<'a> Receipt<'a> {
    /// Of a payment that a credential showed.
    pub const fn new(shown: &Shown, transaction: B256, timestamp: &'a str) -> Self {
        let method = match shown {
            Shown::Hash(_) => TRANSACTION,
            Shown::Authorization(_) => EVM,
        };
        Self { method, reference: transaction, status: "success", timestamp }
    }

    /// The header's value.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to_header(&self) -> Result<String, serde_json::Error> {
        serde_json::to_vec(self).map(|json| URL_SAFE_NO_PAD.encode(json))
    }
}

impl ChargeRequest {
    /// What is signed for an offer.
    pub fn signed(offered: &Offered, decimals: u8) -> Self {
        Self {
            amount: offered.amount,
            currency: offered.asset,
            method_details: MethodDetails {
                chain_id: offered.network.get(),
                credential_types: [CredentialType::Authorization],
                decimals: Some(decimals),
                payment_contract: None,
                reference: None,
            },
            recipient: offered.pay_to,
        }
    }

    /// What is sent through the payment contract.
    pub fn transaction(details: &crate::details::PaymentDetails) -> Self {
        Self {
            amount: details.amount,
            currency: details.asset.address(),
            method_details: MethodDetails {
                chain_id: ChainId::get(details.chain),
                credential_types: [CredentialType::Hash],
                decimals: Some(details.decimals),
                payment_contract: Some(details.payment_contract),
                reference: Some(details.reference),
            },
            recipient: details.recipient,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::x402::EIP3009;
    use crate::x402::request::Request;
    use crate::x402::required::OfferedExtra;

    fn quote() -> QuoteId {
        "A".repeat(264).parse().unwrap()
    }

    fn offered(amount: Amount) -> Offered {
        Offered {
            scheme: "exact",
            network: ChainId::CITRATE,
            amount,
            asset: Address::repeat_byte(0xaa),
            pay_to: Address::repeat_byte(0xbb),
            max_timeout_seconds: 300,
            extra: OfferedExtra {
                name: "Wrapped SALT".into(),
                version: "1".into(),
                asset_transfer_method: EIP3009,
                primary_type: None,
                facilitator_address: None,
                quote_id: Some(quote()),
            },
        }
    }

    fn sent() -> Value {
        let nonce = keccak256([quote().as_str().as_bytes(), b"a.example"].concat());
        json!({
            "challenge": {
                "id": quote().as_str(), "realm": "a.example", "method": "evm", "intent": "charge", "request": "e30",
                "expires": "2026-02-01T00:00:00Z",
            },
            "source": "did:pkh:eip155:40204:0x0101010101010101010101010101010101010101",
            "payload": {
                "type": "authorization", "from": Address::repeat_byte(1).to_string(),
                "to": Address::repeat_byte(0xbb).to_string(), "value": "7", "validAfter": "0", "validBefore": "99",
                "nonce": nonce, "signature": format!("0x{}", "11".repeat(65)),
            },
        })
    }

    fn read(value: &Value) -> Result<Credential, CredentialError> {
        Credential::read(&URL_SAFE_NO_PAD.encode(value.to_string()))
    }

    #[test]
    fn a_challenge_says_what_is_asked_in_the_order_of_its_members() {
        let asked = offered(Amount(U256::from(7)));
        let quote = quote();
        let request = ChargeRequest::signed(&asked, 18);
        let challenge =
            Challenge { quote: &quote, realm: "a.example", expires: "2026-02-01T00:00:00Z", request };
        let header = challenge.to_header().unwrap();
        let (front, request) = header.rsplit_once("request=\"").unwrap();
        assert!(
            front.starts_with("Payment id=\"AAAA") && front.contains("method=\"evm\", intent=\"charge\"")
        );
        let request = URL_SAFE_NO_PAD.decode(request.trim_end_matches('"')).unwrap();
        let token = Address::repeat_byte(0xaa);
        let payee = Address::repeat_byte(0xbb);
        assert_eq!(
            String::from_utf8(request).unwrap(),
            format!(
                r#"{{"amount":"7","currency":"{token}","methodDetails":{{"chainId":40204,"credentialTypes":["authorization"],"decimals":18}},"recipient":"{payee}"}}"#
            )
        );
        for realm in ["a\"b", "a\\b", "a\r\nb", "ä"] {
            assert!(Challenge { realm, ..challenge.clone() }.to_header().is_none(), "{realm:?}");
        }
    }

    #[test]
    fn what_was_signed_for_a_challenge_asks_a_facilitator_what_x402_would() {
        let credential = read(&sent()).unwrap();
        let Shown::Authorization(charge) = credential.shown else { panic!("it was signed") };
        let header = charge.to_x402(offered).unwrap();
        let question = header.question(&offered(Amount(U256::from(7)))).unwrap();
        let request = Request::parse(&question).unwrap();
        assert_eq!(request.requirements.amount(), U256::from(7));
        assert_eq!(request.requirements.quote_id(), Some(quote().as_str()));
        assert_eq!(request.signed.payer(), Address::repeat_byte(1));
    }

    #[test]
    fn a_credential_for_another_challenge_or_with_two_readings_is_none() {
        let with = |pointer: &str, value: Value| {
            let mut sent = sent();
            *sent.pointer_mut(pointer).unwrap() = value;
            read(&sent)
        };
        assert!(with("/payload/value", json!("7")).is_ok());
        for (pointer, value) in [
            ("/challenge/realm", json!("b.example")),
            ("/challenge/id", json!("B".repeat(264))),
            ("/challenge/id", json!("x")),
            ("/challenge/intent", json!("session")),
            ("/challenge/method", json!("tempo")),
            ("/challenge/method", json!("salt402")),
            ("/payload/type", json!("permit2")),
            ("/payload/type", json!("hash")),
            ("/payload/nonce", json!(B256::ZERO)),
            ("/payload/value", json!(7)),
            ("/payload/from", json!("0x01")),
            ("/payload", json!([])),
            ("/challenge", json!(null)),
        ] {
            assert!(with(pointer, value.clone()).is_err(), "{pointer} {value}");
        }
        let twice = sent().to_string().replacen("\"value\":", "\"value\":\"8\",\"value\":", 1);
        assert!(Credential::read(&URL_SAFE_NO_PAD.encode(twice)).is_err());
        assert_eq!(Credential::read("*"), Err(CredentialError::Base64));
        assert_eq!(Credential::read(&"A".repeat(LONGEST_SIGNED + 1)), Err(CredentialError::TooLong));
    }

    #[test]
    fn a_scheme_is_found_by_its_name_alone() {
        assert_eq!(credential_of("Payment abc"), Some("abc"));
        assert_eq!(credential_of("payment  abc "), Some("abc"));
        for other in ["Bearer abc", "Payments abc", "Payment", "Basic Payment abc", ""] {
            assert_eq!(credential_of(other), None, "{other}");
        }
    }
}
