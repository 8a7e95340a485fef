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
    /// What must be paid, whoever answers; charged by use, the most that one of them costs.
    pub(crate) order: Order,
    /// Whether the price covers whoever answers. If not, what the one uses that answers can be charged.
    pub(crate) covers_all: bool,
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
            return Ok(Self::unsold((name, route), candidates, order, problem, wanted));
        }
        let (amount, of) = match price(name, route, &sold) {
            Ok(price) => price,
            Err(unpriced) => {
                let order = sold[0].order().clone();
                return Ok(Self::unsold((name, route), sold, order, unpriced.problem(), wanted));
            }
        };
        let by_use = by_use(route, &sold);
        let mut order = Order { amount, by_use, ..sold[0].order().clone() };
        order.description = format!("one answer by the best of {}, as {name}", names(&sold));
        if of.max_tokens > 0 {
            order.description.push_str(&format!(", with up to {} tokens", of.max_tokens));
        }
        let Wanted { streamed, session } = wanted;
        Ok(Reading::Sold(Box::new(Self {
            name: name.to_owned(),
            candidates: sold,
            order,
            covers_all: route.price.is_some(),
            streamed,
            session,
        })))
    }

    fn unsold(
        (name, route): (&str, &Route),
        candidates: Vec<C>,
        order: Order,
        problem: Problem,
        wanted: Wanted,
    ) -> Reading<Self> {
        let (by_use, covers_all) = (by_use(route, &candidates), route.price.is_some());
        let description = format!("one answer as {name}");
        let order = Order { amount: PRICELESS, by_use, description, ..order };
        let Wanted { streamed, session } = wanted;
        let (name, own) = (name.to_owned(), order.clone());
        let request = (!candidates.is_empty()).then(|| Self {
            name,
            candidates,
            order: own,
            covers_all,
            streamed,
            session,
        });
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

/// Whether what is used is charged: as each of them is, where none is covered by a price of the route.
fn by_use<C: Run>(route: &Route, candidates: &[C]) -> bool {
    route.price.is_none()
        && !candidates.is_empty()
        && candidates.iter().all(|candidate| candidate.order().by_use)
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
