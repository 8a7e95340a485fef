//! How payments are found: the statements, and what is kept in memory so that most look-ups need none. Nothing here
//! writes, and nothing here decides what a payment is worth.

pub(crate) mod cache;
pub(crate) mod many_payments;
pub(crate) mod query;
pub(crate) mod references;
pub(crate) mod refunds;
