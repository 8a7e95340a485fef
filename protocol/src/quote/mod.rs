//! Quotes: what a server asks for a request. Their bytes, the ids that only the server's key can make, and their time.
//!
//! No quote is stored, and no clock is read: the moment is an argument.

pub(crate) mod clock;
pub(crate) mod key;
pub(crate) mod terms;
#[cfg(test)]
mod tests;

pub use crate::quote::clock::{BEHIND, QuoteClock};
pub use crate::quote::key::{QUOTE_HEADER, QuoteError, QuoteId, QuoteKey, QuoteKeyError, QuoteKeys};
pub use crate::quote::terms::{DatabaseMark, Quote, Service, Terms};
