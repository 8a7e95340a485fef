//! In which dialect a request shows what it pays with. One reading or none.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use salt402_http::clock::now;
use salt402_http::one_value;
use salt402_protocol::api::PaymentView;
use salt402_protocol::details::Names;
use salt402_protocol::mpp::{self, Credential, RECEIPT_HEADER, Receipt, SignedCharge, credential_of};
use salt402_protocol::peers::masken::{self, MaskenProof};
use salt402_protocol::peers::payment_headers::{self, PaymentHeaders, Sent};
use salt402_protocol::peers::x_payment::XPayment;
use salt402_protocol::proof::PROOF_HEADER;
use salt402_protocol::quote::QUOTE_HEADER;
use salt402_protocol::x402::required::{
    Offered, RESPONSE_HEADER, SIGNATURE_HEADER, SignedHeader, SignedHeaderError, to_header,
};
use salt402_protocol::x402::response::SettleResponse;
use salt402_protocol::x402::v1::{PAYMENT_HEADER, PAYMENT_RESPONSE_HEADER, PaymentV1};
use salt402_protocol::{Amount, Code, Problem, Proof, QuoteId};

/// Where a client of MPP may put its credential, if `Authorization` has another's.
const PAYMENT_AUTHORIZATION: &str = "payment-authorization";

/// What a payer signed, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedPayment {
    /// In x402's version 2.
    X402(SignedHeader),
    /// In its version 1.
    X402V1(PaymentV1),
    /// In headers of their own.
    Headers(PaymentHeaders),
    /// For a challenge of MPP, whose id is a quote's.
    Mpp {
        /// What was signed.
        charge: SignedCharge,
        /// The quote.
        quote: QuoteId,
    },
}

impl SignedPayment {
    /// The same in x402's version 2. What it accepted, where it does not say so itself, is what `offered` says is asked for an
    /// amount under a quote: the one that it names, or `beside`, the one that came with it. `names` are those of a 402.
    pub(crate) fn in_v2(
        &self,
        names: &Names,
        beside: Option<&QuoteId>,
        offered: impl FnOnce(Amount, Option<QuoteId>) -> Offered,
    ) -> Result<Cow<'_, SignedHeader>, SignedHeaderError> {
        let named = match self {
            Self::Mpp { quote, .. } => Some(quote),
            _ => beside,
        };
        let asked = |amount| offered(amount, named.cloned());
        match self {
            Self::X402(header) => Ok(Cow::Borrowed(header)),
            Self::X402V1(payment) => payment.to_v2(&names.network, asked).map(Cow::Owned),
            Self::Headers(payment) => payment.to_v2(names, asked).map(Cow::Owned),
            Self::Mpp { charge, .. } => charge.to_x402(asked).map(Cow::Owned),
        }
    }

    /// Whether it names a quote itself, and another than this one.
    pub(crate) fn contradicts(&self, beside: &QuoteId) -> bool {
        match self {
            Self::X402(header) => {
                let accepted = header.accepted().ok();
                accepted.and_then(|way| way.quote_id().map(|named| named != beside.as_str())).unwrap_or(false)
            }
            Self::Mpp { quote, .. } => quote != beside,
            Self::X402V1(_) | Self::Headers(_) => false,
        }
    }
}

/// What a request shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// A proof.
    pub(crate) proof: Option<Proof>,
    /// What was signed.
    pub(crate) signed: Option<Arc<SignedPayment>>,
    /// The quote that is named beside a proof, in one header with it.
    pub(crate) quote: Option<QuoteId>,
    /// How its client reads what was paid.
    pub(crate) receipt: Option<ReceiptForm>,
}

/// How a client reads what was paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptForm {
    /// `PAYMENT-RESPONSE`.
    X402,
    /// `X-PAYMENT-RESPONSE`, with the network as the client named it, or as CAIP-2.
    XPayment(Option<String>),
    /// `Payment-Receipt`.
    Mpp(mpp::Shown),
}

impl Shown {
    /// Reads it; what has more than one reading is refused.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let malformed = |name: &str, error: &dyn std::fmt::Display| {
            Problem::new(Code::MalformedProof, format!("{name}: {error}"))
        };
        let mut all = Vec::new();
        if let Some(text) = one_value(headers, PROOF_HEADER)? {
            let proof = text
                .parse::<Proof>()
                .map_err(|error| Problem::new(Code::MalformedProof, error.to_string()))?;
            all.push(Self { proof: Some(proof), ..Self::default() });
        }
        if let Some(text) = one_value(headers, SIGNATURE_HEADER)? {
            let header = SignedHeader::read(text).map_err(|error| malformed("PAYMENT-SIGNATURE", &error))?;
            all.push(Self::signed(SignedPayment::X402(header), ReceiptForm::X402));
        }
        if let Some(text) = one_value(headers, PAYMENT_HEADER)? {
            let payment = XPayment::read(text).map_err(|error| malformed("X-PAYMENT", &error))?;
            all.push(match payment {
                XPayment::V1(payment) => {
                    let network = Some(payment.network().to_owned());
                    Self::signed(SignedPayment::X402V1(payment), ReceiptForm::XPayment(network))
                }
                XPayment::Accepted(header) => {
                    Self::signed(SignedPayment::X402(header), ReceiptForm::XPayment(None))
                }
            });
        }
        if let Some(signature) = one_value(headers, payment_headers::SIGNATURE_HEADER)? {
            let sent = Sent {
                signature,
                amount: one_value(headers, payment_headers::AMOUNT_HEADER)?,
                asset: one_value(headers, payment_headers::ASSET_HEADER)?,
                nonce: one_value(headers, payment_headers::NONCE_HEADER)?,
            };
            let payment =
                PaymentHeaders::read(&sent).map_err(|error| malformed("X-Payment-Signature", &error))?;
            all.push(Self::signed(SignedPayment::Headers(payment), ReceiptForm::XPayment(None)));
        }
        if let Some(text) = one_value(headers, masken::PROOF_HEADER)? {
            let MaskenProof { proof, quote } =
                MaskenProof::read(text).map_err(|error| malformed("x402-proof", &error))?;
            all.push(Self { proof: Some(proof), quote: Some(quote), ..Self::default() });
        }
        for text in credentials(headers) {
            let credential =
                Credential::read(text).map_err(|error| malformed("Authorization: Payment", &error))?;
            let receipt = ReceiptForm::Mpp(credential.shown.clone());
            all.push(match credential.shown {
                mpp::Shown::Hash(hash) => Self {
                    proof: Some(Proof::transaction(hash)),
                    quote: Some(credential.quote),
                    receipt: Some(receipt),
                    ..Self::default()
                },
                mpp::Shown::Authorization(charge) => {
                    Self::signed(SignedPayment::Mpp { charge, quote: credential.quote }, receipt)
                }
            });
        }
        if all.len() > 1 {
            let detail = "the request brings two things to pay with: send one of X-Payment-Proof, PAYMENT-SIGNATURE, X-PAYMENT, \
                          X-Payment-Signature, x402-proof and Authorization: Payment";
            return Err(Problem::new(Code::MalformedProof, detail));
        }
        let shown = all.pop().unwrap_or_default();
        if shown.quote.is_some() && headers.contains_key(QUOTE_HEADER) {
            let detail = "what is shown names its quote: send no X-Payment-Quote with it";
            return Err(Problem::new(Code::MalformedQuote, detail));
        }
        Ok(shown)
    }

    fn signed(payment: SignedPayment, receipt: ReceiptForm) -> Self {
        Self { signed: Some(Arc::new(payment)), receipt: Some(receipt), ..Self::default() }
    }
}

/// Whether a request shows something to pay with that its client would pay for again after a 402 and some other statuses.
pub fn pays_again(headers: &HeaderMap) -> bool {
    [SIGNATURE_HEADER, PAYMENT_HEADER, payment_headers::SIGNATURE_HEADER, masken::PROOF_HEADER]
        .iter()
        .any(|name| headers.contains_key(*name))
        || credentials(headers).next().is_some()
}

/// Whether a request shows anything to pay with.
pub fn shows_payment(headers: &HeaderMap) -> bool {
    headers.contains_key(PROOF_HEADER) || pays_again(headers)
}

/// The credentials of MPP in a request. Other schemes are others'.
fn credentials(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    [header::AUTHORIZATION.as_str(), PAYMENT_AUTHORIZATION]
        .into_iter()
        .flat_map(|name| headers.get_all(name))
        .filter_map(|value| credential_of(value.to_str().ok()?))
}

/// The header that tells a client in its dialect what was paid; `None` where its dialect has none.
pub(crate) fn receipt(
    form: &ReceiptForm,
    payment: &PaymentView,
    charged: Amount,
) -> Option<(HeaderName, HeaderValue)> {
    let settled = |network: String| SettleResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: Some(payment.payer),
        transaction: Some(payment.transaction).filter(|_| !charged.is_zero()),
        network,
        amount: Some(charged),
    };
    let (name, text) = match form {
        ReceiptForm::X402 => (RESPONSE_HEADER, to_header(&settled(payment.chain.to_string()))),
        ReceiptForm::XPayment(network) => {
            let network = network.clone().unwrap_or_else(|| payment.chain.to_string());
            (PAYMENT_RESPONSE_HEADER, to_header(&settled(network)))
        }
        ReceiptForm::Mpp(shown) => {
            let timestamp = rfc3339(now().as_secs())?;
            (RECEIPT_HEADER, Receipt::new(shown, payment.transaction, &timestamp).to_header())
        }
    };
    Some((HeaderName::from_static(name), HeaderValue::from_str(&text.ok()?).ok()?))
}

/// A second since 1970 as RFC 3339 has it.
pub fn rfc3339(second: u64) -> Option<String> {
    Some(jiff::Timestamp::from_second(i64::try_from(second).ok()?).ok()?.to_string())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use salt402_protocol::B256;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn hash_credential(quote: &str) -> String {
        let hash = B256::repeat_byte(7);
        let json = format!(
            r#"{{"challenge":{{"id":"{quote}","realm":"r","method":"salt402","intent":"charge","request":"e30"}},"payload":{{"type":"hash","hash":"{hash}"}}}}"#
        );
        format!("Payment {}", URL_SAFE_NO_PAD.encode(json))
    }

    #[test]
    fn one_thing_is_shown_and_others_schemes_are_others() {
        let hash = format!("0x{}", "ab".repeat(32));
        let quote = "A".repeat(264);
        assert_eq!(Shown::read(&headers(&[("authorization", "Bearer sk-1")])), Ok(Shown::default()));
        assert!(!shows_payment(&headers(&[("authorization", "Bearer sk-1")])));
        let credential = hash_credential(&quote);
        for name in ["authorization", "payment-authorization"] {
            let shown = Shown::read(&headers(&[(name, &credential)])).unwrap();
            assert_eq!(shown.proof, Some(Proof::transaction(B256::repeat_byte(7))));
            assert_eq!(shown.quote.unwrap().as_str(), quote);
            assert!(pays_again(&headers(&[(name, &credential)])));
        }
        let twice = [
            &[("authorization", credential.as_str()), ("payment-authorization", credential.as_str())][..],
            &[("authorization", &credential), ("authorization", &credential)],
            &[("authorization", &credential), (PROOF_HEADER, &hash)],
            &[("authorization", &credential), (QUOTE_HEADER, &quote)],
            &[("authorization", "Payment e30")],
            &[("authorization", "payment x")],
            &[("x-payment", "x")],
        ];
        for pairs in twice {
            assert!(Shown::read(&headers(pairs)).is_err(), "{pairs:?}");
        }
    }

    #[test]
    fn t11_an_answer_depends_on_every_header_by_which_a_payment_is_shown() {
        let known: Vec<_> = salt402_http::PAYMENT_HEADERS.split(", ").map(str::to_lowercase).collect();
        let shown = [
            PROOF_HEADER,
            QUOTE_HEADER,
            salt402_protocol::details::BINDING_HEADER,
            SIGNATURE_HEADER,
            PAYMENT_HEADER,
            payment_headers::SIGNATURE_HEADER,
            masken::PROOF_HEADER,
            header::AUTHORIZATION.as_str(),
            PAYMENT_AUTHORIZATION,
        ];
        // The last is of keys, which a gateway knows.
        assert_eq!(known, [&shown[..], &["x-api-key"]].concat());
        for name in &shown[3..] {
            let credential = hash_credential(&"A".repeat(264));
            assert!(pays_again(&headers(&[(name, &credential)])), "{name}");
        }
    }

    #[test]
    fn a_second_is_written_as_rfc_3339_has_it() {
        assert_eq!(rfc3339(1_769_904_000).unwrap(), "2026-02-01T00:00:00Z");
    }
}
