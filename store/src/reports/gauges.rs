//! A store's gauges, for metrics.

use std::path::{Path, PathBuf};

use crate::engine::{Columns as _, QUEUE, query};
use crate::rows::StoreError;
use crate::store::Store;

impl Store {
    /// Sets the gauges of this store: the writer's queue, the lengths of the files, free disk space, open incidents
    /// over lost payments, and halts. It is cheap. Call it about once a second.
    pub async fn set_gauges(&self) -> Result<(), StoreError> {
        let database = self.file_name();
        let labels = [("database", database)];
        metrics::gauge!("salt402_store_queue", &labels).set((QUEUE - self.jobs().capacity()) as f64);
        metrics::gauge!("salt402_store_readers_busy", &labels).set(f64::from(self.readers_busy()));
        let length =
            |suffix: &str| std::fs::metadata(file_of(self.path(), suffix)).map_or(0, |file| file.len());
        metrics::gauge!("salt402_store_database_bytes", &labels).set(length("") as f64);
        metrics::gauge!("salt402_store_wal_bytes", &labels).set(length("-wal") as f64);
        if let Ok(disk) = rustix::fs::statvfs(self.path()) {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            metrics::gauge!("salt402_store_disk_free_bytes", &labels).set(free as f64);
        }
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT (SELECT COUNT(*) FROM incidents
                     WHERE resolved_at_ms IS NULL AND kind = 'payment_lost') AS incidents,
                    (SELECT COUNT(*) FROM open_halts) AS halts",
        )
        .fetch_one(reader.connection()?)?;
        metrics::gauge!("salt402_incidents_open", &labels).set(row.number("incidents")? as f64);
        metrics::gauge!("salt402_chains_halted", &labels).set(row.number("halts")? as f64);
        Ok(())
    }

    /// The database file's own name.
    fn file_name(&self) -> String {
        self.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

fn file_of(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
