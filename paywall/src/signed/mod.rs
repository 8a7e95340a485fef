//! Signed payments (x402): what a payer signs is kept for its request, settled by a facilitator, and then granted on as any other
//! payment that the index shows.
//!
//! Who has shown a signature is never led to sign again: [`after_signature`].

mod admit;
mod authorized;
mod capture;
mod facilitator;
mod told;
mod ways;

pub use authorized::{Authorized, Granted};
pub use capture::{Capture, Moved};
pub use facilitator::{FacilitatorClient, RemoteFacilitator, SettleFault, Settlement};
pub use told::{after_signature, asked_once};
pub use ways::{SignedMethod, SignedWay};

pub(crate) use admit::{Seller, admit};
pub(crate) use authorized::VOUCHER_KEPT_MS;
pub(crate) use capture::capture;
pub(crate) use ways::Scheme;
