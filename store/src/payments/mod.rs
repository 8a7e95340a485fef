//! How payments are found: the SQL statements, and the memory that answers most look-ups. Nothing here writes, and
//! nothing here decides what a payment is worth.

pub(crate) mod cache;
pub(crate) mod many_payments;
pub(crate) mod query;
pub(crate) mod references;
pub(crate) mod refunds;
