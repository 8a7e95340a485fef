//! How those who wait for the index are told that it changed.

use std::time::Duration;

use tokio::sync::watch;

use crate::store::Store;

/// How often a process that does not index checks whether another one committed. A check is one pragma on an open
/// connection and takes a few microseconds.
const LOOK: Duration = Duration::from_millis(10);

/// Tells waiting requests that the index changed.
#[derive(Clone, Debug)]
pub struct IndexChanges(watch::Receiver<u64>);

impl IndexChanges {
    /// The commits of this process, which indexes itself.
    pub fn of_this_process(store: &Store) -> Self {
        Self(store.progress())
    }

    /// The commits of other processes on the same database. Ends when the last clone is dropped.
    pub fn of_other_processes(store: Store) -> Self {
        let (sender, receiver) = watch::channel(0);
        tokio::spawn(async move {
            let (mut known, mut stood) = (None, None);
            while !sender.is_closed() {
                match store.outside_change().await {
                    // Most commits are claims. Waiting requests need not look again for each of them.
                    Ok(version) if known != Some(version) => match store.outside_progress().await {
                        Ok(stands) => {
                            known = Some(version);
                            if stood.as_ref() != Some(&stands) {
                                stood = Some(stands);
                                sender.send_modify(|count| *count += 1);
                            }
                        }
                        Err(error) => tracing::warn!(%error, "cannot see how far the index is"),
                    },
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "cannot see whether the index changed"),
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        Self(receiver)
    }

    /// A number that changes with the index. The channel ends with the store, or when nobody looks any more.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.clone()
    }
}
