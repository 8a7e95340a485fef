//! Values that are written as text: one spelling each.

use salt402_protocol::quote::{QuoteClock, Service};
use salt402_protocol::{
    Address, Amount, Asset, ChainId, Proof, QuoteId, QuoteKey, RequestDigest, SignedNonce, Terms, U256,
};

/// A proof is `0x`, 64 digits and perhaps an ordinal, or a voucher, or a nonce that was signed, and reads back from what it
/// is written as.
pub(crate) fn proof(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(proof) = text.parse::<Proof>() else { return };
    if let Proof::Voucher(voucher) = proof {
        assert_eq!(voucher.to_string(), text.to_ascii_lowercase());
        assert_eq!(proof.to_string().parse(), Ok(proof));
        return;
    }
    if let Proof::Nonce(nonce) = proof {
        let written = proof.to_string();
        assert_eq!(written.parse(), Ok(proof));
        // A number in decimal digits is the one other spelling that there is.
        let spelled = match nonce {
            SignedNonce::Permit2 { owner, nonce } if !text[8..].contains(":0x") => {
                format!("permit2:{owner:#x}:{nonce}")
            }
            _ => written,
        };
        assert_eq!(spelled, text.to_ascii_lowercase());
        return;
    }
    let (hash, ordinal) = text.split_once(':').unwrap_or((text, "0"));
    assert!(hash.len() == 66 && hash.starts_with("0x"));
    assert!(hash[2..].bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(ordinal == "0" || !ordinal.starts_with('0'));
    assert!(ordinal.bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(proof.to_string(), text.to_ascii_lowercase());
    assert_eq!(proof.to_string().parse(), Ok(proof));
}

/// What opens is what was sealed, letter by letter: no other text is the id of the same quote.
pub(crate) fn quote_id(data: &[u8]) {
    let key = QuoteKey::new(&[7; 32]).unwrap();
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(id) = text.parse::<QuoteId>()
    {
        assert_eq!(id.as_str(), text);
        if let Ok(quote) = key.open(&id) {
            assert_eq!(key.seal(&quote), id);
        }
    }
    // A sealed quote with one letter changed opens no more.
    let mut bytes = [0; 64];
    for (place, byte) in bytes.iter_mut().zip(data) {
        *place = *byte;
    }
    let number = |from: usize| u64::from_be_bytes(bytes[from..from + 8].try_into().unwrap());
    let terms = Terms {
        chain: ChainId::new(number(0) >> 1).unwrap_or(ChainId::CITRATE),
        contract: Address::repeat_byte(bytes[8]),
        payee: Address::repeat_byte(bytes[9]),
        asset: Asset::from_address(Address::repeat_byte(bytes[10])),
        amount: Amount(U256::from(number(16))),
        request: RequestDigest::of("GET", "/", &bytes),
        service: Service::named(["", "one", "two"][usize::from(bytes[57]) % 3]),
    };
    let clock = QuoteClock { window: 60, ..QuoteClock::living(number(24) % 100_000) };
    let quote = clock.random(terms, number(32) >> 1, bytes[40..56].try_into().unwrap());
    let id = key.seal(&quote);
    assert_eq!(key.open(&id), Ok(quote));
    let place = usize::from(bytes[56]) % id.as_str().len();
    let mut changed = id.as_str().as_bytes().to_vec();
    changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
    let changed: QuoteId = String::from_utf8(changed).unwrap().parse().unwrap();
    assert!(key.open(&changed).is_err());
}

/// An amount of base units is its own text; one of whole units reads back from what it is written as.
pub(crate) fn amount(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(amount) = Amount::from_base_units(text) {
        assert_eq!(amount.to_string(), text);
        assert!(text.bytes().all(|byte| byte.is_ascii_digit()));
        let json = serde_json::to_string(&amount).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        // As a number it is refused, whatever its size.
        assert!(serde_json::from_str::<Amount>(text).is_err());
    }
    for decimals in [0, 6, 18, 77, u8::MAX] {
        if let Ok(amount) = Amount::from_units(text, decimals) {
            assert!(text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
            assert_eq!(Amount::from_units(&amount.to_units(decimals), decimals), Ok(amount));
        }
    }
}
