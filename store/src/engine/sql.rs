//! Statements with owned parameters and owned rows. They run on the calling thread.
//!
//! On the writer's own thread nobody else waits. A connection for reading hands the other tasks of its thread to another thread
//! while a statement runs, because some reports read for long.
//!
//! Other rooms use the names of this file. They do not see which library is behind them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{OpenFlags, Statement, ToSql};
use salt402_protocol::{Address, B256};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::engine::columns::{Columns, natural};
use crate::engine::sync_sql::SyncConnection;
use crate::rows::StoreError;

/// How many statements a connection keeps prepared.
const STATEMENTS: usize = 128;

/// A connection.
pub(crate) struct Connection {
    inner: rusqlite::Connection,
    /// Whether statements may take long, so that tasks of the same thread must not wait for them.
    apart: bool,
}

impl Connection {
    /// Opens a file that exists. A connection that may only read is one whose statements may take long.
    pub(super) fn open(path: &Path, writes: bool, busy_timeout: Duration) -> Result<Self, rusqlite::Error> {
        let access =
            if writes { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
        let inner = rusqlite::Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        inner.busy_timeout(busy_timeout)?;
        inner.set_prepared_statement_cache_capacity(STATEMENTS);
        inner.pragma_update(None, "foreign_keys", true)?;
        Ok(Self { inner, apart: !writes })
    }

    /// Its statements may take long, although it writes.
    pub(super) fn apart(self) -> Self {
        Self { apart: true, ..self }
    }

    /// What the library offers and this file does not.
    pub(super) fn library(&self) -> &rusqlite::Connection {
        &self.inner
    }

    /// The same, for statements whose rows are read as SQLite has them.
    pub(crate) fn borrowing(&self) -> SyncConnection<'_> {
        SyncConnection::new(&self.inner)
    }

    fn run<T>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let others_wait = self.apart
            && Handle::try_current()
                .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
        if others_wait { tokio::task::block_in_place(|| work(&self.inner)) } else { work(&self.inner) }
    }
}

/// A statement with its parameters.
pub(crate) struct Query {
    sql: Text,
    values: Result<Vec<Value>, rusqlite::Error>,
}

enum Text {
    Fixed(&'static str),
    Made(String),
}

/// A statement. Each connection prepares it once and keeps it.
pub(crate) fn query(sql: &'static str) -> Query {
    Query { sql: Text::Fixed(sql), values: Ok(Vec::new()) }
}

/// A statement whose text is built by this program. The text contains nothing that came from outside.
pub(crate) fn query_made(sql: String) -> Query {
    Query { sql: Text::Made(sql), values: Ok(Vec::new()) }
}

/// The result of a statement.
pub(crate) struct Executed(u64);

impl Executed {
    pub(crate) fn rows_affected(&self) -> u64 {
        self.0
    }
}

impl Query {
    /// Binds the next parameter: `$1`, then `$2`.
    pub(crate) fn bind(mut self, value: impl ToSql) -> Self {
        self.values = self.values.and_then(|mut values| {
            values.push(owned(&value)?);
            Ok(values)
        });
        self
    }

    pub(crate) fn execute(self, connection: &mut Connection) -> Result<Executed, StoreError> {
        connection.run(|connection| {
            let mut statement = connection.prepare_cached(self.text())?;
            bind(&mut statement, self.values?)?;
            // A statement that returns rows is run to its end.
            let mut rows = statement.raw_query();
            while rows.next()?.is_some() {}
            Ok(Executed(connection.changes()))
        })
    }

    /// The first row. It is an error if there is none.
    pub(crate) fn fetch_one(self, connection: &mut Connection) -> Result<Row, StoreError> {
        let first = self.fetch_optional(connection)?;
        first.ok_or_else(|| rusqlite::Error::QueryReturnedNoRows.into())
    }

    /// The first row, if there is one.
    pub(crate) fn fetch_optional(self, connection: &mut Connection) -> Result<Option<Row>, StoreError> {
        connection.run(|connection| Ok(self.rows(connection, 1)?.pop()))
    }

    pub(crate) fn fetch_all(self, connection: &mut Connection) -> Result<Vec<Row>, StoreError> {
        connection.run(|connection| self.rows(connection, usize::MAX))
    }

    fn text(&self) -> &str {
        match &self.sql {
            Text::Fixed(sql) => sql,
            Text::Made(sql) => sql,
        }
    }

    /// Runs the statement to its end, and keeps so many rows. One that changes rows changes all of them.
    fn rows(self, connection: &rusqlite::Connection, most: usize) -> Result<Vec<Row>, StoreError> {
        let mut statement = connection.prepare_cached(self.text())?;
        bind(&mut statement, self.values?)?;
        let (mut names, mut found) = (None, Vec::new());
        let reads = statement.readonly();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            if found.len() >= most {
                if reads {
                    break;
                }
                continue;
            }
            let statement: &Statement<'_> = row.as_ref();
            let names = names.get_or_insert_with(|| {
                let names: Arc<[Box<str>]> = statement.column_names().into_iter().map(Box::from).collect();
                debug_assert!(are_distinct(&names), "two columns of one name: {names:?}");
                names
            });
            let values = (0..names.len()).map(|index| row.get(index)).collect::<Result<Box<[Value]>, _>>()?;
            found.push(Row { names: Arc::clone(names), values });
        }
        Ok(found)
    }
}

fn are_distinct(names: &[Box<str>]) -> bool {
    names.iter().enumerate().all(|(place, name)| names.iter().take(place).all(|other| other != name))
}

fn owned(value: &impl ToSql) -> Result<Value, rusqlite::Error> {
    match value.to_sql()? {
        ToSqlOutput::Owned(value) => Ok(value),
        ToSqlOutput::Borrowed(value) => Ok(value.try_into()?),
        _ => Err(rusqlite::Error::ToSqlConversionFailure("a value of no column".into())),
    }
}

/// Binds by the numbers in the names `$1`, `$2`. SQLite itself numbers such names in the order in which they stand.
fn bind(statement: &mut Statement<'_>, values: Vec<Value>) -> Result<(), rusqlite::Error> {
    for index in 1..=statement.parameter_count() {
        let number = match statement.parameter_name(index) {
            Some(name) => name.get(1..).and_then(|number| number.parse().ok()),
            None => Some(index),
        };
        let value = number.and_then(|number: usize| values.get(number.checked_sub(1)?));
        let value = value.ok_or(rusqlite::Error::InvalidParameterCount(index, values.len()))?;
        statement.raw_bind_parameter(index, value)?;
    }
    Ok(())
}

/// A statement that is built from pieces.
pub(crate) struct QueryBuilder {
    sql: String,
    bound: Query,
}

impl QueryBuilder {
    pub(crate) fn new(sql: String) -> Self {
        Self { sql, bound: query("") }
    }

    /// Adds text. It contains nothing that came from outside.
    pub(crate) fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Adds a parameter.
    pub(crate) fn push_bind(&mut self, value: impl ToSql) -> &mut Self {
        self.sql.push('?');
        let bound = std::mem::replace(&mut self.bound, query(""));
        self.bound = bound.bind(value);
        self
    }

    pub(crate) fn build(self) -> Query {
        Query { sql: Text::Made(self.sql), ..self.bound }
    }
}

/// A transaction that holds the write lock. One that is dropped is undone.
pub(crate) struct Transaction<'c> {
    connection: &'c mut Connection,
    open: bool,
}

/// Begins a transaction and takes the write lock at once. A transaction that takes it at its first write fails without
/// waiting if somebody wrote since it began to read.
pub(crate) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    connection.run(|connection| Ok(connection.execute_batch("BEGIN IMMEDIATE")?))?;
    Ok(Transaction { connection, open: true })
}

impl Transaction<'_> {
    /// The connection to run statements on.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        self.connection
    }

    /// Ends it. It is on disk when this returns, as far as the connection's settings say so.
    pub(crate) fn commit(mut self) -> Result<(), StoreError> {
        self.connection.run(|connection| Ok(connection.execute_batch("COMMIT")?))?;
        self.open = false;
        Ok(())
    }

    /// Undoes everything.
    pub(crate) fn rollback(mut self) -> Result<(), StoreError> {
        self.connection.run(|connection| Ok(connection.execute_batch("ROLLBACK")?))?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // One that SQLite undid itself is over already.
        if self.open && !self.connection.inner.is_autocommit() {
            let _ = self.connection.inner.execute_batch("ROLLBACK");
        }
    }
}

/// Closes a connection.
pub(crate) fn close(connection: Connection) {
    drop(connection);
}

/// A number that changes when another connection commits.
pub(crate) fn data_version(connection: &mut Connection) -> Result<i64, StoreError> {
    connection.run(|connection| {
        let mut pragma = connection.prepare_cached("PRAGMA data_version")?;
        Ok(pragma.query_row([], |row| row.get(0))?)
    })
}

/// One row of a result. [`Columns`] reads its columns by name.
pub(crate) struct Row {
    names: Arc<[Box<str>]>,
    values: Box<[Value]>,
}

impl Row {
    fn value(&self, column: &'static str) -> Result<&Value, StoreError> {
        let index = self.names.iter().position(|name| **name == *column);
        index.and_then(|index| self.values.get(index)).ok_or(StoreError::Corrupt { column })
    }

    fn maybe_integer(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        match self.value(column)? {
            Value::Integer(value) => Ok(Some(*value)),
            Value::Null => Ok(None),
            _ => Err(StoreError::Corrupt { column }),
        }
    }

    fn maybe_bytes(&self, column: &'static str) -> Result<Option<&[u8]>, StoreError> {
        match self.value(column)? {
            Value::Blob(value) => Ok(Some(value)),
            Value::Null => Ok(None),
            _ => Err(StoreError::Corrupt { column }),
        }
    }
}

impl Columns for Row {
    fn number(&self, column: &'static str) -> Result<u64, StoreError> {
        self.maybe_number(column)?.ok_or(StoreError::Corrupt { column })
    }

    fn maybe_number(&self, column: &'static str) -> Result<Option<u64>, StoreError> {
        self.maybe_integer(column)?.map(|value| natural(column, value)).transpose()
    }

    fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        let value = self.maybe_integer(column)?.ok_or(StoreError::Corrupt { column })?;
        Ok(value != 0)
    }

    fn hash(&self, column: &'static str) -> Result<B256, StoreError> {
        self.maybe_hash(column)?.ok_or(StoreError::Corrupt { column })
    }

    fn maybe_hash(&self, column: &'static str) -> Result<Option<B256>, StoreError> {
        let bytes = self.maybe_bytes(column)?;
        bytes.map(|bytes| B256::try_from(bytes).map_err(|_| StoreError::Corrupt { column })).transpose()
    }

    fn address(&self, column: &'static str) -> Result<Address, StoreError> {
        self.maybe_address(column)?.ok_or(StoreError::Corrupt { column })
    }

    fn maybe_address(&self, column: &'static str) -> Result<Option<Address>, StoreError> {
        let bytes = self.maybe_bytes(column)?;
        bytes.map(|bytes| Address::try_from(bytes).map_err(|_| StoreError::Corrupt { column })).transpose()
    }

    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.maybe_text(column)?.ok_or(StoreError::Corrupt { column })
    }

    fn maybe_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        match self.value(column)? {
            Value::Text(value) => Ok(Some(value.clone())),
            Value::Null => Ok(None),
            _ => Err(StoreError::Corrupt { column }),
        }
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        let bytes = self.maybe_bytes(column)?.ok_or(StoreError::Corrupt { column })?;
        Ok(bytes.to_vec())
    }
}

/// The plan of a statement, line by line.
#[cfg(test)]
pub(crate) fn plan(connection: &mut Connection, sql: &str) -> Vec<String> {
    let explain = query_made(format!("EXPLAIN QUERY PLAN {sql}"));
    let mut statement = connection.inner.prepare(explain.text()).unwrap();
    let mut rows = statement.raw_query();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        lines.push(row.get("detail").unwrap());
    }
    lines
}
