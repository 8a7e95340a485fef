//! Vouchers of channels: checked, accounted for and granted on in one transaction.

pub(crate) mod capture;
mod facts;
mod freshness;
mod funding;
mod grant;
mod raise;

use salt402_protocol::{Address, ChainId};

use crate::channels::account;
use crate::engine::{Columns as _, SyncConnection, chain_id, query, send};
use crate::rows::{NewVoucher, StoreError, VoucherResult, VoucherRow};
use crate::store::Store;

impl Store {
    /// Grants on a voucher. Durable when this returns. If the caller stops waiting, the grant may have been made;
    /// asking again then gives the same grant.
    pub async fn accept_voucher(&self, voucher: NewVoucher) -> Result<VoucherResult, StoreError> {
        send(self.jobs(), voucher).await
    }

    /// What [`Store::accept_voucher`] would return. Nothing is written.
    pub async fn look_at_voucher(&self, voucher: &NewVoucher) -> Result<VoucherResult, StoreError> {
        // Nothing below waits for another task.
        tokio::task::coop::consume_budget().await;
        let look = |connection: &SyncConnection<'_>| {
            connection.at_one_moment(|moment| voucher.decide(moment)).map(|(result, _)| result)
        };
        self.direct().read(look).await
    }

    /// The contracts of a chain of whose channels a voucher was accepted, in order.
    pub async fn voucher_contracts(&self, chain: ChainId) -> Result<Vec<Address>, StoreError> {
        let mut reader = self.reader().await?;
        let (mut contracts, mut last) = (Vec::new(), Vec::new());
        // From one contract to the next: there may be many channels of each.
        loop {
            let row = query(
                "SELECT contract FROM vouchers WHERE chain_id = $1 AND contract > $2 ORDER BY contract LIMIT 1",
            )
            .bind(chain_id(chain))
            .bind(last)
            .fetch_optional(reader.connection()?)?;
            let Some(row) = row else { return Ok(contracts) };
            let contract = row.address("contract")?;
            last = contract.to_vec();
            contracts.push(contract);
        }
    }

    /// The last voucher of every channel of a contract with an accepted voucher.
    pub async fn vouchers(&self, chain: ChainId, contract: Address) -> Result<Vec<VoucherRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT channel, ceiling, signature, spent, reserved FROM vouchers WHERE chain_id = $1 AND contract = $2",
        )
        .bind(chain_id(chain))
        .bind(contract.as_slice())
        .fetch_all(reader.connection()?)?;
        rows.iter()
            .map(|row| {
                let (voucher, account) = account::accepted(row.hash("channel")?, row)?;
                Ok(VoucherRow { contract, voucher, account })
            })
            .collect()
    }
}
