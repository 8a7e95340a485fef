//! How a client of each dialect pays what a 402 of it says.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use salt402_paywall::Dialects;
use salt402_protocol::{Address, B256, ChainId, keccak256};
use salt402_tests::x402::{Terms, Token, X402Payer};
use serde_json::{Value, json};

use crate::message::Answered;
use crate::seller::{NOW, PAID, PAYEE, Sale};

const WRAPPED: Address = Address::repeat_byte(0xcc);

/// A dialect.
pub(crate) struct Speaker {
    /// Its folder.
    pub(crate) name: &'static str,
    /// In what is sold.
    pub(crate) sale: Sale,
    /// The headers and the members of the body by which a 402 says how to pay in it.
    pub(crate) says: &'static [&'static str],
    /// Whether it pays by a signature.
    pub(crate) signs: bool,
    /// The header of a receipt, if it has one.
    pub(crate) receipt: Option<&'static str>,
    /// The headers of a paid request. The first is what is shown.
    pub(crate) pays: fn(&Answered) -> Vec<(&'static str, String)>,
}

const NONE: Dialects = Dialects {
    x402: false,
    x402_v1: false,
    mpp: false,
    payment_headers: false,
    requirements_header: false,
    nested_body: false,
    masken: false,
};

const fn sale(dialects: Dialects) -> Sale {
    Sale { chain: ChainId::CITRATE, network: "citrate", dialects, token: (WRAPPED, false) }
}

fn decoded(text: &str) -> Value {
    serde_json::from_slice(&STANDARD.decode(text).expect("base64")).expect("JSON")
}

/// What a payer signs: `{signature, authorization}`.
fn signed(chain: ChainId, amount: &str, nonce: B256) -> Value {
    let token = Token { address: WRAPPED, name: "Wrapped SALT".into(), version: "1".into() };
    let terms = Terms {
        to: PAYEE,
        amount: amount.parse().expect("an amount"),
        nonce,
        valid_after: 0,
        valid_before: NOW + 300,
    };
    X402Payer::new().on(chain).eip3009(&token, &terms)["paymentPayload"]["payload"].take()
}

/// The dialects, each alone.
pub(crate) fn all() -> Vec<Speaker> {
    vec![
        Speaker {
            name: "payment-details",
            sale: sale(NONE),
            says: &["x-payment-details"],
            signs: false,
            receipt: None,
            pays: |unpaid| {
                let details: Value = serde_json::from_str(unpaid.header("x-payment-details")).expect("JSON");
                let quote = details["quoteId"].as_str().expect("a quote").to_owned();
                vec![("x-payment-proof", PAID.to_string()), ("x-payment-quote", quote)]
            },
        },
        Speaker {
            name: "x402",
            sale: sale(Dialects { x402: true, ..NONE }),
            says: &["payment-required"],
            signs: true,
            receipt: Some("payment-response"),
            pays: |unpaid| {
                let required = decoded(unpaid.header("payment-required"));
                let way = &required["accepts"][0];
                let payload =
                    signed(ChainId::CITRATE, way["amount"].as_str().expect("text"), B256::repeat_byte(2));
                let sent = json!({
                    "x402Version": 2, "resource": required["resource"], "accepted": way, "payload": payload,
                });
                vec![("payment-signature", STANDARD.encode(sent.to_string()))]
            },
        },
        Speaker {
            name: "x402-v1",
            sale: Sale {
                chain: ChainId::new(84532).expect("a chain"),
                network: "base-sepolia",
                dialects: Dialects { x402_v1: true, ..NONE },
                token: (WRAPPED, true),
            },
            says: &["/x402Version", "/accepts"],
            signs: true,
            receipt: Some("x-payment-response"),
            pays: |unpaid| {
                let way = &unpaid.json()["accepts"][0];
                let amount = way["maxAmountRequired"].as_str().expect("text");
                let payload = signed(ChainId::new(84532).expect("a chain"), amount, B256::repeat_byte(2));
                let sent = json!({ "x402Version": 1, "scheme": "exact", "network": way["network"], "payload": payload });
                vec![("x-payment", STANDARD.encode(sent.to_string()))]
            },
        },
        Speaker {
            name: "mpp",
            sale: sale(Dialects { mpp: true, ..NONE }),
            says: &["www-authenticate"],
            signs: true,
            receipt: Some("payment-receipt"),
            pays: |unpaid| {
                let text = unpaid.header("www-authenticate").strip_prefix("Payment ").expect("Payment");
                let challenge: Value = text
                    .split(", ")
                    .map(|part| part.split_once('=').expect("a parameter"))
                    .map(|(name, value)| (name.to_owned(), json!(value.trim_matches('"'))))
                    .collect();
                let request =
                    URL_SAFE_NO_PAD.decode(challenge["request"].as_str().expect("text")).expect("base64");
                let request: Value = serde_json::from_slice(&request).expect("JSON");
                let [id, realm] = ["id", "realm"].map(|name| challenge[name].as_str().expect("text"));
                let nonce = keccak256(format!("{id}{realm}"));
                let mut sent = signed(ChainId::CITRATE, request["amount"].as_str().expect("text"), nonce);
                let mut payload = sent["authorization"].take();
                payload["type"] = json!("authorization");
                payload["signature"] = sent["signature"].take();
                let sent = json!({ "challenge": challenge, "payload": payload });
                vec![("authorization", format!("Payment {}", URL_SAFE_NO_PAD.encode(sent.to_string())))]
            },
        },
        Speaker {
            name: "payment-headers",
            sale: sale(Dialects { payment_headers: true, ..NONE }),
            says: &[
                "x-payment-required",
                "x-payment-amount",
                "x-payment-asset",
                "x-payment-network",
                "x-payment-recipient",
                "x-payment-domain",
            ],
            signs: true,
            receipt: Some("x-payment-response"),
            pays: |unpaid| {
                let (amount, asset) = (unpaid.header("x-payment-amount"), unpaid.header("x-payment-asset"));
                let value = salt402_protocol::Amount::from_units(amount, 18).expect("an amount").to_string();
                let payload = signed(ChainId::CITRATE, &value, B256::repeat_byte(2));
                vec![
                    ("x-payment-signature", STANDARD.encode(payload.to_string())),
                    ("x-payment-amount", amount.to_owned()),
                    ("x-payment-asset", asset.to_owned()),
                    ("x-payment-nonce", B256::repeat_byte(2).to_string()),
                ]
            },
        },
        Speaker {
            name: "requirements-header",
            sale: sale(Dialects { requirements_header: true, ..NONE }),
            says: &["x-payment-requirements"],
            signs: true,
            receipt: Some("x-payment-response"),
            pays: |unpaid| {
                let required = decoded(unpaid.header("x-payment-requirements"));
                let way = &required["accepts"][0];
                let payload =
                    signed(ChainId::CITRATE, way["amount"].as_str().expect("text"), B256::repeat_byte(2));
                let sent = json!({
                    "x402Version": required["x402Version"], "resource": required["resource"], "accepted": way,
                    "payload": payload,
                });
                vec![("x-payment", STANDARD.encode(sent.to_string()))]
            },
        },
        Speaker {
            name: "nested-body",
            sale: sale(Dialects { nested_body: true, ..NONE }),
            says: &["/error", "/x402"],
            signs: true,
            receipt: Some("x-payment-response"),
            pays: |unpaid| {
                let way = &unpaid.json()["x402"]["accepts"][0];
                let decimals =
                    u8::try_from(way["extra"]["decimals"].as_u64().expect("a number")).expect("few");
                let amount = way["maxAmountRequired"].as_str().expect("text");
                let value =
                    salt402_protocol::Amount::from_units(amount, decimals).expect("an amount").to_string();
                let payload = signed(ChainId::CITRATE, &value, B256::repeat_byte(2));
                let sent = json!({ "x402Version": 1, "scheme": "exact", "network": way["network"], "payload": payload });
                vec![("x-payment", STANDARD.encode(sent.to_string()))]
            },
        },
        Speaker {
            name: "masken",
            sale: sale(Dialects { masken: true, ..NONE }),
            says: &["/x402"],
            signs: false,
            receipt: None,
            pays: |unpaid| {
                let x402 = &unpaid.json()["x402"];
                let [receiver, nonce] = ["receiver", "nonce"].map(|name| x402[name].as_str().expect("text"));
                vec![("x402-proof", format!("evm:{receiver}:{nonce}:{PAID}"))]
            },
        },
    ]
}
