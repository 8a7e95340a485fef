//! Why a request has no price.

use salt402_protocol::{Code, Problem};

/// Why a request has no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpriced {
    /// It is above 2²⁵⁶ − 1.
    #[error("the price of so much is beyond any amount: ask for less")]
    Beyond,
    /// Images have none.
    #[error("an image: this model has no price for images: leave it out")]
    Images,
    /// This size has none.
    #[error("size: it has no price at this model; sizes with one: {0}")]
    Size(String),
    /// What a dollar buys is not known.
    #[error("the price is in dollars, and what a dollar buys was not told lately: ask again later")]
    NoRate,
    /// A condition has no answer.
    #[error("a condition of the price has no answer: the operator must mend it")]
    Condition,
}

/// When to ask again where a price is not known now, in milliseconds.
const RETRY_MS: u64 = 5_000;

impl Unpriced {
    /// What a client is told. What only time stands in the way of is no fault of its request.
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::Beyond | Self::Images | Self::Size(_) => {
                Problem::new(Code::InvalidRequest, self.to_string())
            }
            Self::NoRate | Self::Condition => {
                Problem::new(Code::ModelUnavailable, self.to_string()).retry_after(RETRY_MS)
            }
        }
    }
}
