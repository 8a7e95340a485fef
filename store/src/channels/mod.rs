//! Payment channels: their events, where each stands, and what is granted on vouchers of them. A channel's state is the fold
//! of its events; nothing else is stored of it.

pub(crate) mod account;
mod closing;
pub(crate) mod events;
pub(crate) mod page;
pub(crate) mod risk_rows;
pub(crate) mod state;
pub(crate) mod totals;
pub(crate) mod totals_upgrade;
mod voucher;
