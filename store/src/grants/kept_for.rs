//! Who may have a signed payment settled that is kept for a request. What was signed can be read on its way to the chain, so the key
//! of the request decides, and not the signature.

use salt402_protocol::{ChainId, PaymentId};

use crate::engine::{Columns, Connection, SyncConnection, chain_id, params, query};
use crate::rows::StoreError;
use crate::store::Store;

/// For whom a signed payment is kept, where it is asked with a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeptFor {
    /// It is not kept, or moved no money.
    #[default]
    Nobody,
    /// For a request, and this is the key with which it is settled ([`PaymentId::settlement_key`]).
    Key,
    /// For a request that is settled with another key.
    Another,
}

impl Store {
    /// For whom a signed payment is kept, where it is asked with a key.
    ///
    /// Reads the database on the caller's thread, as each request does. That takes microseconds.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn kept_for(
        &self,
        chain: ChainId,
        payment: PaymentId,
        key: Option<&str>,
    ) -> Result<KeptFor, StoreError> {
        tokio::task::coop::consume_budget().await;
        let read = |connection: &SyncConnection<'_>| {
            connection
                .prepare_cached(KEPT_FOR)?
                .query_optional(params![payment.0.as_slice(), chain_id(chain)], |row| {
                    kept_for_row(&row, payment, key)
                })
        };
        Ok(self.direct().read(read).await?.unwrap_or(KeptFor::Nobody))
    }
}

const KEPT_FOR: &str = "SELECT claimant, request_digest FROM reservations
                        WHERE payment_id = ?1 AND chain_id = ?2 AND state <> 'released'";

fn kept_for_row(row: &impl Columns, payment: PaymentId, key: Option<&str>) -> Result<KeptFor, StoreError> {
    let own = payment.settlement_key(&row.text("claimant")?, row.hash("request_digest")?);
    Ok(if key == Some(own.as_str()) { KeptFor::Key } else { KeptFor::Another })
}

/// [`Store::kept_for`] in a transaction that writes: a payment is either kept first, or claimed for settling.
pub(crate) fn kept_for(
    connection: &mut Connection,
    chain: ChainId,
    payment: PaymentId,
    key: Option<&str>,
) -> Result<KeptFor, StoreError> {
    let row = query(KEPT_FOR).bind(payment.0.to_vec()).bind(chain_id(chain)).fetch_optional(connection)?;
    row.map_or(Ok(KeptFor::Nobody), |row| kept_for_row(&row, payment, key))
}
