//! Values of the protocol as values of a database, and back.

use salt402_protocol::{Address, Amount, Asset, B256, ChainId, PaymentId, U256};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::StoreError;

/// A number as the database holds it.
pub(crate) fn integer(what: &'static str, value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::TooLarge { what, value })
}

/// A bound that nothing stored can exceed: cut, because comparing with more than the database can hold is the same.
pub(crate) fn bound(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A chain id, which always fits.
pub(crate) fn chain_id(chain: ChainId) -> i64 {
    bound(chain.get())
}

/// An amount: 32 bytes, most significant first, so that blobs sort as amounts do.
pub(crate) fn amount_bytes(amount: Amount) -> [u8; 32] {
    amount.0.to_be_bytes()
}

/// Columns of a row of rusqlite's, by their places.
pub(crate) trait Places {
    fn natural(&self, place: usize, column: &'static str) -> Result<u64, StoreError>;
    fn maybe_natural(&self, place: usize, column: &'static str) -> Result<Option<u64>, StoreError>;
    fn hash_at(&self, place: usize, column: &'static str) -> Result<B256, StoreError>;
    fn address_at(&self, place: usize, column: &'static str) -> Result<Address, StoreError>;
}

impl Places for rusqlite::Row<'_> {
    fn natural(&self, place: usize, column: &'static str) -> Result<u64, StoreError> {
        natural(column, self.get(place)?)
    }

    fn maybe_natural(&self, place: usize, column: &'static str) -> Result<Option<u64>, StoreError> {
        self.get::<_, Option<i64>>(place)?.map(|value| natural(column, value)).transpose()
    }

    fn hash_at(&self, place: usize, column: &'static str) -> Result<B256, StoreError> {
        let bytes = self.get_ref(place)?.as_blob().map_err(|_| StoreError::Corrupt { column })?;
        B256::try_from(bytes).map_err(|_| StoreError::Corrupt { column })
    }

    fn address_at(&self, place: usize, column: &'static str) -> Result<Address, StoreError> {
        let bytes = self.get_ref(place)?.as_blob().map_err(|_| StoreError::Corrupt { column })?;
        Address::try_from(bytes).map_err(|_| StoreError::Corrupt { column })
    }
}

/// Reads the columns of a row; a value that this program never writes is [`StoreError::Corrupt`].
pub(crate) trait Columns {
    fn number(&self, column: &'static str) -> Result<u64, StoreError>;
    fn maybe_number(&self, column: &'static str) -> Result<Option<u64>, StoreError>;
    fn flag(&self, column: &'static str) -> Result<bool, StoreError>;
    fn hash(&self, column: &'static str) -> Result<B256, StoreError>;
    fn maybe_hash(&self, column: &'static str) -> Result<Option<B256>, StoreError>;
    fn address(&self, column: &'static str) -> Result<Address, StoreError>;
    fn maybe_address(&self, column: &'static str) -> Result<Option<Address>, StoreError>;
    fn text(&self, column: &'static str) -> Result<String, StoreError>;
    fn maybe_text(&self, column: &'static str) -> Result<Option<String>, StoreError>;
    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError>;

    fn chain(&self, column: &'static str) -> Result<ChainId, StoreError> {
        ChainId::new(self.number(column)?).ok_or(StoreError::Corrupt { column })
    }

    fn asset(&self, column: &'static str) -> Result<Asset, StoreError> {
        self.address(column).map(Asset::from_address)
    }

    fn amount(&self, column: &'static str) -> Result<Amount, StoreError> {
        self.hash(column).map(|bytes| Amount(U256::from_be_bytes(bytes.0)))
    }

    fn payment_id(&self, column: &'static str) -> Result<PaymentId, StoreError> {
        self.hash(column).map(PaymentId)
    }
}

impl Columns for SqliteRow {
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

/// By name, as those of sqlx's rows. For rows that both connections read.
impl Columns for rusqlite::Row<'_> {
    fn number(&self, column: &'static str) -> Result<u64, StoreError> {
        natural(column, self.get(column)?)
    }

    fn maybe_number(&self, column: &'static str) -> Result<Option<u64>, StoreError> {
        self.get::<_, Option<i64>>(column)?.map(|value| natural(column, value)).transpose()
    }

    fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        Ok(self.get(column)?)
    }

    fn hash(&self, column: &'static str) -> Result<B256, StoreError> {
        self.maybe_hash(column)?.ok_or(StoreError::Corrupt { column })
    }

    fn maybe_hash(&self, column: &'static str) -> Result<Option<B256>, StoreError> {
        let bytes = self.get_ref(column)?.as_blob_or_null().map_err(|_| StoreError::Corrupt { column })?;
        bytes.map(|bytes| B256::try_from(bytes).map_err(|_| StoreError::Corrupt { column })).transpose()
    }

    fn address(&self, column: &'static str) -> Result<Address, StoreError> {
        self.maybe_address(column)?.ok_or(StoreError::Corrupt { column })
    }

    fn maybe_address(&self, column: &'static str) -> Result<Option<Address>, StoreError> {
        let bytes = self.get_ref(column)?.as_blob_or_null().map_err(|_| StoreError::Corrupt { column })?;
        bytes.map(|bytes| Address::try_from(bytes).map_err(|_| StoreError::Corrupt { column })).transpose()
    }

    fn text(&self, column: &'static str) -> Result<String, StoreError> {
        Ok(self.get(column)?)
    }

    fn maybe_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.get(column)?)
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, StoreError> {
        Ok(self.get(column)?)
    }
}

fn natural(column: &'static str, value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Corrupt { column })
}
