//! Quotes: the price a server asks for a request. Their bytes, their authenticated ids, and their lifetime.
//!
//! No quote is stored, and no clock is read: callers pass the time.

pub(crate) mod clock;
pub(crate) mod key;
pub(crate) mod terms;
#[cfg(test)]
mod tests;

pub use crate::quote::clock::{BEHIND, QuoteClock};
pub use crate::quote::key::{QUOTE_HEADER, QuoteError, QuoteId, QuoteKey, QuoteKeyError, QuoteKeys};
pub use crate::quote::terms::{DatabaseMark, Quote, Service, Terms};
