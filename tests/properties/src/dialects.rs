//! What is shown to pay with in other dialects: one reading or none.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use salt402_protocol::details::Names;
use salt402_protocol::mpp::{Credential, Shown};
use salt402_protocol::peers::masken::MaskenProof;
use salt402_protocol::peers::payment_headers::{PaymentHeaders, Sent};
use salt402_protocol::peers::x_payment::XPayment;
use salt402_protocol::x402::EIP3009;
use salt402_protocol::x402::request::Request;
use salt402_protocol::x402::required::{Offered, OfferedExtra, SignedHeader};
use salt402_protocol::{Address, Amount, ChainId, Proof};
use serde_json::Value;

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
            quote_id: None,
        },
    }
}

/// What a facilitator is asked says what was signed, and by whom.
fn asks_for(header: &SignedHeader, payload: &Value) {
    let amount = Amount(header.accepted().unwrap().amount());
    let question = header.question(&offered(amount)).unwrap();
    // What a facilitator refuses moves no money.
    let Ok(request) = Request::parse(&question) else { return };
    let signer =
        payload["authorization"]["from"].as_str().or(payload["permit2Authorization"]["from"].as_str());
    assert!(signer.expect("a payer").eq_ignore_ascii_case(&request.signed.payer().to_string()));
}

/// JSON of `X-Payment`.
pub(crate) fn x_payment(data: &[u8]) {
    let Ok(read) = XPayment::read(&STANDARD.encode(data)) else { return };
    // What is passed over may hold what no value can.
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    match read {
        XPayment::V1(payment) => {
            assert_eq!(value["network"].as_str(), Some(payment.network()));
            assert!(value["accepted"].is_null());
            if let Ok(header) = payment.to_v2("citrate", offered) {
                assert_eq!(payment.network(), "citrate");
                let signed = &value["payload"]["authorization"]["value"];
                assert_eq!(signed.as_str().unwrap(), header.accepted().unwrap().amount().to_string());
                asks_for(&header, &value["payload"]);
            }
        }
        XPayment::Accepted(header) => {
            assert!(
                value.get("scheme").is_none_or(Value::is_null)
                    && value.get("network").is_none_or(Value::is_null)
            );
            let amount = header.accepted().unwrap().amount().to_string();
            assert_eq!(value["accepted"]["amount"].as_str(), Some(amount.as_str()));
            let most = &value["accepted"]["maxAmount"];
            assert!(most.is_null() || most.as_str() == Some(&amount));
            asks_for(&header, &value["payload"]);
        }
    }
}

/// Lines: amount, asset, nonce; the rest is the JSON of the authorization.
pub(crate) fn payment_headers(data: &[u8]) {
    let mut lines = data.splitn(4, |byte| *byte == b'\n');
    let mut text = || lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let (Some(amount), Some(asset), Some(nonce)) = (text(), text(), text()) else { return };
    let json = lines.next().unwrap_or_default();
    let signature = STANDARD.encode(json);
    let sent = Sent { signature: &signature, amount: Some(amount), asset: Some(asset), nonce: Some(nonce) };
    let Ok(read) = PaymentHeaders::read(&sent) else { return };
    let names = Names { network: "citrate".into(), symbol: "Wrapped SALT".into(), decimals: 18 };
    let Ok(header) = read.to_v2(&names, offered) else { return };
    let Ok(value) = serde_json::from_slice::<Value>(json) else { return };
    let signed = value["authorization"]["value"].as_str().unwrap();
    assert_eq!(Amount::from_units(amount, 18).unwrap().to_string(), signed);
    assert_eq!(header.accepted().unwrap().amount().to_string(), signed);
    assert!(asset == "Wrapped SALT" || asset.eq_ignore_ascii_case(&Address::repeat_byte(0xaa).to_string()));
    asks_for(&header, &value);
}

/// A value of `x402-proof`.
pub(crate) fn masken(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(read) = MaskenProof::read(text) else { return };
    let payee = read.quote.payee().expect("the payee of a quote");
    let Proof::Transaction { hash, ordinal: None } = read.proof else { panic!("{:?}", read.proof) };
    let again = format!("evm:{payee}:{}:{hash}", read.quote.as_str());
    assert_eq!(MaskenProof::read(&again), Ok(read));
    assert!(again.eq_ignore_ascii_case(text));
}

/// JSON of a credential of `Authorization: Payment`.
pub(crate) fn mpp_credential(data: &[u8]) {
    let Ok(read) = Credential::read(&URL_SAFE_NO_PAD.encode(data)) else { return };
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    assert_eq!(value["challenge"]["id"].as_str(), Some(read.quote.as_str()));
    match &read.shown {
        Shown::Hash(hash) => {
            assert!(value["payload"]["hash"].as_str().unwrap().eq_ignore_ascii_case(&hash.to_string()));
        }
        Shown::Authorization(charge) => {
            let header = charge.to_x402(offered).unwrap();
            let signed = value["payload"]["value"].as_str().unwrap();
            assert_eq!(header.accepted().unwrap().amount().to_string(), signed);
        }
    }
}
