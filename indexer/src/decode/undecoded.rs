//! Logs of followed contracts that cannot be read as payments.

use std::collections::HashMap;

use alloy_primitives::B256;
use salt402_chain::Log;
use salt402_protocol::log::{RawLog, decode};
use salt402_protocol::{ChainId, Source};
use salt402_store::UndecodedLog;

/// How many logs of one answer are kept. The store keeps the newest of all.
const KEPT: usize = 256;

/// The logs that do not decode, of contracts whose logs tell everything by themselves.
pub(crate) fn among(chain: ChainId, sources: &[Source], logs: &[Log], skipped: usize) -> Vec<UndecodedLog> {
    if skipped == 0 {
        return Vec::new();
    }
    let direct =
        |log: &Log| sources.iter().any(|source| source.is_direct() && source.contract == log.contract);
    let mut places: HashMap<(B256, B256), u32> = HashMap::new();
    let poison = logs.iter().filter(|log| direct(log)).filter(|log| {
        let raw = RawLog { contract: log.contract, transaction: log.transaction, content: &log.content };
        decode(chain, sources, [raw]).skipped > 0
    });
    let kept = poison.take(KEPT).map(|log| {
        let next = places.entry((log.transaction, log.block_hash)).or_default();
        let place = *next;
        *next += 1;
        UndecodedLog {
            contract: log.contract,
            transaction: log.transaction,
            block_hash: log.block_hash,
            block_number: log.block_number,
            position: place,
            topics: log.content.topics().to_vec(),
            data: log.content.data.to_vec(),
        }
    });
    kept.collect()
}
