//! Runs what was paid for, once per payment.
//!
//! The outcome is on disk before anybody is told all of it. So if a claim has no outcome and nobody is running it, no
//! payer has been answered: the process ended in between, and the request is run again. Copies of a request that arrive
//! while it runs follow the same run. A whole answer is told once it is on disk. A stream is told as it comes, but for
//! its last piece, which waits until the outcome is on disk.
//!
//! What a process that is killed leaves behind: before the claim, nothing; between the claim and the outcome, a run that
//! counts, and the same proof has the request run again; after the outcome, the answer.
//!
//! The rooms. Each imports only those before it: `spool`; `recording`; `reader`; `attempts`; `runs`, `once`; `delivery`.

mod attempts;
mod delivery;
mod once;
mod reader;
mod recording;
mod runs;
mod spool;
#[cfg(test)]
mod tests;

pub(crate) use attempts::{Failed, LEAST_LEFT_S, Purchase, charged_of_it, given_up};
pub(crate) use delivery::{Answered, Delivered, Deliveries};
pub(crate) use once::PassedHead;
pub(crate) use reader::{Given, Reader, Several};
pub(crate) use recording::{Head, MODEL_HEADER, Recorder};
pub(crate) use runs::{ExecutionLimits, Executions};
