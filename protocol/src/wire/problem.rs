//! Problem documents (RFC 9457), the form of every refusal.

use serde::{Deserialize, Serialize};

use crate::proof::voucher::VoucherFigures;
use crate::values::money::Amount;
use crate::wire::code::Code;
use crate::wire::reason::{Subcode, X402Reason};

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// An RFC 9457 problem document with a stable `code`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI that names the kind of problem; `urn:salt402:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short sentence, the same for every occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: Code,
    /// The kind of refusal as a number, if a payment is refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subcode: Option<Subcode>,
    /// x402's reason, if the payment is invalid or not settled yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub x402_reason: Option<X402Reason>,
    /// What was wrong, and what to do about it.
    pub detail: String,
    /// When to ask again, in milliseconds, if that may help.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after_ms: Option<u64>,
    /// The channel's totals, if a voucher does not cover the request.
    #[serde(flatten)]
    pub voucher: Box<VoucherMembers>,
}

/// The channel's totals as members of a problem, in base units. Empty for other problems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VoucherMembers {
    /// The highest accepted ceiling of the voucher's channel.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub highest: Option<Amount>,
    /// The total cost of the requests so far.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub spent: Option<Amount>,
    /// The cost of this request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub price: Option<Amount>,
    /// The lowest ceiling that this request needs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<Amount>,
}

impl Problem {
    /// A problem with the status and title of its code. For vouchers, the figures in its detail become members.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let figures = match code {
            Code::VoucherTooLow | Code::VoucherUsed => VoucherFigures::at_end_of(&detail),
            _ => None,
        };
        Self {
            kind: format!("urn:salt402:problem:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            subcode: code.subcode(),
            x402_reason: code.x402_reason(),
            detail,
            retry_after_ms: None,
            voucher: Box::new(figures.map(VoucherMembers::from).unwrap_or_default()),
        }
    }

    /// Sets when to ask again, in milliseconds.
    pub fn retry_after(mut self, milliseconds: u64) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }
}

impl From<VoucherFigures> for VoucherMembers {
    fn from(figures: VoucherFigures) -> Self {
        let VoucherFigures { highest, spent, price, next } = figures;
        Self { highest: Some(highest), spent: Some(spent), price: Some(price), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_a_voucher_are_members_and_other_problems_have_none() {
        let text = "20 is signed; highest=30 spent=10 price=7 next=31";
        let problem = Problem::new(Code::VoucherTooLow, text);
        let json = serde_json::to_value(&problem).unwrap();
        let members =
            ["highest", "spent", "price", "next"].map(|name| json[name].as_str().unwrap().to_owned());
        assert_eq!(members, ["30", "10", "7", "31"]);
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
        let other = Problem::new(Code::NotFound, text);
        let json = serde_json::to_value(&other).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 5, "{json}");
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), other);
    }
}
