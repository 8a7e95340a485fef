//! The values that go in and out of the store. They are plain data, and know no statement, no connection and no other room.

pub(crate) mod block;
pub(crate) mod claim;
pub(crate) mod error;
pub(crate) mod payment;
pub(crate) mod refund;
pub(crate) mod risk;
pub(crate) mod voucher;
