//! The only crate with SQL: chain state, payments, claims, outcomes and incidents in SQLite.
//!
//! ```text
//!                      bounded channel                    one transaction a group
//!  apply, claim, … ──────────────────────▶ writer task ─────────────────────────────▶ write-ahead log ─┐
//!                  ◀──── answered after the commit ────                                                │ copied
//!  counts, … ────────────────────────────▶ reading connections ◀── database file ◀── checkpoint task ◀─┘
//!  payments_in ──▶ memory, or on the caller's thread ──────────────────▲
//! ```
//!
//! - **One writer** a process, and one write at a time among processes: every transaction takes the lock as it begins.
//! - **Nothing is answered before it is on disk.** Commands that wait together are committed together.
//! - **Memory is never older than the database**: recent payments are kept in memory, and believed only while nobody
//!   has committed since they were true, or has said what the commit changed.
//! - **A follower's step is one transaction**: undo, insert, move the cursor. Readers see it whole or not at all.
//! - **Rows of blocks that left the chain stay**, marked. At most one row of a payment is on the chain: an index
//!   refuses a second, and so does another the second claim of a payment, whatever the code does.
//! - What the store does not know: what a payment is worth, who may claim it, how the chain was read.
//!
//! # Rooms
//!
//! The rooms. Each imports only rooms that stand before it in this list.
//!
//! | room | what it is |
//! | --- | --- |
//! | `rows` | the values that go in and out |
//! | `engine` | the file, its schema, connections and tasks; the only room that knows which SQL libraries run |
//! | `payments` | how payments are found, and the memory of recent ones |
//! | `store` | the open database as all others hold it |
//! | `chains` | which chain it is, where its index stands, what was read, what halts it |
//! | `accounts` | prepaid balances that API keys draw |
//! | `channels` | payment channels, and grants on their vouchers |
//! | `incidents` | what an operator must know of, and the outbox that tells of it |
//! | `grants` | claims, exposure, outcomes |
//! | `settlements` | signed payments that are settled from here, and the transactions that do so |
//! | `follow` | a follower's steps |
//! | `reports` | what is told of a whole database |
//! | `database` | opening one, and putting one back |

mod accounts;
mod chains;
mod channels;
mod database;
mod engine;
mod follow;
mod grants;
mod incidents;
mod payments;
mod reports;
mod rows;
mod settlements;
mod store;

pub use chains::chain::ChainState;
pub use chains::coverage::{Coverage, SourceKey};
pub use chains::halt::{Above, AcceptedFork, GrantAbove, Halt};
pub use channels::account::ChannelAccount;
pub use channels::page::ChannelPage;
pub use channels::state::{ChannelRow, ChannelsOf};
pub use database::restore::restore;
pub use engine::backup::{Backup, Restored, backup};
pub use engine::database_mark::DatabaseOrigin;
pub use engine::lock::RoleLock;
pub use engine::options::Options;
pub use follow::ambiguities::AmbiguityRow;
pub use follow::batch::{Applied, Batch};
pub use follow::extras::Extras;
pub use follow::past::Past;
pub use follow::undecoded::UndecodedLog;
pub use follow::unreadable::UnreadableTransaction;
pub use grants::exposure::Exposure;
pub use grants::kept_for::KeptFor;
pub use grants::outcome::{Outcome, StoredOutcome};
pub use grants::quote_life::QuoteLife;
pub use grants::reservations::{KeptPayment, NewReservation, Reserved, ReservedTerms};
pub use grants::unserved::{PartOf, Unserved};
pub use incidents::incident::{Incident, IncidentCount, IncidentFilter, IncidentKind};
pub use incidents::notices::Notice;
pub use incidents::outbox::NoticeEvent;
pub use incidents::replay::Replays;
pub use payments::cache::MemoryUse;
pub use payments::many_payments::Wanted;
pub use payments::query::FEW;
pub use payments::references::{OF_ONE, Referred};
pub use reports::counts::Counts;
pub use reports::overview::{ChainOverview, Overview};
pub use rows::account::{
    Account, AccountChange, AccountEvent, AccountEventKind, Changed, DrawResult, NewAccount, NewCredit,
    NewDraw,
};
pub use rows::block::{Block, Cursor, HaltKind, Placed, Stretch};
pub use rows::charge::{Begun, Captured, Charge, ChargeState, NewCapture, NewCharge, NewPiece, OpenCharges};
pub use rows::claim::{ClaimLimits, ClaimResult, ExposureLimit, Holder, Lease, NewClaim, NewUse};
pub use rows::error::StoreError;
pub use rows::payment::{ClaimRow, IndexedPayment, PlacedPayment};
pub use rows::refund::{IndexedRefund, RefundOrder, RefundState, Refunded, Refunds};
pub use rows::risk::{ChannelRisk, RiskReason};
pub use rows::settlement::{
    CalledValid, Elsewhere, GasBudget, GasBudgets, GasCost, MinedSlot, NewSettlement, OpenSlot, Recorded,
    SettlementAttempt, SettlementClaim, SettlementFilter, SettlementOutcome, SettlementRow, SettlementState,
    Slot, SlotMined, SlotState, SlotTransaction, Told, ValidCall,
};
pub use rows::voucher::{
    NewVoucher, NotCurrent, Opening, VoucherAccount, VoucherGrant, VoucherResult, VoucherRow, VoucherTotals,
};
pub use store::Store;
pub use store::index_changes::IndexChanges;
