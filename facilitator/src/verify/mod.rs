//! Whether an authorization would settle: by its signature, by what is known of the accounts, and by a simulation where
//! the policy wants one.
//!
//! `signature` and `judge` are functions; `facts` is what is asked of a chain, and `node_facts` asks it.

pub(crate) mod facts;
pub(crate) mod held;
pub(crate) mod judge;
pub(crate) mod node_facts;
pub(crate) mod payment;
pub(crate) mod signature;
