//! Version 1 of x402 between a server and a payer: what stands in the body of a 402, and the header of the paid request.
//!
//! Its clients know some fifteen networks by name, and one that they do not know makes the whole offer unreadable to them. So
//! only chains with a name are offered, and only what is moved by EIP-3009.

use alloy_primitives::{Address, U256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::values::asset::checked_address;
use crate::values::money::Amount;
use crate::wire::object::{self, Object};
use crate::x402::payload::SchemePayload;
use crate::x402::required::{LONGEST_SIGNED, Offered, SignedHeader, SignedHeaderError, SoldResource};
use crate::x402::text::Text;
use crate::x402::{EIP3009, EXACT, v1_chain, v1_name};

/// The header of a request with what its payer signed.
pub const PAYMENT_HEADER: &str = "x-payment";
/// The header of an answer with what became of the payment.
pub const PAYMENT_RESPONSE_HEADER: &str = "x-payment-response";

/// The longest name of a network, in bytes.
const LONGEST_NAME: usize = 64;

/// The most digits of a price that version 1's clients read.
const MOST_DIGITS: usize = 18;

/// The members that a 402's body has for version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequiredV1 {
    /// The version of x402: 1.
    x402_version: u8,
    /// The ways to pay.
    accepts: [OfferedV1; 1],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct OfferedV1 {
    scheme: &'static str,
    network: &'static str,
    max_amount_required: Amount,
    resource: String,
    description: String,
    mime_type: &'static str,
    #[serde(with = "checked_address")]
    pay_to: Address,
    max_timeout_seconds: u64,
    #[serde(with = "checked_address")]
    asset: Address,
    extra: DomainV1,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct DomainV1 {
    name: String,
    version: String,
}

impl RequiredV1 {
    /// The same offer in version 1; `None` where its clients could not read it.
    pub fn of(offered: &Offered, resource: &SoldResource<'_>) -> Option<Self> {
        let readable = offered.scheme == EXACT
            && offered.extra.asset_transfer_method == EIP3009
            && offered.amount.to_string().len() <= MOST_DIGITS;
        let network = v1_name(offered.network).filter(|_| readable)?;
        let offered = OfferedV1 {
            scheme: EXACT,
            network,
            max_amount_required: offered.amount,
            resource: resource.url.clone(),
            description: resource.description.to_owned(),
            mime_type: resource.mime_type,
            pay_to: offered.pay_to,
            max_timeout_seconds: offered.max_timeout_seconds,
            asset: offered.asset,
            extra: DomainV1 { name: offered.extra.name.clone(), version: offered.extra.version.clone() },
        };
        Some(Self { x402_version: 1, accepts: [offered] })
    }
}

/// What a payer of version 1 sends with a request. Nobody has judged its signature yet.
#[derive(Clone, PartialEq, Eq)]
pub struct PaymentV1 {
    network: String,
    value: U256,
    payload: String,
}

/// Without what was signed, which belongs into no log.
impl std::fmt::Debug for PaymentV1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaymentV1").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent<'a> {
    x402_version: u8,
    #[serde(borrow)]
    scheme: Text<'a>,
    #[serde(borrow)]
    network: Text<'a>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl PaymentV1 {
    /// Reads a header's value.
    ///
    /// # Errors
    /// See [`SignedHeaderError`]. Another scheme than `exact`, and another version, are errors too.
    pub fn read(value: &str) -> Result<Self, SignedHeaderError> {
        if value.len() > LONGEST_SIGNED {
            return Err(SignedHeaderError::TooLong);
        }
        Self::of_json(&STANDARD.decode(value).map_err(|_| SignedHeaderError::Base64)?)
    }

    /// The same of what stands in the base64.
    ///
    /// # Errors
    /// [`SignedHeaderError::Json`].
    pub(crate) fn of_json(bytes: &[u8]) -> Result<Self, SignedHeaderError> {
        let json = |error: serde_json::Error| SignedHeaderError::Json(error.to_string());
        let Object(sent) = serde_json::from_slice::<Object<Sent<'_>>>(bytes).map_err(json)?;
        if sent.x402_version != 1 {
            let what = "X-PAYMENT is version 1 of x402: send x402Version 1, or the header PAYMENT-SIGNATURE";
            return Err(SignedHeaderError::Json(what.into()));
        }
        if sent.scheme.0 != EXACT {
            return Err(SignedHeaderError::Json("the scheme is \"exact\"".into()));
        }
        let payload: SchemePayload =
            object::deserialize(&mut serde_json::Deserializer::from_str(sent.payload.get())).map_err(json)?;
        let Some(authorization) = payload.authorization.filter(|_| payload.permit2_authorization.is_none())
        else {
            return Err(SignedHeaderError::Json("payload.authorization is needed, and no other".into()));
        };
        if sent.network.0.len() > LONGEST_NAME {
            return Err(SignedHeaderError::Json("the network is a name".into()));
        }
        Ok(Self {
            network: sent.network.0.into_owned(),
            value: authorization.value,
            payload: sent.payload.get().to_owned(),
        })
    }

    /// The network, as its payer names it.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The same as a payer of version 2 sends it. `offered` is what is asked for the amount that was signed; `name` is the network's
    /// name here, which is taken beside the one that version 1 has.
    ///
    /// # Errors
    /// It is for another network, or cannot be written as JSON.
    pub fn to_v2(
        &self,
        name: &str,
        offered: impl FnOnce(Amount) -> Offered,
    ) -> Result<SignedHeader, SignedHeaderError> {
        let offered = offered(Amount(self.value));
        // A name of version 1 is that chain's, whatever a network is called here.
        let is_named = match v1_chain(&self.network) {
            Some(chain) => chain == offered.network,
            None => self.network == name,
        };
        if !is_named {
            let name = v1_name(offered.network).unwrap_or(name);
            return Err(SignedHeaderError::Json(format!("the network is {name:?}")));
        }
        SignedHeader::of(&offered, &self.payload)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ChainId;
    use crate::x402::request::Request;
    use crate::x402::required::OfferedExtra;

    fn offered(chain: u64, amount: u64) -> Offered {
        Offered {
            scheme: EXACT,
            network: ChainId::new(chain).unwrap(),
            amount: Amount(U256::from(amount)),
            asset: Address::repeat_byte(0xaa),
            pay_to: Address::repeat_byte(0xbb),
            max_timeout_seconds: 300,
            extra: OfferedExtra {
                name: "Salt".into(),
                version: "1".into(),
                asset_transfer_method: EIP3009,
                primary_type: None,
                facilitator_address: None,
                quote_id: None,
            },
        }
    }

    fn sent() -> Value {
        json!({
            "x402Version": 1, "scheme": "exact", "network": "base-sepolia",
            "payload": {
                "signature": format!("0x{}", "11".repeat(65)),
                "authorization": {
                    "from": Address::repeat_byte(1).to_string(), "to": Address::repeat_byte(0xbb).to_string(),
                    "value": "7", "validAfter": "0", "validBefore": "99", "nonce": format!("0x{}", "22".repeat(32)),
                },
            },
        })
    }

    fn header(value: &Value) -> String {
        STANDARD.encode(value.to_string())
    }

    #[test]
    fn an_offer_is_written_for_chains_with_a_name_and_prices_that_its_clients_read() {
        let resource = SoldResource {
            url: "https://a.example/x".into(),
            description: "x",
            mime_type: "application/json",
        };
        let written = RequiredV1::of(&offered(84532, 999_999_999_999_999_999), &resource).unwrap();
        let written = serde_json::to_value(written).unwrap();
        assert_eq!(written["x402Version"], 1);
        let way = &written["accepts"][0];
        assert_eq!(way["network"], "base-sepolia");
        assert_eq!(way["maxAmountRequired"], "999999999999999999");
        assert_eq!(way["resource"], "https://a.example/x");
        assert_eq!(way["extra"], json!({ "name": "Salt", "version": "1" }));
        assert!(RequiredV1::of(&offered(84532, 1_000_000_000_000_000_000), &resource).is_none());
        assert!(RequiredV1::of(&offered(40204, 1), &resource).is_none());
    }

    #[test]
    fn what_was_sent_asks_a_facilitator_what_version_2_would() {
        let read = PaymentV1::read(&header(&sent())).unwrap();
        let asked = |amount: Amount| Offered { amount, ..offered(84532, 0) };
        let same = read.to_v2("local", asked).unwrap();
        let question = same.question(&asked(Amount(U256::from(7)))).unwrap();
        let request = Request::parse(&question).unwrap();
        assert_eq!(request.requirements.amount(), U256::from(7));
        assert_eq!(request.signed.payer(), Address::repeat_byte(1));
        // The operator may ask for something else later. What the payer signed is the same.
        let later = |amount: Amount| Offered { amount, max_timeout_seconds: 90, ..offered(84532, 0) };
        assert!(read.to_v2("local", later).unwrap().is_in(&question));
        let mut other = sent();
        other["payload"]["authorization"]["nonce"] = json!(format!("0x{}", "33".repeat(32)));
        assert!(!PaymentV1::read(&header(&other)).unwrap().to_v2("local", asked).unwrap().is_in(&question));
        let at = |read: &PaymentV1, name, chain| {
            read.to_v2(name, |amount| Offered { amount, ..offered(chain, 0) })
        };
        assert!(at(&read, "base", 8453).is_err());
        assert!(at(&read, "citrate", 40204).is_err());
        assert!(at(&read, "base-sepolia", 40204).is_err(), "a name of version 1 is that chain's");
        let mut named = sent();
        named["network"] = json!("citrate");
        let named = PaymentV1::read(&header(&named)).unwrap();
        assert!(at(&named, "citrate", 40204).is_ok());
        assert!(at(&named, "local", 40204).is_err());
    }

    #[test]
    fn what_has_two_readings_or_none_is_refused() {
        let without = |change: fn(&mut Value)| {
            let mut value = sent();
            change(&mut value);
            PaymentV1::read(&header(&value))
        };
        assert!(without(|_| ()).is_ok());
        assert!(without(|value| value["x402Version"] = json!(2)).is_err());
        assert!(without(|value| value["scheme"] = json!("upto")).is_err());
        assert!(without(|value| value["payload"]["authorization"] = Value::Null).is_err());
        assert!(without(|value| value["payload"]["permit2Authorization"] = json!({})).is_err());
        assert!(without(|value| value["payload"] = json!([])).is_err());
        let mut text = sent().to_string();
        while text.len().is_multiple_of(3) {
            text.push(' ');
        }
        let padded = STANDARD.encode(&text);
        assert!(PaymentV1::read(&padded).is_ok());
        assert!(PaymentV1::read(padded.trim_end_matches('=')).is_err());
        assert_eq!(PaymentV1::read(&"A".repeat(LONGEST_SIGNED + 1)), Err(SignedHeaderError::TooLong));
        let twice = sent().to_string().replacen('{', "{\"scheme\":\"exact\",", 1);
        assert!(PaymentV1::read(&STANDARD.encode(twice)).is_err());
    }
}
