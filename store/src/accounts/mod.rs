//! Prepaid balances that API keys draw. All money in them moves here, a row at a time, on the one writer: so what is free is never
//! below zero, however many requests draw at once.
//!
//! ```text
//! draw: reserved ──what was used, once──▶ charged; the rest is free again
//! ```

mod account;
mod capture;
mod changes;
pub(crate) mod credit;
mod draws;

pub(crate) use capture::capture;
