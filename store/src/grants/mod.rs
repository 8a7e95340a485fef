//! Grants: claims of payments, each payer's exposure, and outcomes. Only a claim grants on a payment. Nothing here
//! decides what a payment is worth or who may claim it.

mod before_restore;
mod captures;
mod charges;
mod charges_written_off;
mod claim;
mod deliveries;
pub(crate) mod exposure;
mod exposure_sums;
pub(crate) mod kept_for;
pub(crate) mod outcome;
mod pieces;
pub(crate) mod quote_life;
mod refunds;
pub(crate) mod reservations;
mod sunk;
pub(crate) mod unserved;
mod uses;
