//! The engine: the database file, its schema, its connections and tasks, and the writer that commits in groups. It is the only
//! room that knows which SQL libraries run. It knows no payment's worth, no claim and no chain: work is handed to it as traits.
//!
//! Two libraries run. sqlx hands every row to another thread as a list of owned values, which is right for the few rows of
//! most work; rusqlite runs on the calling thread, for steps of thousands of rows and for the look-up that every request needs.
//! Other rooms see [`async_sql`] and [`sync_sql`].

pub(crate) mod async_sql;
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
pub(crate) mod steps;
pub(crate) mod sync_sql;
pub(crate) mod transaction;
pub(crate) mod write_health;
pub(crate) mod writer;
