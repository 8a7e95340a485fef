//! Chains: their identity, where their index stands, whether it is current, what was read for which contract, and
//! halts. Nothing here stores a payment.

pub(crate) mod canonical;
pub(crate) mod chain;
pub(crate) mod coverage;
pub(crate) mod freshness;
pub(crate) mod halt;
