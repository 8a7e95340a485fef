//! Objects that come as JSON.

use salt402_protocol::api::{QuoteRequest, VerifyRequest};
use salt402_protocol::details::PaymentDetails;
use salt402_protocol::object::Object;
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
