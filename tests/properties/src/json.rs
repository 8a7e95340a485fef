//! Objects that come as JSON.

use salt402_protocol::api::{QuoteRequest, VerifyRequest};
use salt402_protocol::details::PaymentDetails;
use salt402_protocol::object::Object;
use salt402_protocol::x402::request::Request;
use serde_json::Value;

/// A body that is understood says the same when it is written again, and holds nothing that was passed over.
pub(crate) fn verify(data: &[u8]) {
    let Ok(Object(request)) = serde_json::from_slice::<Object<VerifyRequest>>(data) else { return };
    let written = serde_json::to_vec(&request).unwrap();
    let again: VerifyRequest = serde_json::from_slice(&written).unwrap();
    assert_eq!(serde_json::to_vec(&again).unwrap(), written);
    same(
        data,
        &written,
        &["quote_id", "claim", "claimant", "wait_ms", "usage", "again_only", "confirmations", "client"],
    );
}

/// The same of a request for a quote.
pub(crate) fn quote(data: &[u8]) {
    let Ok(Object(request)) = serde_json::from_slice::<Object<QuoteRequest>>(data) else { return };
    let written = serde_json::to_vec(&request).unwrap();
    let again: QuoteRequest = serde_json::from_slice(&written).unwrap();
    assert_eq!(serde_json::to_vec(&again).unwrap(), written);
    same(data, &written, &["secret"]);
}

/// A request to a facilitator says the same however its JSON is spaced, ordered and escaped, and every number in it is one
/// that it holds as a text.
pub(crate) fn x402_request(data: &[u8]) {
    let Ok(request) = Request::parse(data) else { return };
    // What is passed over may hold what no value can: a number without end, an object without bottom.
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let text = value.to_string();
    let again = Request::parse(text.as_bytes()).expect("what was read is read again");
    assert_eq!(
        (request.version, &request.signed, &request.signature, &request.permit),
        (again.version, &again.signed, &again.signature, &again.permit)
    );
    assert_eq!(request.requirements.difference(&again.requirements), None);
    assert_eq!(again.requirements.difference(&request.requirements), None);
    assert_eq!(request.requirements.amount(), again.requirements.amount());
    assert_eq!(request.accepted.network(), again.accepted.network());
    let amount =
        ["amount", "maxAmountRequired"].iter().find_map(|name| value["paymentRequirements"][name].as_str());
    assert_eq!(amount, Some(request.requirements.amount().to_string().as_str()));
    let payload = &value["paymentPayload"]["payload"];
    let payer = [&payload["authorization"]["from"], &payload["permit2Authorization"]["from"]];
    let payer = payer.into_iter().find_map(Value::as_str).expect("a payer");
    assert!(payer.eq_ignore_ascii_case(&request.signed.payer().to_string()));
}

/// Every field that came is a field that was read: only those that may be left out may be more or fewer.
fn same(read: &[u8], written: &[u8], optional: &[&str]) {
    let keys = |bytes: &[u8]| {
        let Ok(Value::Object(object)) = serde_json::from_slice(bytes) else { panic!("an object was read") };
        let mut keys: Vec<_> =
            object.keys().filter(|key| !optional.contains(&key.as_str())).cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(read), keys(written));
}

/// Details that a payer would pay contradict themselves in nothing, and go through a header.
pub(crate) fn details(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(details) = PaymentDetails::from_header(text) else { return };
    assert_eq!(details.version, 1);
    assert_eq!(details.chain_id, details.chain.get());
    assert_eq!(details.reference, details.quote_id.reference());
    let header = details.to_header().unwrap();
    assert!(header.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    assert_eq!(PaymentDetails::from_header(&header).unwrap(), details);
}
