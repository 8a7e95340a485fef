//! Which instance has a claimant's name.
//!
//! If several processes claim under one name, as copies of a folder do, each of them finds the claims of the others and
//! would run a paid request again. So one instance holds the name and renews its hold. Another instance takes the name
//! over only if it has seen that the hold is no longer renewed. Renewals are counted, not timed, because clocks can be
//! set and processes that share a database need not agree on one.

use salt402_protocol::{B128, keccak256};

use crate::engine::{Columns, Connection, Write, WriteTransaction, bound, query, send};
use crate::rows::{Holder, Lease, StoreError};
use crate::store::Store;

/// The holder's instance, and the hold that no longer counts, as parameters of a statement.
pub(crate) fn bindings(holder: &Holder) -> (Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>) {
    let bytes = |instance: B128| instance.to_vec();
    (
        holder.instance.map(bytes),
        holder.lapsed.map(|lease| bytes(lease.instance)),
        holder.lapsed.map(|lease| bound(lease.renewals)),
    )
}

impl Store {
    /// Takes a claimant's name for an instance, or renews its hold. `lapsed` is another's hold that no longer counts.
    /// If another hold counts, returns that hold and changes nothing.
    pub async fn hold(
        &self,
        claimant: String,
        instance: B128,
        lapsed: Option<Lease>,
    ) -> Result<Option<Lease>, StoreError> {
        let holder = Holder { instance: Some(instance), lapsed };
        send(self.jobs(), Hold { claimant, instance, holder }).await
    }

    /// The instance name of a process over this database. It stays the same after a restart, also after kill -9, as
    /// long as the machine runs. Every copy of the file has another one. [`Store::lock_serving`] makes sure that only
    /// one process has it at a time.
    pub fn instance(&self) -> B128 {
        // Files of two machines may have the same numbers, also if one machine is a copy of the other. The boot id
        // differs.
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

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Option<Lease>, StoreError> {
        let known = of(transaction.connection(), &self.claimant)?;
        if let Some(lease) = known.filter(|lease| self.holder.is_shut_out_by(lease)) {
            return Ok(Some(lease));
        }
        query(
            "INSERT INTO leases (claimant, instance, renewals) VALUES ($1, $2, 1)
             ON CONFLICT (claimant) DO UPDATE SET instance = excluded.instance, renewals = renewals + 1",
        )
        .bind(self.claimant.as_str())
        .bind(self.instance.as_slice())
        .execute(transaction.connection())?;
        Ok(None)
    }
}

fn of(connection: &mut Connection, claimant: &str) -> Result<Option<Lease>, StoreError> {
    let row = query("SELECT instance, renewals FROM leases WHERE claimant = $1")
        .bind(claimant)
        .fetch_optional(connection)?;
    row.map_or(Ok(None), |row| joined(&row))
}

/// The hold in a row, if the row has one.
pub(crate) fn joined(row: &impl Columns) -> Result<Option<Lease>, StoreError> {
    let Some(renewals) = row.maybe_number("renewals")? else { return Ok(None) };
    let instance = row.bytes("instance")?;
    let instance =
        B128::try_from(instance.as_slice()).map_err(|_| StoreError::Corrupt { column: "instance" })?;
    Ok(Some(Lease { instance, renewals }))
}
