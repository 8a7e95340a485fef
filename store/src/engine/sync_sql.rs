//! SQL statements that run on the calling thread: for steps with many rows, and for the look-up that every request
//! needs.
//!
//! Other rooms use these types and do not see the library behind them. A connection keeps its prepared statements.

use std::cell::Cell;

use rusqlite::types::{FromSql, ValueRef};
use rusqlite::{CachedStatement, Connection, Row, Rows, Statement};
pub(crate) use rusqlite::{Params, ToSql, params, params_from_iter};
use salt402_protocol::{Address, B256};

use crate::engine::columns::{Columns, natural};
use crate::engine::result_code::ResultCode;
use crate::rows::StoreError;

/// A connection whose statements run on the calling thread.
#[derive(Clone, Copy)]
pub(crate) struct SyncConnection<'c>(&'c Connection);

impl<'c> SyncConnection<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self(connection)
    }

    /// A statement, prepared once and kept.
    pub(crate) fn prepare_cached(&self, sql: &str) -> Result<SyncStatement<'c>, StoreError> {
        Ok(SyncStatement(self.0.prepare_cached(sql)?))
    }

    /// Runs a statement once and does not keep it. Returns how many rows it changed.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        Ok(self.0.execute(sql, params)?)
    }

    /// Reads everything as of one moment, whatever is committed meanwhile.
    pub(crate) fn at_one_moment<T>(
        &self,
        read: impl FnOnce(&SyncConnection<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let moment = self.0.unchecked_transaction()?;
        read(&SyncConnection(&moment))
    }

    /// A number that changes when another connection commits. `None` if the database could not be asked.
    pub(super) fn data_version(&self) -> Option<i64> {
        let mut pragma = self.0.prepare_cached("PRAGMA data_version").ok()?;
        pragma.query_row([], |row| row.get(0)).ok()
    }
}

/// A statement that is prepared.
pub(crate) struct SyncStatement<'c>(CachedStatement<'c>);

impl SyncStatement<'_> {
    /// Runs it. Returns how many rows it changed.
    pub(crate) fn execute(&mut self, params: impl Params) -> Result<usize, StoreError> {
        Ok(self.0.execute(params)?)
    }

    /// [`Self::execute`]. `None` if a unique index refuses the row.
    pub(crate) fn execute_unique(&mut self, params: impl Params) -> Result<Option<usize>, StoreError> {
        match self.0.execute(params) {
            Ok(changed) => Ok(Some(changed)),
            Err(error) if ResultCode::of(&error) == ResultCode::Unique => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Binds one parameter, counted from 1. It stays bound.
    pub(crate) fn bind(&mut self, parameter: usize, value: impl ToSql) -> Result<(), StoreError> {
        Ok(self.0.raw_bind_parameter(parameter, value)?)
    }

    /// [`Self::execute`] with the bound parameters.
    pub(crate) fn execute_bound(&mut self) -> Result<usize, StoreError> {
        Ok(self.0.raw_execute()?)
    }

    /// The rows that it finds.
    pub(crate) fn query(&mut self, params: impl Params) -> Result<SyncRows<'_>, StoreError> {
        Ok(SyncRows(self.0.query(params)?))
    }

    /// The first row. It is an error if there is none.
    pub(crate) fn query_row<T>(
        &mut self,
        params: impl Params,
        read: impl FnOnce(SyncRow<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.query_optional(params, read)?.ok_or_else(|| rusqlite::Error::QueryReturnedNoRows.into())
    }

    /// The first row that it finds, if there is one.
    pub(crate) fn query_optional<T>(
        &mut self,
        params: impl Params,
        read: impl FnOnce(SyncRow<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut rows = self.query(params)?;
        rows.next()?.map(read).transpose()
    }

    /// Whether it finds a row.
    pub(crate) fn exists(&mut self, params: impl Params) -> Result<bool, StoreError> {
        Ok(self.0.exists(params)?)
    }
}

/// Rows, one after another.
pub(crate) struct SyncRows<'s>(Rows<'s>);

impl SyncRows<'_> {
    pub(crate) fn next(&mut self) -> Result<Option<SyncRow<'_>>, StoreError> {
        Ok(self.0.next()?.map(SyncRow::new))
    }
}

/// A row. Its columns are read by their index, or by their name as [`Columns`].
pub(crate) struct SyncRow<'r> {
    row: &'r Row<'r>,
    /// Where the next name is looked for first: columns are mostly read in the order in which they stand.
    next: Cell<usize>,
}

impl<'r> SyncRow<'r> {
    fn new(row: &'r Row<'r>) -> Self {
        Self { row, next: Cell::new(0) }
    }

    /// The value of a column. Names are those of the statement, letter by letter.
    fn value(&self, column: &'static str) -> Result<ValueRef<'_>, StoreError> {
        let statement: &Statement<'_> = self.row.as_ref();
        let (next, count) = (self.next.get(), statement.column_count());
        let is_here = |index: &usize| statement.column_name(*index).is_ok_and(|name| name == column);
        let index = (next..count).chain(0..next.min(count)).find(is_here);
        let index = index.ok_or(StoreError::Corrupt { column })?;
        debug_assert!((0..count).filter(is_here).count() == 1, "two columns of one name: {column}");
        self.next.set(index + 1);
        Ok(self.row.get_ref(index)?)
    }

    pub(crate) fn get<T: FromSql>(&self, index: usize) -> Result<T, StoreError> {
        Ok(self.row.get(index)?)
    }

    pub(crate) fn is_null(&self, index: usize) -> Result<bool, StoreError> {
        Ok(self.row.get_ref(index)? == ValueRef::Null)
    }

    /// A number that is never negative. `column` is the name that an error gives.
    pub(crate) fn natural(&self, index: usize, column: &'static str) -> Result<u64, StoreError> {
        natural(column, self.get(index)?)
    }

    pub(crate) fn maybe_natural(
        &self,
        index: usize,
        column: &'static str,
    ) -> Result<Option<u64>, StoreError> {
        self.get::<Option<i64>>(index)?.map(|value| natural(column, value)).transpose()
    }

    pub(crate) fn hash_at(&self, index: usize, column: &'static str) -> Result<B256, StoreError> {
        let bytes = self.row.get_ref(index)?.as_blob().map_err(|_| StoreError::Corrupt { column })?;
        B256::try_from(bytes).map_err(|_| StoreError::Corrupt { column })
    }

    pub(crate) fn address_at(&self, index: usize, column: &'static str) -> Result<Address, StoreError> {
        let bytes = self.row.get_ref(index)?.as_blob().map_err(|_| StoreError::Corrupt { column })?;
        Address::try_from(bytes).map_err(|_| StoreError::Corrupt { column })
    }
}

impl Columns for SyncRow<'_> {
    fn number(&self, column: &'static str) -> Result<u64, StoreError> {
        let number = self.value(column)?.as_i64().map_err(|_| StoreError::Corrupt { column })?;
        natural(column, number)
    }

    fn maybe_number(&self, column: &'static str) -> Result<Option<u64>, StoreError> {
        let number = self.value(column)?.as_i64_or_null().map_err(|_| StoreError::Corrupt { column })?;
        number.map(|value| natural(column, value)).transpose()
    }

    fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        bool::column_result(self.value(column)?).map_err(|_| StoreError::Corrupt { column })
    }

    fn hash(&self, column: &'static str) -> Result<B256, StoreError> {
        self.maybe_hash(column)?.ok_or(StoreError::Corrupt { column })
    }

    fn maybe_hash(&self, column: &'static str) -> Result<Option<B256>, StoreError> {
        let bytes = self.value(column)?.as_blob_or_null().map_err(|_| StoreError::Corrupt { column })?;
        bytes.map(|bytes| B256::try_from(bytes).map_err(|_| StoreError::Corrupt { column })).transpose()
    }

    fn address(&self, column: &'static str) -> Result<Address, StoreError> {
        self.maybe_address(column)?.ok_or(StoreError::Corrupt { column })
    }

    fn maybe_address(&self, column: &'static str) -> Result<Option<Address>, StoreError> {
        let bytes = self.value(column)?.as_blob_or_null().map_err(|_| StoreError::Corrupt { column })?;
        bytes.map(|bytes| Address::try_from(bytes).map_err(|_| StoreError::Corrupt { column })).transpose()
    }

    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.maybe_text(column)?.ok_or(StoreError::Corrupt { column })
    }

    fn maybe_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        let text = self.value(column)?.as_str_or_null().map_err(|_| StoreError::Corrupt { column })?;
        Ok(text.map(str::to_owned))
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        let bytes = self.value(column)?.as_blob().map_err(|_| StoreError::Corrupt { column })?;
        Ok(bytes.to_vec())
    }
}
