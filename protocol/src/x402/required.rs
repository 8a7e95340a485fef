//! What a server asks of a payer in version 2, and what the payer sends back: the headers of a 402 and of the paid request.
//!
//! Clients of x402 read some of it strictly: no member may be null, the base64 must be padded, and the resource's URL absolute.

use alloy_primitives::Address;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::quote::key::QuoteId;
use crate::values::asset::{checked_address, maybe_checked_address};
use crate::values::money::Amount;
use crate::values::network::ChainId;
use crate::wire::object::{self, Object};
use crate::x402::requirements::Requirements;

/// The header of a 402 with what is asked.
pub const REQUIRED_HEADER: &str = "payment-required";
/// The header of a request with what its payer signed.
pub const SIGNATURE_HEADER: &str = "payment-signature";
/// The header of an answer with what became of the payment.
pub const RESPONSE_HEADER: &str = "payment-response";

/// The longest header with a signed payment that is read, in characters. The offer comes back in it.
pub const LONGEST_SIGNED: usize = 24 * 1024;

/// What is asked, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired<'a> {
    /// The version of x402: 2.
    pub x402_version: u8,
    /// Why the request is not served, for people.
    pub error: &'a str,
    /// What is sold.
    pub resource: SoldResource<'a>,
    /// The ways to pay, the best first.
    pub accepts: Vec<Offered>,
}

/// What is sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SoldResource<'a> {
    /// Its absolute URL.
    pub url: String,
    /// What it is, for people.
    pub description: &'a str,
    /// The media type of its answer.
    pub mime_type: &'static str,
}

/// One way to pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Offered {
    /// The scheme.
    pub scheme: &'static str,
    /// The chain.
    pub network: ChainId,
    /// The price in base units of the token.
    pub amount: Amount,
    /// The token.
    #[serde(with = "checked_address")]
    pub asset: Address,
    /// The payee.
    #[serde(with = "checked_address")]
    pub pay_to: Address,
    /// For how long what is signed must be good, in seconds.
    pub max_timeout_seconds: u64,
    /// What the scheme needs besides.
    pub extra: OfferedExtra,
}

/// What the scheme needs besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferedExtra {
    /// The name in the token's EIP-712 domain.
    pub name: String,
    /// The version in it.
    pub version: String,
    /// How the token is moved.
    pub asset_transfer_method: &'static str,
    /// What is signed. Without it thirdweb's client asks a server of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_type: Option<&'static str>,
    /// The account that settles what is signed for `upto`, and alone may.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_checked_address::serialize")]
    pub facilitator_address: Option<Address>,
    /// The quote that the price is of. Clients send it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote_id: Option<QuoteId>,
}

impl PaymentRequired<'_> {
    /// The header's value.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn to_header(&self) -> Result<String, serde_json::Error> {
        to_header(self)
    }
}

/// A value as JSON in padded base64, as x402's headers have it.
///
/// # Errors
/// It cannot be written as JSON.
pub fn to_header<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    serde_json::to_vec(value).map(|json| STANDARD.encode(json))
}

/// Why a header holds no signed payment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedHeaderError {
    /// It is too long.
    #[error("it has more than {LONGEST_SIGNED} characters")]
    TooLong,
    /// It is no base64.
    #[error("it is JSON in base64 with padding, as x402's clients send it")]
    Base64,
    /// It is not the JSON that is expected.
    #[error("its JSON was not understood: {0}")]
    Json(String),
}

/// What a payer sends with a request: JSON whose signature nobody has judged yet.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedHeader {
    payload: Vec<u8>,
    /// Whether what was accepted was named here, and not by its payer.
    is_named_here: bool,
}

/// Without what was signed, which belongs into no log.
impl std::fmt::Debug for SignedHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedHeader").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow, deserialize_with = "object::deserialize")]
    accepted: Requirements<'a>,
}

/// The same, written here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    x402_version: u8,
    accepted: &'a Offered,
    payload: &'a RawValue,
}

/// What a facilitator is asked.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    x402_version: u8,
    payment_payload: &'a RawValue,
    payment_requirements: &'a Offered,
}

/// The same body, to settle this amount: under `upto` the requirements say what is charged.
///
/// # Errors
/// [`SignedHeaderError::Json`], never of a body that [`SignedHeader::question`] made.
pub fn question_over(question: &[u8], amount: Amount) -> Result<Vec<u8>, SignedHeaderError> {
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        x402_version: u8,
        #[serde(borrow)]
        payment_payload: &'a RawValue,
        payment_requirements: serde_json::Map<String, serde_json::Value>,
    }
    let json = |error: serde_json::Error| SignedHeaderError::Json(error.to_string());
    let mut body: Body<'_> = serde_json::from_slice(question).map_err(json)?;
    body.payment_requirements.insert("amount".to_owned(), amount.to_string().into());
    serde_json::to_vec(&body).map_err(json)
}

impl SignedHeader {
    /// Reads a header's value.
    ///
    /// # Errors
    /// See [`SignedHeaderError`].
    pub fn read(value: &str) -> Result<Self, SignedHeaderError> {
        if value.len() > LONGEST_SIGNED {
            return Err(SignedHeaderError::TooLong);
        }
        Self::of_json(STANDARD.decode(value).map_err(|_| SignedHeaderError::Base64)?)
    }

    /// The same of what stands in the base64.
    ///
    /// # Errors
    /// [`SignedHeaderError::Json`].
    pub(crate) fn of_json(payload: Vec<u8>) -> Result<Self, SignedHeaderError> {
        let this = Self { payload, is_named_here: false };
        this.accepted()?;
        Ok(this)
    }

    /// One that names what was accepted in its payer's place, with a payload as it was sent.
    ///
    /// # Errors
    /// The payload is no JSON.
    pub(crate) fn of(accepted: &Offered, payload: &str) -> Result<Self, SignedHeaderError> {
        let json = |error: serde_json::Error| SignedHeaderError::Json(error.to_string());
        let payload: &RawValue = serde_json::from_str(payload).map_err(json)?;
        let payload = serde_json::to_vec(&Written { x402_version: 2, accepted, payload }).map_err(json)?;
        Ok(Self { payload, is_named_here: true })
    }

    /// Whether what was accepted was named here, in its payer's place: of another dialect, whose headers say less.
    pub fn is_named_here(&self) -> bool {
        self.is_named_here
    }

    /// Which way to pay was accepted, as the payer says.
    ///
    /// # Errors
    /// [`SignedHeaderError::Json`], never of a header that was read.
    pub fn accepted(&self) -> Result<Requirements<'_>, SignedHeaderError> {
        let Object(payload) = serde_json::from_slice::<Object<Payload<'_>>>(&self.payload)
            .map_err(|error| SignedHeaderError::Json(error.to_string()))?;
        Ok(payload.accepted)
    }

    /// The body in which a facilitator is asked to verify or to settle it.
    ///
    /// # Errors
    /// [`SignedHeaderError::Json`], never of a header that was read.
    pub fn question(&self, asked: &Offered) -> Result<Vec<u8>, SignedHeaderError> {
        let json = |error: serde_json::Error| SignedHeaderError::Json(error.to_string());
        let payload = serde_json::from_slice(&self.payload).map_err(json)?;
        let question = Question { x402_version: 2, payment_payload: payload, payment_requirements: asked };
        serde_json::to_vec(&question).map_err(json)
    }

    /// Whether a question was made of it, whatever was asked for then.
    pub fn is_in(&self, question: &[u8]) -> bool {
        let own = serde_json::from_slice::<&RawValue>(&self.payload);
        let asked = serde_json::from_slice::<Shown<'_>>(question);
        let (Ok(own), Ok(asked)) = (own, asked) else { return false };
        own.get() == asked.payment_payload.get()
            || (self.is_named_here && same_but_for_names(own, asked.payment_payload))
    }
}

/// Whether two payloads have the same signature under the same quote, as it was sent.
fn same_but_for_names(own: &RawValue, asked: &RawValue) -> bool {
    let read = |payload: &RawValue| {
        let sent: Sent<'_> = serde_json::from_str(payload.get()).ok()?;
        Some((sent.payload.get().to_owned(), sent.accepted.quote_id().map(str::to_owned)))
    };
    let (own, asked) = (read(own), read(asked));
    own.is_some() && own == asked
}

#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow, deserialize_with = "object::deserialize")]
    accepted: Requirements<'a>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// The part of a question that its payer sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    #[serde(borrow)]
    payment_payload: &'a RawValue,
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;

    use super::*;
    use crate::x402::request::Request;

    fn offered() -> Offered {
        Offered {
            scheme: "exact",
            network: ChainId::new(40204).unwrap(),
            amount: Amount(U256::from(5)),
            asset: Address::repeat_byte(1),
            pay_to: Address::repeat_byte(2),
            max_timeout_seconds: 60,
            extra: OfferedExtra {
                name: "Wrapped SALT".into(),
                version: "1".into(),
                asset_transfer_method: "eip3009",
                primary_type: Some("TransferWithAuthorization"),
                facilitator_address: None,
                quote_id: None,
            },
        }
    }

    fn payload() -> serde_json::Value {
        serde_json::json!({
            "x402Version": 2,
            "accepted": offered(),
            "payload": {
                "signature": format!("0x{}", "11".repeat(65)),
                "authorization": {
                    "from": Address::repeat_byte(3), "to": Address::repeat_byte(2), "value": "5", "validAfter": "0",
                    "validBefore": "1800000000", "nonce": format!("0x{}", "22".repeat(32))
                }
            }
        })
    }

    #[test]
    fn what_is_asked_has_no_null_and_comes_back_as_a_question() {
        let resource = SoldResource {
            url: "http://a/b".into(),
            description: "an answer",
            mime_type: "application/json",
        };
        let required = PaymentRequired { x402_version: 2, error: "pay", resource, accepts: vec![offered()] };
        let header = required.to_header().unwrap();
        let json = String::from_utf8(STANDARD.decode(header).unwrap()).unwrap();
        assert!(!json.contains("null"), "{json}");
        let signed = SignedHeader::read(&to_header(&payload()).unwrap()).unwrap();
        assert_eq!(signed.accepted().unwrap().amount(), U256::from(5));
        let question = signed.question(&offered()).unwrap();
        let request = Request::parse(&question).unwrap();
        assert_eq!(request.signed.payer(), Address::repeat_byte(3));
        assert_eq!(request.requirements.domain_name(), Some("Wrapped SALT"));
        let less = question_over(&question, Amount(U256::from(3))).unwrap();
        let less = Request::parse(&less).unwrap();
        assert_eq!(less.requirements.amount(), U256::from(3));
        assert_eq!((&less.signed, &less.accepted), (&request.signed, &request.accepted));
        // The operator may ask for something else later. What the payer sent is the same.
        let other = Offered { max_timeout_seconds: 90, ..offered() };
        assert!(signed.is_in(&question) && signed.is_in(&signed.question(&other).unwrap()));
        let mut changed = payload();
        changed["accepted"]["extra"]["quoteId"] = "another".into();
        assert!(!SignedHeader::read(&to_header(&changed).unwrap()).unwrap().is_in(&question));
        assert!(!signed.is_in(b"") && !signed.is_in(b"{}"));
    }

    #[test]
    fn what_is_no_signed_payment_is_refused() {
        let good = to_header(&payload()).unwrap();
        assert!(SignedHeader::read(&good).is_ok());
        for bad in ["", "e30=", "bnVsbA==", "not base64", "e30", &good[1..], &format!("{good}{good}")] {
            assert!(SignedHeader::read(bad).is_err(), "{bad}");
        }
        let mut twice = payload().to_string();
        twice.insert_str(1, r#""accepted":{},"#);
        assert!(SignedHeader::read(&STANDARD.encode(twice)).is_err());
        assert_eq!(SignedHeader::read(&"A".repeat(LONGEST_SIGNED + 4)), Err(SignedHeaderError::TooLong));
    }
}
