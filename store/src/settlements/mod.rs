//! Signed payments that are settled from here: claimed before anything is sent, with every transaction that was signed for
//! them. Nothing here decides what is sent, or whether a receipt moved money.
//!
//! After a restore, orders and transactions that were made since the backup are missing. Nothing is sent twice for it: the
//! chain takes each signed nonce once, and whoever sends asks the chain first.

mod attempts;
mod called_valid;
mod claim;
mod conclude;
mod gas;
mod orders;
mod recorded;
mod signatures;
mod slot_costs;
mod slot_rows;
mod slot_steps;
mod slots;
mod taken_nonce;
mod told;
