//! Routes: what is asked of a name under which the best of several models answers.
//!
//! A body is read for each candidate by its own limits, prices and table of members. Who would refuse it is not asked. The price is
//! told before anybody has paid, so it is the route's own or the most of what those cost that are left; who answers is chosen after
//! the payment, and again where the first fails before it has answered anything.
//!
//! The rooms. Each imports only those before it: `choice`; `candidate`; `routed`; `run`; `asked`.

pub(crate) mod asked;
mod candidate;
mod choice;
mod routed;
mod run;

pub use asked::RouteCost;
