//! What a facilitator is asked: `POST /verify` and `POST /settle` have the same body.

use alloy_primitives::Bytes;
use serde::Deserialize;

use crate::proof::nonce::SignedNonce;
use crate::wire::object::{self, Object};
use crate::x402::payload::{Eip3009, Extensions, Permit2, PermitTexts, SchemePayload};
use crate::x402::requirements::Requirements;
use crate::x402::text::Text;

/// The version of x402.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Networks have names.
    V1,
    /// Networks are CAIP-2.
    V2,
}

/// A request to verify or to settle. It is well formed; nothing of it was judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<'a> {
    /// The version.
    pub version: Version,
    /// What the payer says it accepted. In version 1 only its scheme and network.
    pub accepted: Accepted<'a>,
    /// What was signed.
    pub signed: Signed,
    /// The signature.
    pub signature: Bytes,
    /// A permit of the token for Permit2 that was sent along.
    pub permit: Option<PermitTexts<'a>>,
    /// What the resource server asks for.
    pub requirements: Requirements<'a>,
}

/// What the payer says it accepted.
#[derive(Clone, Debug, PartialEq)]
pub enum Accepted<'a> {
    /// The whole requirements, which version 2 echoes.
    Requirements(Box<Requirements<'a>>),
    /// Scheme and network, which are all of it in version 1.
    Kind {
        /// The scheme.
        scheme: std::borrow::Cow<'a, str>,
        /// The network's name.
        network: std::borrow::Cow<'a, str>,
    },
}

impl Accepted<'_> {
    /// The scheme.
    pub fn scheme(&self) -> &str {
        match self {
            Self::Requirements(requirements) => requirements.scheme(),
            Self::Kind { scheme, .. } => scheme,
        }
    }

    /// The network.
    pub fn network(&self) -> &str {
        match self {
            Self::Requirements(requirements) => requirements.network(),
            Self::Kind { network, .. } => network,
        }
    }
}

/// What was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// An EIP-3009 authorization.
    Eip3009(Eip3009),
    /// A Permit2 permit with x402's witness.
    Permit2(Permit2),
}

impl Signed {
    /// The payer.
    pub fn payer(&self) -> alloy_primitives::Address {
        match self {
            Self::Eip3009(authorization) => authorization.from,
            Self::Permit2(permit) => permit.from,
        }
    }
}

/// Why a body is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is not the JSON that is expected.
    #[error("the body was not understood: {0}")]
    Json(String),
    /// Another version than 1 or 2, or two different ones.
    #[error("x402Version is 1 or 2, and the same in the body and in paymentPayload")]
    Version,
    /// A member that this version needs is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A member is there that can be read in two ways.
    #[error("{0}")]
    Ambiguous(&'static str),
    /// A text is empty or has another form.
    #[error("{0}")]
    Form(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(default)]
    x402_version: Option<u64>,
    #[serde(borrow, deserialize_with = "object::deserialize")]
    payment_payload: Payload<'a>,
    #[serde(borrow, deserialize_with = "object::deserialize")]
    payment_requirements: Requirements<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    x402_version: u64,
    #[serde(borrow, default, deserialize_with = "object::optional")]
    accepted: Option<Requirements<'a>>,
    #[serde(borrow, default)]
    scheme: Option<Text<'a>>,
    #[serde(borrow, default)]
    network: Option<Text<'a>>,
    #[serde(deserialize_with = "object::deserialize")]
    payload: SchemePayload,
    #[serde(borrow, default, deserialize_with = "object::optional")]
    extensions: Option<Extensions<'a>>,
}

impl<'a> Request<'a> {
    /// Parses a body. Numbers are numbers and amounts are strings, as x402's own schemas have them; a member that is
    /// given twice is refused; a null member is none; members that are not known are ignored.
    ///
    /// # Errors
    /// See [`RequestError`]. Its text says what to change, and holds nothing that is secret.
    pub fn parse(body: &'a [u8]) -> Result<Self, RequestError> {
        let Object(body) = serde_json::from_slice::<Object<Body<'a>>>(body)
            .map_err(|error| RequestError::Json(error.to_string()))?;
        let payload = body.payment_payload;
        if body.x402_version.is_some_and(|version| version != payload.x402_version) {
            return Err(RequestError::Version);
        }
        let requirements = body.payment_requirements;
        let (version, accepted) = match payload.x402_version {
            1 => {
                check(&requirements, Version::V1)?;
                let scheme = payload.scheme.ok_or(RequestError::Missing("paymentPayload.scheme"))?.0;
                let network = payload.network.ok_or(RequestError::Missing("paymentPayload.network"))?.0;
                (Version::V1, Accepted::Kind { scheme, network })
            }
            2 => {
                check(&requirements, Version::V2)?;
                let accepted = payload.accepted.ok_or(RequestError::Missing("paymentPayload.accepted"))?;
                check(&accepted, Version::V2)?;
                (Version::V2, Accepted::Requirements(Box::new(accepted)))
            }
            _ => return Err(RequestError::Version),
        };
        let SchemePayload { signature, authorization, permit2_authorization } = payload.payload;
        let signed = match (authorization, permit2_authorization) {
            (Some(authorization), None) => Signed::Eip3009(authorization),
            (None, Some(permit)) => Signed::Permit2(permit),
            (None, None) => {
                let needed = "paymentPayload.payload.authorization or .permit2Authorization";
                return Err(RequestError::Missing(needed));
            }
            (Some(_), Some(_)) => {
                let both =
                    "paymentPayload.payload has authorization and permit2Authorization: send one of them";
                return Err(RequestError::Ambiguous(both));
            }
        };
        let permit = payload.extensions.and_then(|all| all.eip2612_gas_sponsoring).and_then(|it| it.info);
        let permit = permit.filter(PermitTexts::is_whole);
        Ok(Self { version, accepted, signed, signature, permit, requirements })
    }
}

impl Request<'_> {
    /// The nonce that was signed, which the chain takes once.
    pub fn signed_nonce(&self) -> SignedNonce {
        match &self.signed {
            Signed::Eip3009(authorization) => SignedNonce::Eip3009 {
                token: self.requirements.asset,
                authorizer: authorization.from,
                nonce: authorization.nonce,
            },
            Signed::Permit2(permit) => SignedNonce::Permit2 { owner: permit.from, nonce: permit.nonce },
        }
    }
}

fn check(requirements: &Requirements<'_>, version: Version) -> Result<(), RequestError> {
    if requirements.scheme().is_empty() {
        return Err(RequestError::Form("scheme is a text that is not empty"));
    }
    match version {
        Version::V1 if requirements.max_amount_required.is_none() => {
            Err(RequestError::Missing("maxAmountRequired"))
        }
        Version::V2 if requirements.amount.is_none() => Err(RequestError::Missing("amount")),
        Version::V2 if !requirements.network().contains(':') => {
            Err(RequestError::Form("network is CAIP-2, such as \"eip155:8453\""))
        }
        // Of another version, and perhaps another amount.
        Version::V1 if requirements.amount.is_some() => {
            Err(RequestError::Ambiguous("amount is of version 2: send maxAmountRequired alone"))
        }
        Version::V2 if requirements.max_amount_required.is_some() => {
            Err(RequestError::Ambiguous("maxAmountRequired is of version 1: send amount alone"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const PAYER: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    const PAYEE: &str = "0x90f79bf6eb2c4f870365e785982e1f101e93b906";
    const TOKEN: &str = "0xaa918302b94a4b0e75e01e019cc6b819b4f7c906";

    fn requirements() -> Value {
        json!({
            "scheme": "exact", "network": "eip155:40204", "amount": "1000", "asset": TOKEN, "payTo": PAYEE,
            "maxTimeoutSeconds": 300, "extra": {"name": "Wrapped SALT", "version": "1", "other": [1, {"a": null}]}
        })
    }

    fn body() -> Value {
        json!({
            "x402Version": 2,
            "paymentPayload": {
                "x402Version": 2,
                "resource": {"url": "http://localhost/"},
                "accepted": requirements(),
                "payload": {
                    "signature": format!("0x{}", "11".repeat(65)),
                    "authorization": {
                        "from": PAYER, "to": PAYEE, "value": "1000", "validAfter": "0", "validBefore": "1800000000",
                        "nonce": format!("0x{}", "22".repeat(32))
                    }
                },
                "extensions": null
            },
            "paymentRequirements": requirements()
        })
    }

    fn parse(body: &Value) -> Result<(), RequestError> {
        Request::parse(body.to_string().as_bytes()).map(drop)
    }

    /// The body with the value at a path replaced, or removed if it is `None`.
    fn with(path: &str, value: Option<Value>) -> Value {
        let mut whole = body();
        let (parent, name) = path.rsplit_once('/').unwrap();
        let object = whole.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => drop(object.insert(name.to_owned(), value)),
            None => drop(object.remove(name)),
        }
        whole
    }

    #[test]
    fn a_request_says_what_was_signed_and_what_is_asked() {
        let text = body().to_string();
        let request = Request::parse(text.as_bytes()).unwrap();
        assert_eq!(request.version, Version::V2);
        let Signed::Eip3009(authorization) = &request.signed else { panic!("{:?}", request.signed) };
        assert_eq!(authorization.from, PAYER.parse::<alloy_primitives::Address>().unwrap());
        assert_eq!(authorization.valid_before, alloy_primitives::U256::from(1_800_000_000));
        assert_eq!(request.signature.len(), 65);
        assert_eq!(request.requirements.domain_name(), Some("Wrapped SALT"));
        let Accepted::Requirements(accepted) = &request.accepted else { panic!() };
        assert_eq!(accepted.difference(&request.requirements), None);
    }

    #[test]
    fn what_concerns_money_must_be_there_once_and_in_one_form() {
        assert_eq!(parse(&body()), Ok(()));
        let authorization = "/paymentPayload/payload/authorization";
        let bad_numbers = [
            json!(1000),
            json!("0x10"),
            json!("01"),
            json!(""),
            json!("-1"),
            json!("1.0"),
            json!(" 1"),
            json!(null),
        ];
        for member in ["value", "validAfter", "validBefore"] {
            for bad in &bad_numbers {
                let path = format!("{authorization}/{member}");
                assert!(parse(&with(&path, Some(bad.clone()))).is_err(), "{path} {bad}");
            }
        }
        let wrong_checksum = PAYER.replace("3C44", "3c44");
        for path in [
            &*format!("{authorization}/from"),
            &*format!("{authorization}/to"),
            "/paymentRequirements/payTo",
            "/paymentPayload/accepted/asset",
        ] {
            for bad in [
                json!("0x12"),
                json!(wrong_checksum),
                json!(PAYER.trim_start_matches("0x")),
                json!(5),
                json!(null),
            ] {
                assert!(parse(&with(path, Some(bad.clone()))).is_err(), "{path} {bad}");
            }
        }
        for bad in [
            json!("0x"),
            json!("0x1"),
            json!("11"),
            json!("0x0x11"),
            json!(format!("0x{}", "11".repeat(4097))),
            json!(null),
        ] {
            assert!(parse(&with("/paymentPayload/payload/signature", Some(bad.clone()))).is_err(), "{bad}");
        }
        for path in [
            "/paymentPayload/payload/signature",
            "/paymentPayload/payload",
            "/paymentPayload/accepted",
            "/paymentRequirements/amount",
            "/paymentRequirements/maxTimeoutSeconds",
            "/paymentPayload/x402Version",
        ] {
            assert!(parse(&with(path, None)).is_err(), "{path}");
        }
        for bad in [json!(0), json!(-1), json!("300"), json!(null)] {
            assert!(
                parse(&with("/paymentRequirements/maxTimeoutSeconds", Some(bad.clone()))).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn what_may_be_missing_may_be_null_and_what_is_unknown_is_ignored() {
        for path in [
            "/x402Version",
            "/paymentPayload/resource",
            "/paymentPayload/extensions",
            "/paymentRequirements/extra",
        ] {
            assert_eq!(parse(&with(path, None)), Ok(()), "{path}");
        }
        for path in [
            "/paymentPayload/extensions",
            "/paymentRequirements/extra",
            "/paymentRequirements/extra/name",
            "/x402Version",
        ] {
            assert_eq!(parse(&with(path, Some(Value::Null))), Ok(()), "{path}");
        }
        assert_eq!(parse(&with("/paymentRequirements/maxTimeoutSeconds", Some(json!(0.5)))), Ok(()));
        assert_eq!(parse(&with("/paymentPayload/payload/other", Some(json!({"deep": [[[1]]]})))), Ok(()));
    }

    #[test]
    fn versions_do_not_mix() {
        for (path, value) in [
            ("/x402Version", json!(1)),
            ("/paymentPayload/x402Version", json!(1)),
            ("/paymentPayload/x402Version", json!(3)),
            ("/paymentPayload/x402Version", json!("2")),
            ("/paymentRequirements/maxAmountRequired", json!("5")),
            ("/paymentRequirements/network", json!("base")),
        ] {
            assert!(parse(&with(path, Some(value.clone()))).is_err(), "{path} {value}");
        }
        let mut first = body();
        first["x402Version"] = json!(1);
        first["paymentPayload"] = json!({
            "x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": body()["paymentPayload"]["payload"]
        });
        first["paymentRequirements"] = json!({
            "scheme": "exact", "network": "base-sepolia", "maxAmountRequired": "1000", "asset": TOKEN, "payTo": PAYEE,
            "maxTimeoutSeconds": 60, "resource": "http://localhost/", "description": "", "mimeType": ""
        });
        let text = first.to_string();
        let request = Request::parse(text.as_bytes()).unwrap();
        assert_eq!(
            (request.version, request.requirements.amount()),
            (Version::V1, alloy_primitives::U256::from(1000))
        );
        assert_eq!(request.accepted.network(), "base-sepolia");
    }

    #[test]
    fn one_member_given_twice_and_two_ways_to_pay_are_refused() {
        let text = body().to_string();
        for (once, twice) in [
            ("\"value\":\"1000\"", "\"value\":\"1000\",\"value\":\"1\""),
            ("\"scheme\":\"exact\"", "\"scheme\":\"exact\",\"scheme\":\"exact\""),
            ("\"version\":\"1\"", "\"version\":\"1\",\"version\":\"2\""),
        ] {
            let doubled = text.replacen(once, twice, 1);
            assert_ne!(doubled, text);
            assert!(matches!(Request::parse(doubled.as_bytes()), Err(RequestError::Json(_))), "{twice}");
        }
        let permit = json!({
            "from": PAYER, "permitted": {"token": TOKEN, "amount": "1"}, "spender": TOKEN, "nonce": "1", "deadline": "1",
            "witness": {"to": PAYEE, "validAfter": "0"}
        });
        let both = with("/paymentPayload/payload/permit2Authorization", Some(permit));
        assert!(matches!(parse(&both), Err(RequestError::Ambiguous(_))));
        let list = text.replacen(&body()["paymentRequirements"].to_string(), "[]", 1);
        assert!(Request::parse(list.as_bytes()).is_err());
    }

    #[test]
    fn what_was_accepted_is_compared_in_all_that_concerns_money() {
        for (member, value) in [
            ("scheme", json!("upto")),
            ("network", json!("eip155:1")),
            ("asset", json!(PAYEE)),
            ("payTo", json!(TOKEN)),
            ("extra", json!({"name": "Other", "version": "1"})),
            ("extra", json!(null)),
        ] {
            let changed = with(&format!("/paymentPayload/accepted/{member}"), Some(value));
            let text = changed.to_string();
            let request = Request::parse(text.as_bytes()).unwrap();
            let Accepted::Requirements(accepted) = &request.accepted else { panic!() };
            let found = accepted.difference(&request.requirements).unwrap();
            assert!(found.starts_with(member), "{member}: {found}");
        }
    }

    #[test]
    fn a_permit_counts_if_a_payer_filled_it_in() {
        let info = json!({
            "from": PAYER, "asset": TOKEN, "spender": PAYEE, "amount": "1", "nonce": "0", "deadline": "9",
            "signature": format!("0x{}", "33".repeat(65)), "version": "1"
        });
        let read = |info: &Value| {
            let text =
                with("/paymentPayload/extensions", Some(json!({"eip2612GasSponsoring": {"info": info}})))
                    .to_string();
            Request::parse(text.as_bytes()).unwrap().permit.map(|permit| permit.read().is_some())
        };
        assert_eq!(read(&info), Some(true));
        let mut offered = info.clone();
        offered.as_object_mut().unwrap().remove("from");
        assert_eq!(read(&offered), None, "a server's offer, echoed");
        for (member, bad) in [("amount", "1e3"), ("signature", "0x33"), ("version", "1."), ("from", "0x1")] {
            let mut wrong = info.clone();
            wrong[member] = json!(bad);
            assert_eq!(read(&wrong), Some(false), "{member}");
        }
    }

    proptest! {
        /// Whatever comes is read or refused, and whoever changes one byte of it does no more.
        #[test]
        fn nothing_that_arrives_makes_it_panic(place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let mut text = body().to_string().into_bytes();
            let at = place.index(text.len());
            text[at] = byte;
            let _ = Request::parse(&text);
            text.truncate(cut.index(text.len()));
            prop_assert!(Request::parse(&text).is_err());
        }

        #[test]
        fn amounts_survive(value in any::<[u64; 4]>()) {
            let amount = alloy_primitives::U256::from_limbs(value);
            let text = with("/paymentRequirements/amount", Some(json!(amount.to_string()))).to_string();
            prop_assert_eq!(Request::parse(text.as_bytes()).unwrap().requirements.amount(), amount);
        }
    }
}
