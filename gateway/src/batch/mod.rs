//! `POST /v1/inference/batch`: many requests, one payment.
//!
//! Each request is a part of the payment, with a run and an outcome of its own, under an id that is made from the payment's. So
//! what holds of a payment holds of each part: it is run once, its answer is on disk before it is told, what failed is run again
//! so often and no more, and what is given up is seen by the operator with what it is worth. After a crash the same proof runs what
//! has no answer yet, and nothing else.
//!
//! The rooms. Each imports only those before it: `request`, `shares`; `parts`; `answer`; `handler`.

mod answer;
pub(crate) mod handler;
mod parts;
mod request;
mod shares;

pub use request::{BatchEntry, MOST as MOST_OF_A_BATCH, PricedBatch};
