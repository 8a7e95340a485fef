//! What a request brings along to pay with. One reading or none.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use salt402_http::{Caller, address_limited, address_wait, one_value};
use salt402_protocol::api::PaymentView;
use salt402_protocol::details::{BINDING_HEADER, BINDING_QUOTE, STREAM_HEADER, STREAM_VOUCHERS};
use salt402_protocol::quote::QUOTE_HEADER;
use salt402_protocol::{Amount, Code, Problem, Proof, QuoteId};

use crate::shown::{ReceiptForm, Shown, SignedPayment, receipt};

/// The payment headers of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presented {
    /// The proof.
    pub proof: Option<Proof>,
    /// The id of the quote that was paid.
    pub quote: Option<QuoteId>,
    /// Whether the client asks for a quote that nobody else can be given.
    pub secret: bool,
    /// For how long the client's address has asked too often; `None` where it has not.
    pub too_soon: Option<Duration>,
    /// From where it comes, if that is known: an address, or an IPv6 network.
    pub client: Option<IpAddr>,
    /// What its payer signed.
    pub signed: Option<Arc<SignedPayment>>,
    /// How its client reads what was paid, where it speaks another dialect than `X-Payment-Proof`.
    pub receipt: Option<ReceiptForm>,
    /// The scheme and host that the client asked, such as `http://127.0.0.1:4021`, if it named one.
    pub base: Option<String>,
    /// Whether the client asks to pay a stream as it goes, by vouchers.
    pub as_it_goes: bool,
    /// How much its first voucher must allow then, in base units. `None` where what is asked is no such stream.
    pub at_least: Option<Amount>,
}

impl Presented {
    /// Reads them from a request; a header with more than one reading is refused, and so is a request without a proof
    /// that comes too soon.
    pub fn of(request: &Parts) -> Result<Self, Problem> {
        let presented = Self::read(&request.headers)?;
        match address_wait(&request.extensions) {
            Some(wait) if !presented.pays() => Err(address_limited(wait)),
            too_soon => {
                let client = Caller::of(&request.extensions);
                Ok(Self { too_soon, client, base: asked_base(request), ..presented })
            }
        }
    }

    /// The header that tells its client what was paid, in its dialect; `None` where it has none.
    pub fn receipt(&self, payment: &PaymentView) -> Option<(HeaderName, HeaderValue)> {
        self.receipt_of(payment, payment.amount)
    }

    /// The same where this much was charged of the payment, in base units. 0 needs no transaction.
    pub fn receipt_of(&self, payment: &PaymentView, charged: Amount) -> Option<(HeaderName, HeaderValue)> {
        receipt(self.receipt.as_ref()?, payment, charged)
    }

    /// The same where a stream that is asked for can be paid as it goes, and begins for so much, in base units.
    #[must_use]
    pub fn beginning_at(self, least: Option<Amount>) -> Self {
        let at_least = least.filter(|_| self.as_it_goes);
        Self { at_least, ..self }
    }

    /// Whether something is shown to pay with.
    pub fn pays(&self) -> bool {
        self.proof.is_some() || self.signed.is_some()
    }

    /// Whether its proof is what anybody can read off the chain, and nothing beside it is what only its payer knows.
    pub(crate) fn is_bare(&self) -> bool {
        self.quote.is_none() && matches!(self.proof, Some(Proof::Transaction { .. } | Proof::Nonce(_)))
    }

    /// Reads them; a header with more than one reading is refused.
    pub fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let shown = Shown::read(headers)?;
        let quote = one_value(headers, QUOTE_HEADER)?
            .map(|text| {
                text.parse::<QuoteId>().map_err(|error| Problem::new(Code::MalformedQuote, error.to_string()))
            })
            .transpose()?;
        let secret = match one_value(headers, BINDING_HEADER)? {
            None => false,
            Some(BINDING_QUOTE) => true,
            Some(_) => {
                return Err(Problem::new(Code::MalformedHeader, "X-Payment-Binding knows one value: quote"));
            }
        };
        let as_it_goes = match one_value(headers, STREAM_HEADER)? {
            None => false,
            Some(STREAM_VOUCHERS) => true,
            Some(_) => {
                return Err(Problem::new(
                    Code::MalformedHeader,
                    "X-Payment-Stream knows one value: vouchers",
                ));
            }
        };
        let Shown { proof, signed, quote: named, receipt } = shown;
        if let (Some(signed), Some(beside)) = (&signed, &quote)
            && signed.contradicts(beside)
        {
            let detail =
                "X-Payment-Quote is another quote than the one that what was signed names: send one of them";
            return Err(Problem::new(Code::MalformedQuote, detail));
        }
        let quote = quote.or(named);
        Ok(Self { proof, quote, secret, signed, receipt, as_it_goes, ..Self::default() })
    }
}

/// The scheme and host that a client asked, such as `http://127.0.0.1:4021`, if it names a host in one way.
pub fn asked_base(request: &Parts) -> Option<String> {
    let host = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => one_value(&request.headers, header::HOST.as_str()).ok().flatten()?,
    };
    let plain = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '.' | ':' | '-' | '[' | ']');
    (!host.is_empty() && host.len() <= 255 && host.chars().all(plain)).then(|| format!("http://{host}"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn code(pairs: &[(&'static str, &[u8])]) -> Result<Presented, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        Presented::read(&headers).map_err(|problem| problem.code)
    }

    #[test]
    fn a_header_is_read_one_way_or_refused() {
        let hash = format!("0x{}", "ab".repeat(32));
        let hash = hash.as_bytes();
        assert!(code(&[]).unwrap().proof.is_none());
        assert!(code(&[("x-payment-proof", hash)]).unwrap().proof.is_some());
        assert_eq!(code(&[("x-payment-proof", hash), ("X-Payment-Proof", hash)]), Err(Code::MalformedHeader));
        let joined = [hash, b", ", hash].concat();
        assert_eq!(code(&[("x-payment-proof", &joined)]), Err(Code::MalformedProof));
        assert_eq!(code(&[("x-payment-proof", b"\xff\xfe")]), Err(Code::MalformedHeader));
        assert_eq!(code(&[("x-payment-proof", b"")]), Err(Code::MalformedProof));
        assert_eq!(code(&[("x-payment-quote", b"abc")]), Err(Code::MalformedQuote));
        assert_eq!(code(&[("x-payment-binding", b"other")]), Err(Code::MalformedHeader));
        assert!(code(&[("x-payment-binding", b"quote")]).unwrap().secret);
    }
}
