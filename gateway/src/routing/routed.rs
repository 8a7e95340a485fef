//! What a body asks of a route, and what that costs.

use salt402_paywall::Order;
use salt402_protocol::{Amount, Problem};

use crate::model_route::Route;
use crate::priced_request::PRICELESS;
use crate::pricing::{Quantities, Unpriced};
use crate::reading::{Reading, Unsold};
use crate::routing::candidate::Run;

/// What was asked of a route, as each of its candidates would run it that takes it.
#[derive(Debug)]
pub(crate) struct Routed<C> {
    /// The route's name.
    pub(crate) name: String,
    /// Those that take it, in the operator's order. At least one.
    pub(crate) candidates: Vec<C>,
    /// What must be paid, whoever answers.
    pub(crate) order: Order,
    /// Whether the answer is a stream.
    pub(crate) streamed: bool,
    /// The session that it belongs to, as its client names it.
    pub(crate) session: Option<Vec<u8>>,
}

/// How an answer is wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// As a stream.
    pub(crate) streamed: bool,
    /// In a session, as the client names it.
    pub(crate) session: Option<Vec<u8>>,
}

impl<C: Run> Routed<C> {
    /// Reads a request for each candidate, with `read`. Those that would refuse it are left out; if all do, it is refused.
    pub(crate) fn understand(
        name: &str,
        route: &Route,
        wanted: Wanted,
        read: impl Fn(&str) -> Result<Reading<C>, Problem>,
    ) -> Result<Reading<Self>, Problem> {
        let (mut sold, mut unsold, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
        for candidate in &route.candidates {
            match read(candidate) {
                Ok(Reading::Sold(request)) => sold.push(*request),
                Ok(Reading::Unsold(other)) => {
                    let Unsold { problem, order, request } = *other;
                    refusals.push((candidate, problem));
                    unsold.push((order, request));
                }
                Err(problem) => refusals.push((candidate, problem)),
            }
        }
        let problem = refused(name, &refusals);
        if sold.is_empty() {
            let order = unsold.first().map(|(order, _)| order.clone());
            // What none of them ever takes was never sold.
            let Some(order) = order else { return Err(problem) };
            let candidates: Vec<_> = unsold.into_iter().filter_map(|(_, request)| request).collect();
            return Ok(Self::unsold(name, candidates, order, problem, wanted));
        }
        let (amount, of) = match price(name, route, &sold) {
            Ok(price) => price,
            Err(unpriced) => {
                let order = sold[0].order().clone();
                return Ok(Self::unsold(name, sold, order, unpriced.problem(), wanted));
            }
        };
        let mut order = Order { amount, ..sold[0].order().clone() };
        order.description = format!("one answer by the best of {}, as {name}", names(&sold));
        if of.max_tokens > 0 {
            order.description.push_str(&format!(", with up to {} tokens", of.max_tokens));
        }
        let Wanted { streamed, session } = wanted;
        Ok(Reading::Sold(Box::new(Self {
            name: name.to_owned(),
            candidates: sold,
            order,
            streamed,
            session,
        })))
    }

    fn unsold(
        name: &str,
        candidates: Vec<C>,
        order: Order,
        problem: Problem,
        wanted: Wanted,
    ) -> Reading<Self> {
        let order = Order { amount: PRICELESS, description: format!("one answer as {name}"), ..order };
        let Wanted { streamed, session } = wanted;
        let (name, own) = (name.to_owned(), order.clone());
        let request =
            (!candidates.is_empty()).then(|| Self { name, candidates, order: own, streamed, session });
        Reading::Unsold(Box::new(Unsold { problem, order, request }))
    }
}

/// The price, and what it is for: the route's own for the most that a candidate counts, or the most that a candidate costs.
fn price<C: Run>(name: &str, route: &Route, candidates: &[C]) -> Result<(Amount, Quantities), Unpriced> {
    let of = candidates.iter().map(Run::quantities).reduce(Quantities::most).unwrap_or_default();
    let amount = match &route.price {
        Some(own) => own.cost(name, &of)?.amount,
        None => candidates.iter().map(|candidate| candidate.order().amount).max().unwrap_or(PRICELESS),
    };
    Ok((amount, of))
}

fn names<C: Run>(candidates: &[C]) -> String {
    candidates.iter().map(Run::name).collect::<Vec<_>>().join(", ")
}

/// Why none takes it.
fn refused(name: &str, refusals: &[(&String, Problem)]) -> Problem {
    let Some((_, first)) = refusals.first() else {
        return Problem::new(salt402_protocol::Code::UnknownModel, format!("model: {name} has no candidate"));
    };
    let each: Vec<_> =
        refusals.iter().map(|(model, problem)| format!("{model}: {}", problem.detail)).collect();
    let mut problem = first.clone();
    problem.detail = format!("no candidate of {name} takes this: {}", each.join("; "));
    problem
}
