//! Reports about a whole database: totals, gauges, and a look from outside. Nothing here writes.

pub(crate) mod counts;
mod gauges;
pub(crate) mod overview;
