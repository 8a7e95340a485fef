//! The identity of this database.

use salt402_protocol::B256;

use crate::engine::{Columns as _, Write, WriteTransaction, query, send};
use crate::rows::StoreError;
use crate::store::Store;

impl Store {
    /// A random name of 32 hexadecimal digits. It is drawn once and then stays the same. A gateway claims under it, so
    /// that it finds its claims again after a restart.
    pub async fn get_or_create_identity(&self) -> Result<String, StoreError> {
        let drawn = B256::from(rand::random::<[u8; 32]>());
        send(self.jobs(), Identity(format!("{drawn:x}")[..32].to_owned())).await
    }
}

struct Identity(String);

impl Write for Identity {
    type Output = String;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<String, StoreError> {
        query("INSERT INTO meta (name, value) VALUES ('identity', $1) ON CONFLICT (name) DO NOTHING")
            .bind(self.0.as_str())
            .execute(transaction.connection())?;
        let row =
            query("SELECT value FROM meta WHERE name = 'identity'").fetch_one(transaction.connection())?;
        row.text("value")
    }
}
