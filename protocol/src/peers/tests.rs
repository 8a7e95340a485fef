//! What the peers' dialects write and read.

use alloy_primitives::{Address, B256, U256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::masken::{MaskenOffer, MaskenProof, MaskenProofError};
use super::nested_body::NestedWay;
use super::payment_headers::{self, PaymentHeaders, Sent};
use super::requirements_header::Requirements;
use super::x_payment::XPayment;
use crate::details::{Names, PaymentDetails, Resource};
use crate::quote::clock::QuoteClock;
use crate::quote::key::QuoteKey;
use crate::quote::terms::Terms;
use crate::x402::request::Request;
use crate::x402::required::{LONGEST_SIGNED, Offered, OfferedExtra, SignedHeaderError, SoldResource};
use crate::x402::{EIP3009, PERMIT2};
use crate::{Amount, Asset, ChainId, Proof, RequestDigest};

const PAYEE: Address = Address::repeat_byte(0xbb);

fn names() -> Names {
    Names { network: "citrate".into(), symbol: "Wrapped SALT".into(), decimals: 18 }
}

fn offered(amount: Amount) -> Offered {
    Offered {
        scheme: "exact",
        network: ChainId::CITRATE,
        amount,
        asset: Address::repeat_byte(0xaa),
        pay_to: PAYEE,
        max_timeout_seconds: 300,
        extra: OfferedExtra {
            name: "Wrapped SALT".into(),
            version: "1".into(),
            asset_transfer_method: EIP3009,
            primary_type: None,
            facilitator_address: None,
            quote_id: None,
        },
    }
}

fn price() -> Amount {
    Amount(U256::from(1_500_000_000_000_000_u64))
}

fn signed() -> Value {
    json!({
        "signature": format!("0x{}", "11".repeat(65)),
        "authorization": {
            "from": Address::repeat_byte(1).to_string(), "to": PAYEE.to_string(), "value": price().to_string(),
            "validAfter": "0", "validBefore": "1800000000", "nonce": B256::repeat_byte(2),
        },
    })
}

fn encoded(value: &Value) -> String {
    STANDARD.encode(value.to_string())
}

fn details() -> PaymentDetails {
    let terms = Terms {
        chain: ChainId::CITRATE,
        contract: Address::repeat_byte(0xc0),
        payee: PAYEE,
        asset: Asset::Native,
        amount: price(),
        request: RequestDigest::of("POST", "/v1/inference", b"{}"),
        service: None,
    };
    let quote = QuoteClock::living(300).derived(terms, 1_000_000);
    let id = QuoteKey::new(&[7; 32]).unwrap().seal(&quote);
    let resource = Resource {
        method: "POST".into(),
        path: "/v1/inference".into(),
        description: "an answer".into(),
        request_digest: terms.request,
    };
    PaymentDetails::new(&quote, id, Names { symbol: "SALT".into(), ..names() }, resource)
}

#[test]
fn the_headers_say_the_price_in_whole_units_and_what_its_names_stand_for() {
    let asked = payment_headers::asked(&offered(price()), &names()).unwrap();
    let payee = PAYEE.to_string();
    let token = Address::repeat_byte(0xaa);
    let domain =
        format!(r#"{{"name":"Wrapped SALT","version":"1","chainId":40204,"verifyingContract":"{token}"}}"#);
    let said = [
        ("x-payment-required", "true"),
        ("x-payment-amount", "0.0015"),
        ("x-payment-asset", "Wrapped SALT"),
        ("x-payment-network", "citrate"),
        ("x-payment-recipient", &payee),
        ("x-payment-domain", &domain),
    ];
    assert_eq!(asked, said.map(|(name, value)| (name, value.to_owned())));
    let mut permit = offered(price());
    permit.extra.asset_transfer_method = PERMIT2;
    assert_eq!(payment_headers::asked(&permit, &names()), None);
    assert_eq!(NestedWay::of(&permit, &names(), None), None);
}

#[test]
fn an_authorization_in_headers_asks_a_facilitator_what_version_2_would() {
    let signature = encoded(&signed());
    let nonce = B256::repeat_byte(2).to_string();
    let number = U256::from_be_bytes(B256::repeat_byte(2).0).to_string();
    let token = Address::repeat_byte(0xaa).to_string();
    let lower = token.to_ascii_lowercase();
    let sent = |amount, asset, nonce| Sent { signature: &signature, amount, asset, nonce };
    for (amount, asset, nonce) in [
        ("0.0015", "Wrapped SALT", &nonce),
        ("0.001500", token.as_str(), &number),
        ("0.0015", lower.as_str(), &nonce),
    ] {
        let read = PaymentHeaders::read(&sent(Some(amount), Some(asset), Some(nonce))).unwrap();
        let header = read.to_v2(&names(), offered).unwrap();
        let request = header.question(&offered(price())).unwrap();
        let request = Request::parse(&request).unwrap();
        assert_eq!(request.signed.payer(), Address::repeat_byte(1));
        assert_eq!(request.requirements.amount(), price().0);
    }
    for (amount, asset, nonce) in [
        (None, Some("Wrapped SALT"), Some(nonce.as_str())),
        (Some("0.0015"), None, Some(&nonce)),
        (Some("0.0015"), Some("Wrapped SALT"), None),
        (Some("0.0015"), Some("Wrapped SALT"), Some("12345")),
        (Some("0.0015"), Some("Wrapped SALT"), Some("")),
        (Some("0.0015"), Some("SALT"), Some(&nonce)),
        (Some("0.0015"), Some(&PAYEE.to_string()), Some(&nonce)),
        (Some("0.002"), Some("Wrapped SALT"), Some(&nonce)),
        (Some("1500000000000000"), Some("Wrapped SALT"), Some(&nonce)),
        (Some("1.5e-3"), Some("Wrapped SALT"), Some(&nonce)),
    ] {
        let read = PaymentHeaders::read(&sent(amount, asset, nonce));
        let read = read.and_then(|read| read.to_v2(&names(), offered));
        assert!(read.is_err(), "{amount:?} {asset:?} {nonce:?}");
    }
    let whole = |signature: &str| {
        let (amount, asset, nonce) = (Some("0.0015"), Some("Wrapped SALT"), Some(nonce.as_str()));
        PaymentHeaders::read(&Sent { signature, amount, asset, nonce })
    };
    assert_eq!(whole(&"A".repeat(LONGEST_SIGNED + 1)), Err(SignedHeaderError::TooLong));
    assert_eq!(whole(&format!("0x{}", "11".repeat(64))), Err(SignedHeaderError::Base64));
    let mut permit = signed();
    permit["permit2Authorization"] = json!({});
    assert!(whole(&encoded(&permit)).is_err());
    let twice = signed().to_string().replacen('{', "{\"signature\":\"0x12\",", 1);
    assert!(whole(&STANDARD.encode(twice)).is_err());
}

#[test]
fn the_requirements_say_the_same_in_flat_members_and_in_a_list() {
    let resource =
        SoldResource { url: "https://a.example/x".into(), description: "x", mime_type: "application/json" };
    let ways = [offered(price())];
    let asked = Requirements::of(&ways, &resource, &names(), Some("https://f.example")).unwrap();
    let header = STANDARD.decode(asked.to_header().unwrap()).unwrap();
    let said: Value = serde_json::from_slice(&header).unwrap();
    let way = &said["accepts"][0];
    assert_eq!((&said["scheme"], &said["network"]), (&way["scheme"], &way["network"]));
    assert_eq!((&said["payTo"], &said["price"]), (&way["payTo"], &json!("0.0015")));
    assert_eq!((&way["amount"], &way["maxAmount"]), (&json!(price()), &json!(price())));
    assert_eq!(said["facilitatorUrl"], "https://f.example");
    assert!(Requirements::of(&[], &resource, &names(), None).is_none());
    // What comes back is what was offered.
    let sent =
        json!({ "x402Version": 2, "resource": said["resource"], "accepted": way, "payload": signed() });
    let XPayment::Accepted(header) = XPayment::read(&encoded(&sent)).unwrap() else { panic!("{sent}") };
    let question = header.question(&offered(price())).unwrap();
    assert_eq!(Request::parse(&question).unwrap().requirements.amount(), price().0);
}

#[test]
fn x_payment_has_one_form_or_none() {
    let mut way = serde_json::to_value(offered(price())).unwrap();
    way["maxAmount"] = way["amount"].clone();
    let accepted = json!({ "x402Version": 2, "accepted": way, "payload": signed() });
    let first = json!({ "x402Version": 1, "scheme": "exact", "network": "citrate", "payload": signed() });
    assert!(matches!(XPayment::read(&encoded(&accepted)), Ok(XPayment::Accepted(_))));
    assert!(matches!(XPayment::read(&encoded(&first)), Ok(XPayment::V1(_))));
    let refused = |value: &Value, change: fn(&mut Value)| {
        let mut value = value.clone();
        change(&mut value);
        assert!(XPayment::read(&encoded(&value)).is_err(), "{value}");
    };
    refused(&accepted, |value| value["scheme"] = json!("exact"));
    refused(&accepted, |value| value["network"] = json!("citrate"));
    refused(&accepted, |value| value["x402Version"] = json!(1));
    refused(&accepted, |value| value["accepted"]["maxAmount"] = json!("1"));
    refused(&accepted, |value| value["accepted"]["amount"] = Value::Null);
    refused(&accepted, |value| value["accepted"]["amount"] = json!(5));
    refused(&accepted, |value| value["accepted"] = json!([]));
    refused(&first, |value| value["x402Version"] = json!(2));
    refused(&first, |value| value["network"] = json!("n".repeat(65)));
    for name in ["accepted", "payload", "x402Version"] {
        let twice = accepted.to_string().replacen('{', &format!("{{\"{name}\":{},", accepted[name]), 1);
        // The payload is read by whoever settles it, from the same bytes.
        let read = XPayment::read(&STANDARD.encode(&twice));
        let settled = read.and_then(|read| match read {
            XPayment::Accepted(header) => header.question(&offered(price())),
            XPayment::V1(_) => panic!("{twice}"),
        });
        let settled =
            settled.map_err(drop).and_then(|question| Request::parse(&question).map(drop).map_err(drop));
        assert!(settled.is_err(), "{name}");
    }
    assert_eq!(XPayment::read("e30"), Err(SignedHeaderError::Base64));
    assert_eq!(XPayment::read(&"A".repeat(LONGEST_SIGNED + 4)), Err(SignedHeaderError::TooLong));
}

#[test]
fn the_nested_body_names_asset_and_network_and_says_what_they_are() {
    let way = NestedWay::of(&offered(price()), &names(), Some("https://f.example")).unwrap();
    let way = serde_json::to_value(way).unwrap();
    assert_eq!((&way["network"], &way["asset"]), (&json!("citrate"), &json!("Wrapped SALT")));
    assert_eq!(way["maxAmountRequired"], "0.0015");
    let extra = &way["extra"];
    assert_eq!(extra["asset"], Address::repeat_byte(0xaa).to_string());
    assert_eq!((&extra["network"], &extra["decimals"]), (&json!("eip155:40204"), &json!(18)));
    assert_eq!(extra["facilitatorUrl"], "https://f.example");
    let without = serde_json::to_value(NestedWay::of(&offered(price()), &names(), None)).unwrap();
    assert!(without["extra"].get("facilitatorUrl").is_none());
}

#[test]
fn maskens_proof_names_what_its_offer_said() {
    let details = details();
    let offer = serde_json::to_value(MaskenOffer::of(&details, details.expires_at - 120)).unwrap();
    assert_eq!((&offer["amount"], &offer["ttl"]), (&json!("0.0015"), &json!(120)));
    assert_eq!(MaskenOffer::of(&details, u64::MAX), MaskenOffer::of(&details, details.expires_at));
    let (receiver, nonce) = (offer["receiver"].as_str().unwrap(), offer["nonce"].as_str().unwrap());
    let hash = B256::repeat_byte(9);
    let read = MaskenProof::read(&format!("evm:{receiver}:{nonce}:{hash}")).unwrap();
    assert_eq!((read.proof, read.quote.as_str()), (Proof::transaction(hash), nonce));
    let other = Address::repeat_byte(3);
    assert_eq!(MaskenProof::read(&format!("evm:{other}:{nonce}:{hash}")), Err(MaskenProofError::Receiver));
    for bad in [
        format!("sol:{receiver}:{nonce}:{hash}"),
        format!("EVM:{receiver}:{nonce}:{hash}"),
        format!("evm:{receiver}:{nonce}:{hash}:0"),
        format!("evm:{receiver}:{nonce}"),
        format!("evm:{receiver}:{nonce}:{hash} "),
        format!("evm:{receiver}:{}:{hash}", &nonce[1..]),
        format!("evm::{nonce}:{hash}"),
        String::new(),
    ] {
        assert_eq!(MaskenProof::read(&bad), Err(MaskenProofError::Form), "{bad}");
    }
}

proptest! {
    /// Whatever comes is read or refused, and whoever changes one byte of what is good does no more.
    #[test]
    fn nothing_that_arrives_makes_them_panic(
        text in ".{0,80}",
        json in "[\\[\\]{}\":,a-z0-9]{0,60}",
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut way = serde_json::to_value(offered(price())).unwrap();
        way["maxAmount"] = way["amount"].clone();
        let mut good = json!({ "x402Version": 2, "accepted": way, "payload": signed() }).to_string().into_bytes();
        let at = place.index(good.len());
        good[at] = byte;
        let mut authorization = signed().to_string().into_bytes();
        let at = place.index(authorization.len());
        authorization[at] = byte;
        let nonce = B256::repeat_byte(2).to_string();
        for value in [text.clone(), STANDARD.encode(&json), STANDARD.encode(&good), STANDARD.encode(&authorization)] {
            let _ = XPayment::read(&value);
            for (amount, nonce) in [(text.as_str(), nonce.as_str()), ("0.0015", &text), ("0.0015", &nonce)] {
                let sent = Sent { signature: &value, amount: Some(amount), asset: Some(&text), nonce: Some(nonce) };
                if let Ok(read) = PaymentHeaders::read(&sent) {
                    let _ = read.to_v2(&names(), offered);
                }
            }
            let _ = MaskenProof::read(&value);
        }
    }
}
