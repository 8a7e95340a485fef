//! The 402 that a probe gets: a request that says nothing of what it wants, by which somebody finds out whether a path is paid for.

use axum::body::Body;
use axum::http::{HeaderValue, Response};
use salt402_http::problem_response;
use salt402_protocol::x402::required::{PaymentRequired, REQUIRED_HEADER, SoldResource, to_header};
use salt402_protocol::{Amount, Code, Problem};
use serde::Serialize;
use serde_json::Value;

use crate::paywall::Paywall;
use crate::presented::Presented;

/// What a probe is told.
#[derive(Clone, Debug)]
pub struct Probe<'a> {
    /// The target.
    pub path: &'a str,
    /// The least that a request costs there, in base units.
    pub amount: Amount,
    /// What that is, in words.
    pub description: &'a str,
    /// x402's extensions: how a request looks.
    pub extensions: Value,
}

#[derive(Serialize)]
struct Required<'a> {
    #[serde(flatten)]
    required: PaymentRequired<'a>,
    extensions: &'a Value,
}

impl Paywall {
    /// The 402 of a probe; `None` where no signature is taken. It names no quote and no payment contract: a transaction that paid for
    /// nothing would be lost, while what is signed for a request that cannot be served is not settled.
    pub fn probed(&self, probe: &Probe<'_>, presented: &Presented) -> Option<Response<Body>> {
        let way = self.signed.as_ref().filter(|_| self.dialects.x402)?;
        let base = way.public_url.clone().or_else(|| presented.base.clone()).unwrap_or_default();
        let detail = "send the request with its body: the price here is the least that one costs, and nothing is paid for one without \
                      a body";
        let problem = Problem::new(Code::PaymentRequired, detail);
        let required = PaymentRequired {
            x402_version: 2,
            error: &problem.detail,
            resource: SoldResource {
                url: format!("{base}{}", probe.path),
                description: probe.description,
                mime_type: "application/json",
            },
            accepts: way.all_offered(self.chain, self.payee, probe.amount, false, None),
        };
        let header = to_header(&Required { required, extensions: &probe.extensions }).ok()?;
        let mut response = problem_response(&problem);
        response.headers_mut().insert(REQUIRED_HEADER, HeaderValue::from_str(&header).ok()?);
        Some(response)
    }
}
