//! The values that go into the store and come out of it. They are plain data and use no other room.

pub(crate) mod account;
pub(crate) mod block;
pub(crate) mod charge;
pub(crate) mod claim;
pub(crate) mod error;
pub(crate) mod payment;
pub(crate) mod refund;
pub(crate) mod risk;
pub(crate) mod settlement;
pub(crate) mod voucher;

pub(crate) use account::{
    Account, AccountChange, AccountEvent, AccountEventKind, Changed, DrawResult, NewAccount, NewCredit,
    NewDraw,
};
pub(crate) use block::{Block, Cursor, HaltKind, Placed, Stand, Stretch};
pub(crate) use charge::{Begun, Captured, Charge, ChargeState, NewCapture, NewCharge, NewPiece, OpenCharges};
pub(crate) use claim::{ClaimResult, ExposureLimit, Holder, Lease, NewClaim, NewUse};
pub(crate) use error::StoreError;
pub(crate) use payment::{ClaimRow, Found, IndexedPayment, Key, PlacedPayment};
pub(crate) use refund::{IndexedRefund, Refunded};
pub(crate) use risk::{ChannelRisk, RiskReason};
pub(crate) use settlement::{
    CalledValid, Elsewhere, GasBudget, GasBudgets, GasCost, MinedSlot, NewSettlement, OpenSlot, Recorded,
    SettlementAttempt, SettlementClaim, SettlementFilter, SettlementOutcome, SettlementRow, SettlementState,
    Slot, SlotMined, SlotState, SlotTransaction, Told, ValidCall,
};
pub(crate) use voucher::{
    NewVoucher, NotCurrent, Opening, Share, VoucherAccount, VoucherGrant, VoucherResult, VoucherRow,
    VoucherTotals,
};
