//! SQL statements that run on a thread of their connection and are awaited. Everything uses them except a follower's
//! steps and the look-up of a payment.
//!
//! Other rooms use the names of this file. They do not see which library is behind them.

use salt402_protocol::{Address, B256};
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, Encode, Row as _, SqlSafeStr, Transaction, Type};

use crate::engine::columns::{Columns, natural};
use crate::rows::StoreError;

/// A connection whose statements are awaited.
pub(crate) type AsyncConnection = SqliteConnection;
/// One row of a result. [`Columns`] reads its columns by name.
pub(crate) type AsyncRow = SqliteRow;
/// A statement that is built from pieces.
pub(crate) type AsyncQueryBuilder = sqlx::QueryBuilder<Sqlite>;

/// A statement with its parameters.
pub(crate) struct AsyncQuery(sqlx::query::Query<'static, Sqlite, SqliteArguments>);

/// A statement. Each connection prepares it once and keeps it.
pub(crate) fn query(sql: &'static str) -> AsyncQuery {
    safe(sql)
}

/// A statement whose text is built by this program. The text contains nothing that came from outside.
pub(crate) fn query_made(sql: String) -> AsyncQuery {
    safe(AssertSqlSafe(sql))
}

fn safe(sql: impl SqlSafeStr) -> AsyncQuery {
    AsyncQuery(sqlx::query(sql))
}

/// The result of a statement.
pub(crate) struct Executed(u64);

impl Executed {
    pub(crate) fn rows_affected(&self) -> u64 {
        self.0
    }
}

impl AsyncQuery {
    /// Binds the next parameter.
    pub(crate) fn bind<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(self, value: T) -> Self {
        Self(self.0.bind(value))
    }

    pub(crate) async fn execute(self, connection: &mut AsyncConnection) -> Result<Executed, StoreError> {
        Ok(Executed(self.0.execute(connection).await?.rows_affected()))
    }

    /// The first row. It is an error if there is none.
    pub(crate) async fn fetch_one(self, connection: &mut AsyncConnection) -> Result<AsyncRow, StoreError> {
        Ok(self.0.fetch_one(connection).await?)
    }

    /// The first row, if there is one.
    pub(crate) async fn fetch_optional(
        self,
        connection: &mut AsyncConnection,
    ) -> Result<Option<AsyncRow>, StoreError> {
        Ok(self.0.fetch_optional(connection).await?)
    }

    pub(crate) async fn fetch_all(
        self,
        connection: &mut AsyncConnection,
    ) -> Result<Vec<AsyncRow>, StoreError> {
        Ok(self.0.fetch_all(connection).await?)
    }
}

/// Begins a transaction and takes the write lock at once. A transaction that is dropped is undone.
pub(crate) async fn begin(connection: &mut AsyncConnection) -> Result<Transaction<'_, Sqlite>, StoreError> {
    Ok(connection.begin_with("BEGIN IMMEDIATE").await?)
}

/// Closes a connection.
pub(crate) async fn close(connection: AsyncConnection) {
    let _ = connection.close().await;
}

/// A number that changes when another connection commits.
pub(crate) async fn data_version(connection: &mut AsyncConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query("PRAGMA data_version").fetch_one(connection).await?.try_get(0)?)
}

impl Columns for AsyncRow {
    fn number(&self, column: &'static str) -> Result<u64, StoreError> {
        natural(column, self.try_get::<i64, _>(column)?)
    }

    fn maybe_number(&self, column: &'static str) -> Result<Option<u64>, StoreError> {
        self.try_get::<Option<i64>, _>(column)?.map(|value| natural(column, value)).transpose()
    }

    fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        Ok(self.try_get::<bool, _>(column)?)
    }

    fn hash(&self, column: &'static str) -> Result<B256, StoreError> {
        self.maybe_hash(column)?.ok_or(StoreError::Corrupt { column })
    }

    fn maybe_hash(&self, column: &'static str) -> Result<Option<B256>, StoreError> {
        let bytes = self.try_get::<Option<&[u8]>, _>(column)?;
        bytes.map(|bytes| B256::try_from(bytes).map_err(|_| StoreError::Corrupt { column })).transpose()
    }

    fn address(&self, column: &'static str) -> Result<Address, StoreError> {
        Address::try_from(self.try_get::<&[u8], _>(column)?).map_err(|_| StoreError::Corrupt { column })
    }

    fn maybe_address(&self, column: &'static str) -> Result<Option<Address>, StoreError> {
        let bytes = self.try_get::<Option<&[u8]>, _>(column)?;
        bytes.map(|bytes| Address::try_from(bytes).map_err(|_| StoreError::Corrupt { column })).transpose()
    }

    fn maybe_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        Ok(self.try_get(column)?)
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        Ok(self.try_get(column)?)
    }
}

/// The plan of a statement, line by line.
#[cfg(test)]
pub(crate) async fn plan(connection: &mut AsyncConnection, sql: &str) -> Vec<String> {
    let explain = query_made(format!("EXPLAIN QUERY PLAN {sql}"));
    let plan = explain.fetch_all(connection).await.unwrap();
    plan.iter().map(|row| row.get("detail")).collect()
}
