//! The engine: the database file, its schema, its connections and tasks, and the writer that commits in groups. No
//! other room knows which SQL libraries are used. The engine knows nothing of payments, claims or chains: it gets its
//! work as traits.
//!
//! Other rooms use the names below. `Async` and [`query`] are of [`sql`], whose rows are owned. `Sync` and [`params`] are of
//! [`sync_sql`], which hands rows over as SQLite has them: for a follower's steps, which have thousands, and for the look-up that
//! every request needs.

pub(crate) mod backup;
pub(crate) mod changes;
pub(crate) mod checkpoint;
pub(crate) mod clock;
pub(crate) mod columns;
pub(crate) mod database_mark;
pub(crate) mod direct;
pub(crate) mod file_identity;
pub(crate) mod lock;
pub(crate) mod memory;
pub(crate) mod open;
pub(crate) mod options;
pub(crate) mod queue;
pub(crate) mod readers;
mod result_code;
pub(crate) mod schema;
pub(crate) mod sql;
pub(crate) mod steps;
pub(crate) mod sync_sql;
pub(crate) mod transaction;
pub(crate) mod write_health;
pub(crate) mod writer;

pub(crate) use backup::Restored;
pub(crate) use changes::{Changes, Forget};
pub(crate) use checkpoint::Checkpointer;
pub(crate) use columns::{Columns, amount_bytes, bound, chain_id, integer};
pub(crate) use database_mark::DatabaseOrigin;
pub(crate) use direct::{CommitWatcher, Direct};
pub(crate) use file_identity::DatabaseFiles;
pub(crate) use lock::RoleLock;
pub(crate) use memory::{Memory, Seen};
pub(crate) use open::{Opened, read_only};
pub(crate) use options::Options;
pub(crate) use queue::{Batched, Jobs, QUEUE, Write, send, send_batched};
pub(crate) use readers::{Reader, Readers};
pub(crate) use schema::Upgrade;
pub(crate) use sql::{Connection, QueryBuilder, Row, begin, close, data_version, query, query_made};
pub(crate) use steps::{Step, send_step};
pub(crate) use sync_sql::{Params, SyncConnection, SyncRow, SyncRows, params, params_from_iter};
pub(crate) use transaction::{Gathered, WriteTransaction};
pub(crate) use write_health::WriteHealth;
pub(crate) use writer::Writer;
