//! Turns logs and receipts into payments and channel events, each with its block. It asks a node only for what a log
//! does not tell: the receipt and the calldata of the same transaction.

pub(crate) mod blocks;
pub(crate) mod found;
pub(crate) mod questions;
pub(crate) mod undecoded;
