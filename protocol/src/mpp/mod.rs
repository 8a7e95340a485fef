//! The HTTP authentication scheme `Payment` (MPP): its challenges, credentials and receipts.
//!
//! A challenge's id is the quote's. So what is signed for it names the quote (its nonce is a hash of the id), and nothing is
//! kept of a challenge.

mod challenge;
mod credential;
mod receipt;

pub use challenge::{Challenge, ChargeRequest, CredentialType, MethodDetails};
pub use credential::{Credential, CredentialError, Shown, SignedCharge, credential_of};
pub use receipt::{RECEIPT_HEADER, Receipt};

/// The scheme's name.
pub const SCHEME: &str = "Payment";
/// The method of what is signed with EIP-3009.
pub const EVM: &str = "evm";
/// The method of a transaction through the payment contract. It has a name of its own: clients of `evm` refuse a challenge
/// that takes a hash alone.
pub const TRANSACTION: &str = "salt402";
const CHARGE: &str = "charge";

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256, U256, keccak256};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::quote::key::QuoteId;
    use crate::values::money::Amount;
    use crate::values::network::ChainId;
    use crate::x402::EIP3009;
    use crate::x402::request::Request;
    use crate::x402::required::OfferedExtra;
    use crate::x402::required::{LONGEST_SIGNED, Offered};

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
        // Of paddings, the right one or none.
        let mut text = sent().to_string();
        while text.len() % 3 != 1 {
            text.push(' ');
        }
        let bare = URL_SAFE_NO_PAD.encode(text);
        for (padding, is_read) in
            [("", true), ("=", false), ("==", true), ("===", false), ("==\u{20}=", false)]
        {
            assert_eq!(Credential::read(&format!("{bare}{padding}")).is_ok(), is_read, "{padding:?}");
        }
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
