//! Puts a backup in the place of a database.

use std::path::Path;
use std::time::Duration;

use crate::channels::totals_upgrade::AddTotals;
use crate::engine::{Restored, backup};
use crate::rows::StoreError;

/// Puts a backup in the place of a lost database. `skew` is how much later than now a payment of now may be mined
/// again: by how much a chain's clock may be ahead of ours, and the time of as many blocks as a reorganization may
/// replace.
///
/// No payment is granted on twice, and some service is lost for it. Claims that were made after the backup was taken
/// are forgotten. So payments that were mined before now and have no claim are not granted on
/// ([`crate::ClaimResult::BeforeRestore`]), and a claim without a kept answer counts as answered.
///
/// # Errors
/// [`StoreError::Exists`] if there is a database: move it away first, with its `-wal` and `-shm`.
/// [`StoreError::NoBackup`] if the file is not a backup.
pub async fn restore(from: &Path, database: &Path, skew: Duration) -> Result<Restored, StoreError> {
    backup::restore(from, database, skew, &AddTotals)
}
