//! The one place that speaks SQL: chain state, payments, claims, outcomes and incidents in SQLite.
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

mod account;
mod apply;
mod astray;
mod backup;
mod batch;
mod beside;
mod bulk;
mod ceiling;
mod chain;
mod channel;
mod channel_page;
mod channel_rows;
mod checkpoint;
mod claim;
mod clock;
mod columns;
mod counts;
mod coverage;
mod crowd;
mod direct;
mod disputed;
mod error;
mod exposure;
mod found;
mod halt;
mod identity;
mod incident;
mod lease;
mod lock;
mod lost;
mod making;
mod measure;
mod merged;
mod notice;
mod open;
mod options;
mod outcome;
mod overview;
mod payment;
mod place;
mod quote_life;
mod readers;
mod recent;
mod references;
mod replay;
mod risk;
mod steps;
mod store;
mod sums;
mod totals;
mod transaction;
mod undecoded;
mod unreadable;
mod unserved;
mod usage;
mod voucher;
mod work;
mod writable;
mod writer;

pub use account::{ChannelAccount, VoucherTotals};
pub use backup::{Backup, Restored, backup, restore};
pub use batch::{Applied, Batch};
pub use beside::{AmbiguityRow, Beside, Placed};
pub use chain::{Block, ChainState, Cursor};
pub use channel::{ChannelRow, ChannelsOf};
pub use channel_page::ChannelPage;
pub use claim::{ClaimLimits, ClaimResult, NewClaim};
pub use counts::Counts;
pub use coverage::{Coverage, Past, SourceKey, Stretch};
pub use crowd::{FEW, Wanted};
pub use error::StoreError;
pub use exposure::{Exposure, ExposureLimit};
pub use halt::{Above, AcceptedFork, GrantAbove, Halt, HaltKind};
pub use incident::{Incident, IncidentCount, IncidentFilter, IncidentKind};
pub use lease::{Holder, Lease};
pub use lock::RoleLock;
pub use making::Making;
pub use notice::{Notice, NoticeEvent};
pub use options::Options;
pub use outcome::{Outcome, StoredOutcome};
pub use overview::{ChainOverview, Overview};
pub use payment::{ClaimRow, IndexedPayment, PlacedPayment};
pub use quote_life::QuoteLife;
pub use recent::MemoryUse;
pub use references::{OF_ONE, Referred};
pub use replay::Replays;
pub use risk::{ChannelRisk, RiskReason};
pub use store::Store;
pub use undecoded::UndecodedLog;
pub use unreadable::UnreadableTransaction;
pub use unserved::Unserved;
pub use usage::NewUse;
pub use voucher::{NewVoucher, NotCurrent, Opening, VoucherAccount, VoucherGrant, VoucherResult, VoucherRow};
