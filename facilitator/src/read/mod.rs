//! From a request to an [`Authorization`](crate::Authorization), or to the reason why it is none. Nothing is asked of anybody.
//!
//! The checks come in the order of x402's own facilitator, so that a payment with several faults gets the same reason
//! from both. What is checked besides comes after the scheme and network, which decide who checks.

mod eip3009;
mod payment;
mod permit2;
mod refusal;
mod terms;
mod wrapped;

pub(crate) use payment::read;
pub(crate) use refusal::{Refusal, refuse};
pub(crate) use terms::{Moment, Purpose, Read};
