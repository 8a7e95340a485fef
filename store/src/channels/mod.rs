//! Payment channels: their events, their states, and the grants on their vouchers. A channel's state is the fold of its
//! events. It is stored nowhere else.

pub(crate) mod account;
mod closing;
pub(crate) mod events;
pub(crate) mod page;
pub(crate) mod risk_rows;
pub(crate) mod state;
pub(crate) mod totals;
pub(crate) mod totals_upgrade;
pub(crate) mod voucher;
