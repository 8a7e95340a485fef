//! A facilitator's HTTP API, as x402 has it: its routes and the document of them. It decides nothing.
//!
//! What can be judged is answered with 200, whatever the verdict is: official servers take any other status for a fault of
//! the facilitator. A body that cannot be read is a 400; what cannot be judged now is a 429 or 503 with `Retry-After`. These are
//! problem documents (RFC 9457), with x402's own members beside.

mod answer;
mod callers;
mod handlers;
mod openapi;
mod routes;

pub use routes::{ApiOptions, router};
