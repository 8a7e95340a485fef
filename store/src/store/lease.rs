//! Which instance of a claimant lives.
//!
//! Several processes that claim under one name, as copies of a folder do, would all find a claim again and run what it pays for.
//! So a name is held by one instance, which renews its hold; another takes it over only from a hold that was seen to stand
//! still. Holds are counted and not timed: clocks step, and the processes that share a database need not agree on one.

use salt402_protocol::{B128, keccak256};

use crate::engine::async_sql::{AsyncConnection, query};
use crate::engine::columns::{Columns, bound};
use crate::engine::queue::{Write, send};
use crate::engine::transaction::WriteTransaction;
use crate::rows::claim::{Holder, Lease};
use crate::rows::error::StoreError;
use crate::store::Store;

/// The instance of a holder, and the hold that counts no more, as statements are given them.
pub(crate) fn bindings(holder: &Holder) -> (Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>) {
    let bytes = |instance: B128| instance.to_vec();
    (
        holder.instance.map(bytes),
        holder.lapsed.map(|lease| bytes(lease.instance)),
        holder.lapsed.map(|lease| bound(lease.renewals)),
    )
}

impl Store {
    /// Takes the name of a claimant for an instance, or renews its hold. `lapsed` is a hold of another that counts no more.
    /// Returns the hold of another that counts, and then nothing was changed.
    pub async fn hold(
        &self,
        claimant: String,
        instance: B128,
        lapsed: Option<Lease>,
    ) -> Result<Option<Lease>, StoreError> {
        let holder = Holder { instance: Some(instance), lapsed };
        send(self.jobs(), Hold { claimant, instance, holder }).await
    }

    /// What a process over this database calls itself: the same after a restart of it, also after kill -9, as long as the
    /// machine runs, and another for every copy of the file. [`Store::lock_serving`] sees to it that only one has it at a time.
    pub fn instance(&self) -> B128 {
        // Files of two machines may have the same numbers, and so may machines that were copied; they are not booted alike.
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id");
        let boot = boot.unwrap_or_else(|_| rand::random::<[u8; 32]>().to_vec());
        let (device, file) = self.file_identity();
        let whole = [boot.as_slice(), &device.to_be_bytes(), &file.to_be_bytes()].concat();
        B128::from_slice(&keccak256(whole)[..16])
    }
}

struct Hold {
    claimant: String,
    instance: B128,
    holder: Holder,
}

impl Write for Hold {
    type Output = Option<Lease>;

    fn changes_payments(&self) -> bool {
        false
    }

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Option<Lease>, StoreError> {
        let known = of(transaction.connection(), &self.claimant).await?;
        if let Some(lease) = known.filter(|lease| self.holder.is_shut_out_by(lease)) {
            return Ok(Some(lease));
        }
        query(
            "INSERT INTO leases (claimant, instance, renewals) VALUES ($1, $2, 1)
             ON CONFLICT (claimant) DO UPDATE SET instance = excluded.instance, renewals = renewals + 1",
        )
        .bind(self.claimant.as_str())
        .bind(self.instance.as_slice())
        .execute(transaction.connection())
        .await?;
        Ok(None)
    }
}

async fn of(connection: &mut AsyncConnection, claimant: &str) -> Result<Option<Lease>, StoreError> {
    let row = query("SELECT instance, renewals FROM leases WHERE claimant = $1")
        .bind(claimant)
        .fetch_optional(connection)
        .await?;
    row.map_or(Ok(None), |row| joined(&row))
}

/// The hold in a row that has the columns of one, if there is one.
pub(crate) fn joined(row: &impl Columns) -> Result<Option<Lease>, StoreError> {
    let Some(renewals) = row.maybe_number("renewals")? else { return Ok(None) };
    let instance = row.bytes("instance")?;
    let instance =
        B128::try_from(instance.as_slice()).map_err(|_| StoreError::Corrupt { column: "instance" })?;
    Ok(Some(Lease { instance, renewals }))
}
