//! What a body of `POST /v1/inference/batch` asks for, and what that costs.

use salt402_paywall::Order;
use salt402_protocol::object::Object;
use salt402_protocol::{Amount, Code, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::catalogue::Catalogue;
use crate::ordered::ordered;
use crate::priced_request::{InferenceRequest, PRICELESS, PricedRequest};
use crate::pricing::{Unpriced, reduced};
use crate::reading::{Reading, Unsold};

/// How many requests a batch has at the most, whatever the operator says.
pub const MOST: usize = 4096;

/// What a client asks: requests of `POST /v1/inference`, of whatever models.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchRequest {
    /// The requests. Their answers come in this order.
    #[schema(value_type = Vec<InferenceRequest>)]
    requests: Vec<Object<InferenceRequest>>,
}

/// A batch that was understood, and what it costs.
#[derive(Debug)]
pub struct PricedBatch {
    /// Its requests, in their order.
    pub entries: Vec<BatchEntry>,
    /// What must be paid, for exactly these bytes.
    pub order: Order,
}

/// A request of a batch.
#[derive(Debug)]
pub struct BatchEntry {
    /// What is sold, in words.
    pub sold: String,
    /// What it would cost alone, in base units. `None`: nobody knows now.
    pub price: Option<Amount>,
    /// What is run. `None` if its model is gone.
    pub request: Option<PricedRequest>,
    /// Why it is not sold now, if that is so.
    pub(super) problem: Option<Problem>,
}

impl PricedBatch {
    /// Reads a body. It must have exactly one meaning, and all that it asks for must be sold; otherwise all of it is refused.
    pub fn read(
        most: usize,
        catalogue: &Catalogue,
        method: String,
        path: String,
        body: &[u8],
    ) -> Result<Self, Problem> {
        match Self::understand(most, catalogue, method, path, body)? {
            Reading::Sold(batch) => Ok(*batch),
            Reading::Unsold(unsold) => Err(unsold.problem),
        }
    }

    /// Reads a body. It must have exactly one meaning; otherwise it is refused. What only the operator's limits refuse
    /// is told apart from what was never sold.
    pub(crate) fn understand(
        most: usize,
        catalogue: &Catalogue,
        method: String,
        path: String,
        body: &[u8],
    ) -> Result<Reading<Self>, Problem> {
        let Object(BatchRequest { requests }) = serde_json::from_slice::<Object<BatchRequest>>(body)
            .map_err(|error| {
                Problem::new(Code::MalformedJson, format!("the body was not understood: {error}"))
            })?;
        let count = requests.len();
        if count == 0 {
            return Err(Problem::new(Code::InvalidRequest, "requests: there is none"));
        }
        // Nobody has paid for so many, so they are not priced.
        if count > MOST {
            let detail = format!("requests: at most {most} here, found {count}");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        let order = &ordered(method, path, body);
        let mut entries = Vec::with_capacity(count);
        for (place, Object(request)) in requests.into_iter().enumerate() {
            let reading =
                PricedRequest::priced(catalogue, request, order).map_err(|problem| within(place, problem))?;
            entries.push(BatchEntry::of(place, reading));
        }
        let problem = if count > most {
            let detail = format!("requests: at most {most} here, found {count}");
            Some(Problem::new(Code::InvalidRequest, detail))
        } else {
            entries.iter().find_map(|entry| entry.problem.clone())
        };
        let price = price(entries.iter().map(|entry| entry.price));
        let problem = problem.or_else(|| price.is_none().then(|| Unpriced::Beyond.problem()));
        let amount = price.filter(|_| problem.is_none()).unwrap_or(PRICELESS);
        let order = order(format!("the answers to a batch of {count} requests"), amount);
        let batch = Self { entries, order };
        Ok(match problem {
            None => Reading::Sold(Box::new(batch)),
            Some(problem) => {
                let order = batch.order.clone();
                Reading::Unsold(Box::new(Unsold { problem, order, request: Some(batch) }))
            }
        })
    }
}

impl BatchEntry {
    fn of(place: usize, reading: Reading<PricedRequest>) -> Self {
        match reading {
            Reading::Sold(request) => {
                let Order { description, amount, .. } = &request.order;
                let (sold, price) = (description.clone(), Some(*amount));
                Self { sold, price, request: Some(*request), problem: None }
            }
            Reading::Unsold(unsold) => {
                let Unsold { problem, order, request } = *unsold;
                let price = (order.amount != PRICELESS).then_some(order.amount);
                let problem = Some(within(place, problem));
                Self { sold: order.description, price, request, problem }
            }
        }
    }
}

/// The same problem, of a request in a batch.
fn within(place: usize, mut problem: Problem) -> Problem {
    problem.detail = format!("requests[{place}].{}", problem.detail);
    problem
}

/// The price of requests that cost so much alone: their sum less 5 %, rounded up. `None` if one has no price, or the sum is above
/// 2²⁵⁶ − 1.
fn price(mut prices: impl Iterator<Item = Option<Amount>>) -> Option<Amount> {
    prices.try_fold(Amount::ZERO, |sum, price| sum.checked_add(price?)).map(reduced)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use salt402_protocol::U256;

    use super::*;

    fn amount(units: u64) -> Amount {
        Amount(U256::from(units))
    }

    #[test]
    fn a_batch_costs_the_sum_less_five_percent_and_no_unit_less() {
        let of = |prices: &[u64]| price(prices.iter().map(|units| Some(amount(*units))));
        assert_eq!(of(&[1]), Some(amount(1)));
        assert_eq!(of(&[19]), Some(amount(19)), "18.05");
        assert_eq!(of(&[10, 10]), Some(amount(19)));
        assert_eq!(of(&[10, 11]), Some(amount(20)), "19.95");
        assert_eq!(price([Some(amount(1)), None].into_iter()), None);
        assert_eq!(price([Some(Amount(U256::MAX)), Some(amount(1))].into_iter()), None);
        assert_eq!(price([Some(Amount(U256::MAX))].into_iter()), Some(reduced(Amount(U256::MAX))));
    }

    #[test]
    fn what_is_longer_than_any_batch_is_refused_before_it_is_priced() {
        let read = |count: usize| {
            let entries = vec![r#"{"model":"gone","prompt":"x"}"#; count].join(",");
            let body = format!(r#"{{"requests":[{entries}]}}"#);
            PricedBatch::understand(2, &Catalogue::default(), "POST".into(), "/".into(), body.as_bytes())
        };
        // Its payer may have paid while more were allowed.
        let Ok(Reading::Unsold(unsold)) = read(3) else { panic!() };
        assert_eq!(unsold.request.unwrap().entries.len(), 3);
        assert!(matches!(read(MOST), Ok(Reading::Unsold(_))));
        let refused = read(MOST + 1).err().unwrap();
        assert_eq!(
            (refused.code, &*refused.detail),
            (Code::InvalidRequest, "requests: at most 2 here, found 4097")
        );
    }

    proptest! {
        #[test]
        fn what_is_left_out_is_a_twentieth_rounded_down(sum in any::<u64>()) {
            let paid = reduced(amount(sum)).0;
            let exact = U256::from(sum) * U256::from(95);
            prop_assert!(paid * U256::from(100) >= exact);
            prop_assert!(paid == U256::ZERO || (paid - U256::ONE) * U256::from(100) < exact);
        }
    }
}
