//! What a body asks for, and whether it is sold.

use salt402_paywall::Order;
use salt402_protocol::Problem;

/// What a body asks for, and whether it is sold.
#[derive(Debug)]
pub(crate) enum Reading<S> {
    /// It is.
    Sold(Box<S>),
    /// It is not sold now. It may have been sold, and paid for, earlier.
    Unsold(Box<Unsold<S>>),
}

/// A request for something that is not sold now.
#[derive(Debug)]
pub(crate) struct Unsold<S> {
    /// Why.
    pub(crate) problem: Problem,
    /// What may have been paid for. Only the price of a quote can count, since no price is quoted now.
    pub(crate) order: Order,
    /// What can still be run for those who paid. `None` if the model is gone.
    pub(crate) request: Option<S>,
}

impl<S> Reading<S> {
    /// The same of another form of the request.
    pub(crate) fn map<T>(self, form: impl FnOnce(S) -> T) -> Reading<T> {
        match self {
            Self::Sold(request) => Reading::Sold(Box::new(form(*request))),
            Self::Unsold(unsold) => {
                let Unsold { problem, order, request } = *unsold;
                Reading::Unsold(Box::new(Unsold { problem, order, request: request.map(form) }))
            }
        }
    }
}
