//! The values that go into the store and come out of it. They are plain data and use no other room.

pub(crate) mod block;
pub(crate) mod claim;
pub(crate) mod error;
pub(crate) mod payment;
pub(crate) mod risk;
pub(crate) mod voucher;
