//! Values of the protocol as values of a database, and back.

use salt402_protocol::{Address, Amount, Asset, B256, ChainId, PaymentId, U256};

use crate::rows::StoreError;

/// A number as the database holds it.
pub(crate) fn integer(what: &'static str, value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::TooLarge { what, value })
}

/// A bound for a comparison. A number that is too large for the database is cut to its largest number, which compares
/// the same.
pub(crate) fn bound(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A chain id, which always fits.
pub(crate) fn chain_id(chain: ChainId) -> i64 {
    bound(chain.get())
}

/// An amount as 32 bytes, most significant byte first. Such blobs sort as the amounts do.
pub(crate) fn amount_bytes(amount: Amount) -> [u8; 32] {
    amount.0.to_be_bytes()
}

/// Reads the columns of a row. A value that this program never writes is [`StoreError::Corrupt`].
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

/// A number that is never negative.
pub(super) fn natural(column: &'static str, value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Corrupt { column })
}
