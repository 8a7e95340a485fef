//! An offer in the words of other dialects: headers and members of the body of a 402.

use axum::http::{HeaderName, HeaderValue, header};
use salt402_http::clock::now;
use salt402_protocol::mpp::{Challenge, ChargeRequest};
use salt402_protocol::peers::masken::MaskenOffer;
use salt402_protocol::peers::nested_body::{self, NestedWay};
use salt402_protocol::peers::payment_headers;
use salt402_protocol::peers::requirements_header::{REQUIREMENTS_HEADER, Requirements};
use salt402_protocol::x402::required::{Offered, PaymentRequired, REQUIRED_HEADER, SoldResource};
use salt402_protocol::x402::v1::RequiredV1;
use salt402_protocol::x402::{EIP3009, EXACT};
use serde::Serialize;

use crate::offer::{Offer, SignedOffer};
use crate::shown::rfc3339;

/// The most bytes that the headers of a 402 may have in which it says how to pay. Proxies take 8 KiB in all, and other headers come
/// beside them.
const MOST: usize = 7 * 1024;

/// A header, or several that make sense together alone.
type Group = Vec<(HeaderName, HeaderValue)>;

/// The headers in which an offer is said, beside its own, which have `used` bytes. What does not fit is left out, the rarest dialect
/// first.
pub(crate) fn headers(offer: &Offer, mut used: usize) -> Group {
    let groups = [required(offer), challenges(offer), requirements(offer), in_headers(offer)];
    let mut headers = Group::new();
    for group in groups {
        let bytes: usize = group.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if used + bytes <= MOST {
            used += bytes;
            headers.extend(group);
        }
    }
    headers
}

/// What is signed, where a dialect says it.
fn signed(offer: &Offer, is_said: bool) -> Option<&SignedOffer> {
    offer.signed.as_ref().filter(|_| is_said)
}

/// What is sold, in x402's words.
pub(crate) fn sold<'a>(offer: &'a Offer, signed: &SignedOffer) -> SoldResource<'a> {
    SoldResource {
        url: signed.url.clone(),
        description: &offer.details.resource.description,
        mime_type: "application/json",
    }
}

fn header(name: &'static str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
}

/// For clients of x402.
fn required(offer: &Offer) -> Group {
    let required = signed(offer, offer.dialects.x402).and_then(|signed| {
        let required = PaymentRequired {
            x402_version: 2,
            error: &offer.problem.detail,
            resource: sold(offer, signed),
            accepts: signed.ways.clone(),
        };
        header(REQUIRED_HEADER, &required.to_header().ok()?)
    });
    required.into_iter().collect()
}

/// For clients of MPP: by a signature where one is taken, and by a transaction.
fn challenges(offer: &Offer) -> Group {
    let Offer { details, signed, realm, dialects, .. } = offer;
    let Some(expires) = rfc3339(details.expires_at).filter(|_| dialects.mpp) else { return Vec::new() };
    let eip3009 = |way: &&Offered| way.scheme == EXACT && way.extra.asset_transfer_method == EIP3009;
    let way = signed.iter().flat_map(|signed| &signed.ways).find(eip3009);
    let signed = way.map(|way| ChargeRequest::signed(way, details.decimals));
    let header = |request| {
        let challenge = Challenge { quote: &details.quote_id, realm, expires: &expires, request };
        Some((header::WWW_AUTHENTICATE, HeaderValue::from_str(&challenge.to_header()?).ok()?))
    };
    signed.into_iter().chain([ChargeRequest::transaction(details)]).filter_map(header).collect()
}

/// For clients of x402cloud.
fn requirements(offer: &Offer) -> Group {
    let requirements = signed(offer, offer.dialects.requirements_header).and_then(|signed| {
        let resource = sold(offer, signed);
        let url = signed.facilitator_url.as_deref();
        let asked = Requirements::of(&signed.ways, &resource, &signed.names, url)?;
        header(REQUIREMENTS_HEADER, &asked.to_header().ok()?)
    });
    requirements.into_iter().collect()
}

/// For clients that read `X-Payment-Required` and its family.
fn in_headers(offer: &Offer) -> Group {
    let asked = signed(offer, offer.dialects.payment_headers).and_then(|signed| {
        let asked = signed.ways.iter().find_map(|way| payment_headers::asked(way, &signed.names))?;
        asked.into_iter().map(|(name, value)| header(name, &value)).collect::<Option<Group>>()
    });
    asked.unwrap_or_default()
}

/// The members of a 402's body that other dialects read.
#[derive(Debug, Serialize)]
pub(crate) struct Members<'a> {
    /// For clients of version 1 of x402.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    v1: Option<RequiredV1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x402: Option<X402<'a>>,
}

/// The member that two dialects share. None of their own members has another's name.
#[derive(Debug, Serialize)]
struct X402<'a> {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    nested: Option<Nested>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    masken: Option<MaskenOffer<'a>>,
}

#[derive(Debug, Serialize)]
struct Nested {
    version: u8,
    accepts: Vec<NestedWay>,
}

/// The members of an offer's body.
pub(crate) fn members(offer: &Offer) -> Members<'_> {
    let dialects = offer.dialects;
    let v1 = signed(offer, dialects.x402_v1).and_then(|signed| {
        let resource = sold(offer, signed);
        signed.ways.iter().find_map(|way| RequiredV1::of(way, &resource))
    });
    let nested = signed(offer, dialects.nested_body).and_then(|signed| {
        let url = signed.facilitator_url.as_deref();
        let ways = signed.ways.iter().filter_map(|way| NestedWay::of(way, &signed.names, url));
        let accepts: Vec<_> = ways.collect();
        (!accepts.is_empty()).then_some(Nested { version: 1, accepts })
    });
    let masken = dialects.masken.then(|| MaskenOffer::of(&offer.details, now().as_secs()));
    Members {
        v1,
        error: nested.is_some().then_some(nested_body::ERROR),
        x402: (nested.is_some() || masken.is_some()).then_some(X402 { nested, masken }),
    }
}
