//! Tries unreadable transactions again: when longer answers are accepted than before, and now and then in any case,
//! because a node may answer more by now, or another node may be asked.
//!
//! Each try may cost the longest answer that is accepted. So few are made at a time, one after the other, and a failed
//! one rests.

use std::time::Duration;

use crate::lookup::outcome::Look;
use crate::lookup::receipt::ReceiptLookup;
use crate::state::{IndexError, Indexed};

/// The pause between two rounds if the last one read nothing.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a failed transaction rests.
const REST: Duration = Duration::from_secs(900);
/// How many transactions one round tries of each sort: those for which longer answers are accepted now, and those that
/// have rested.
const AT_ONCE: u32 = 4;

/// Tries unreadable transactions again, beside a follower.
pub(crate) struct UnreadableTransactions {
    lookup: ReceiptLookup,
}

impl UnreadableTransactions {
    pub(crate) fn new(lookup: ReceiptLookup) -> Self {
        Self { lookup }
    }

    /// Never ends.
    pub(crate) async fn run(self) {
        loop {
            match self.round().await {
                Ok(read) if read > 0 => continue,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(chain = %self.lookup.indexed().chain(), %error, "what could not be read was not tried again");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns how many could be read.
    async fn round(&self) -> Result<usize, IndexError> {
        let indexed = self.lookup.indexed();
        let (Indexed { node, store, .. }, chain) = (indexed, indexed.chain());
        let longest = node.longest_answer().unwrap_or(0);
        let mut read = 0;
        for transaction in store.unreadable_due(chain, longest, REST, AT_ONCE).await? {
            let look = self.lookup.look(transaction).await;
            let is_read = matches!(
                look,
                Ok(Look::Found | Look::Ambiguous | Look::Reverted { .. } | Look::NoPayment { .. })
            );
            // A transaction that is read as merged may keep its row. Then it rests like any other.
            if is_read && store.unreadable(chain, transaction).await?.is_none() {
                tracing::info!(%chain, %transaction, "what could not be read is read");
                read += 1;
                continue;
            }
            let learned = match &look {
                // If nodes accept answers of different lengths, the longest of these did not help.
                Ok(Look::Unreadable { too_long }) => Some(
                    too_long.map_or((0, None), |(bytes, most)| (bytes, most.map(|most| most.max(longest)))),
                ),
                _ => None,
            };
            store.note_unreadable(chain, transaction, learned).await?;
        }
        Ok(read)
    }
}
