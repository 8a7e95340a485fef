//! Whether an authorization would settle: by its signature, by what is known of the accounts, and by a simulation where
//! the policy wants one.
//!
//! `signature` and `judge` are functions; `facts` is what is to be known of a chain, and `node_facts` says it: `answers` has the
//! questions and reads what comes back, `joined` asks for many callers at once, `packed` makes one call of their questions, `remembered` keeps it.

mod answers;
pub(crate) mod facts;
pub(crate) mod held;
mod joined;
pub(crate) mod judge;
pub(crate) mod node_facts;
mod packed;
pub(crate) mod payment;
mod remembered;
pub(crate) mod signature;
