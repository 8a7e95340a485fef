//! The decision: was this request paid, and may it be served now? Nothing here uses HTTP.
//!
//! [`judge`](judge::judge) is the decision, as a pure function of what the index holds. Each file imports only files
//! above it in this list:
//!
//! ```text
//! policy, derived, account_limits, key_rates, payment_view              what is accepted, and what is remembered
//! judge/, refusals                                                 the decision, and the words of a refusal
//! freshness, claimant_lease                                        how far the index is; who claims under a name
//! inner                                                            all of that, shared by a verifier's clones
//! readiness, shown                                                 what the index says of a chain, and of a proof
//! voucher_by_contract, second_node, receipt_review, quote_end      what must be asked of the chain before it is said
//! keys                                                             balances, and what is drawn of them
//! quote, reserve                                                   what is to be paid, and what was signed for it
//! grant, voucher, by_reference, attempt                            one look at the index, and the claim
//! decide, reports, upkeep                                          what is asked of a verifier
//! verifier                                                         all of that as one type
//! ```

pub(crate) mod account_limits;
mod attempt;
mod by_reference;
mod claimant_lease;
mod decide;
pub(crate) mod derived;
pub(crate) mod freshness;
mod grant;
pub(crate) mod inner;
pub(crate) mod judge;
mod key_rates;
mod keys;
mod payment_view;
pub(crate) mod policy;
mod quote;
mod quote_end;
mod readiness;
mod receipt_review;
mod refusals;
mod reports;
mod reserve;
mod second_node;
mod shown;
mod upkeep;
pub(crate) mod verifier;
mod voucher;
mod voucher_by_contract;
