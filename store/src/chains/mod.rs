//! Chains: which one it is, where its index stands, what was read for which contract, and what keeps it from being followed.
//! Nothing here stores a payment.

pub(crate) mod canonical;
pub(crate) mod chain;
pub(crate) mod coverage;
pub(crate) mod freshness;
pub(crate) mod halt;
