//! Which heights were read for which contract.
//!
//! At the head, the follower reads for every followed contract. Of these heights only the first is stored, per
//! contract. A contract that is added later has a past that was not read for it. That past is read beside the head,
//! stretch by stretch. Each stretch is stored together with the fact that it was read.

use std::collections::BTreeMap;

use salt402_protocol::{Address, B256, ChainId};

use crate::chains::chain;
use crate::engine::{
    Changes, Columns as _, Connection, Step, SyncConnection, bound, chain_id, integer, params, query,
    send_step,
};
use crate::rows::{StoreError, Stretch};
use crate::store::Store;

/// A followed contract, and what is asked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey {
    /// The contract.
    pub contract: Address,
    /// A digest of the events that are asked for. If more events of the contract count than before, the earlier
    /// questions did not include them.
    pub question: B256,
}

/// How much was read for a followed contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The contract.
    pub source: SourceKey,
    /// The first block that may hold anything of it.
    pub start_block: u64,
    /// The heights up to the index's newest block that were not read for it yet, ascending. Empty if all were read.
    pub unread: Vec<Stretch>,
}

impl Coverage {
    /// The heights up to the index's newest block that were read for it, ascending.
    pub fn covered(&self, indexed: Option<u64>) -> Vec<Stretch> {
        let Some(last) = indexed else { return Vec::new() };
        let mut covered = Vec::new();
        let mut next = self.start_block;
        for Stretch { from, to } in &self.unread {
            if *from > next {
                covered.push(Stretch { from: next, to: (from - 1).min(last) });
            }
            next = next.max(to.saturating_add(1));
        }
        covered.push(Stretch { from: next, to: last });
        covered.retain(|stretch| stretch.from <= stretch.to);
        covered
    }
}

impl Store {
    /// Says which contracts are followed from now on, each with the first block that may hold anything of it. What was
    /// read of other contracts stays stored. Returns the height at which the chain's index begins.
    ///
    /// A database from before this was stored holds one contract. It counts as read for the one of `sources` that a
    /// stored payment is of, or for the only one.
    pub async fn follow_sources(
        &self,
        chain: ChainId,
        sources: Vec<(SourceKey, u64)>,
    ) -> Result<u64, StoreError> {
        send_step(self.jobs(), Follow { chain, sources }).await
    }

    /// How much was read of each followed contract.
    pub async fn coverage(&self, chain: ChainId) -> Result<Vec<Coverage>, StoreError> {
        let mut reader = self.reader().await?;
        of_chain(reader.connection()?, chain)
    }
}

/// How much was read of each followed contract of a chain.
pub(crate) fn of_chain(connection: &mut Connection, chain: ChainId) -> Result<Vec<Coverage>, StoreError> {
    // One statement, so that all rows are of one moment.
    let rows = query(
        "SELECT s.contract, s.question, s.start_block, s.live_from, k.cursor_number, c.from_block, c.to_block
         FROM sources s JOIN chains k ON k.chain_id = s.chain_id
         LEFT JOIN covered c
                ON c.chain_id = s.chain_id AND c.contract = s.contract AND c.question = s.question
         WHERE s.chain_id = $1
         ORDER BY s.contract, s.question, c.from_block",
    )
    .bind(chain_id(chain))
    .fetch_all(connection)?;
    let mut known: BTreeMap<SourceKey, (u64, u64, Option<u64>, Vec<Stretch>)> = BTreeMap::new();
    for row in &rows {
        let key = SourceKey { contract: row.address("contract")?, question: row.hash("question")? };
        let bounds =
            (row.number("start_block")?, row.number("live_from")?, row.maybe_number("cursor_number")?);
        let entry = known.entry(key).or_insert((bounds.0, bounds.1, bounds.2, Vec::new()));
        let stretch = row.maybe_number("from_block")?.zip(row.maybe_number("to_block")?);
        entry.3.extend(stretch.map(|(from, to)| Stretch { from, to }));
    }
    let told = known.into_iter().map(|(source, (start_block, live_from, cursor, covered))| Coverage {
        source,
        start_block,
        unread: unread(start_block, live_from, cursor, &covered),
    });
    Ok(told.collect())
}

/// The heights from `start` up to the index's newest block that are not covered. `covered` is ascending.
fn unread(start: u64, live_from: u64, cursor: Option<u64>, covered: &[Stretch]) -> Vec<Stretch> {
    let Some(cursor) = cursor else { return Vec::new() };
    let mut unread = Vec::new();
    let mut next = start;
    let live = Stretch { from: live_from, to: u64::MAX };
    for Stretch { from, to } in covered.iter().chain([&live]) {
        if *from > next {
            unread.push(Stretch { from: next, to: (from - 1).min(cursor) });
        }
        next = next.max(to.saturating_add(1));
    }
    unread.retain(|stretch| stretch.from <= stretch.to);
    unread
}

struct Follow {
    chain: ChainId,
    sources: Vec<(SourceKey, u64)>,
}

impl Step for Follow {
    type Output = u64;

    const KIND: &'static str = "sources";

    fn write(&self, connection: &SyncConnection<'_>) -> Result<u64, StoreError> {
        let chain = self.chain;
        for (_, start) in &self.sources {
            integer("a start block", *start)?;
        }
        let cursor = chain::cursor(connection, chain)?;
        let lowest = self.sources.iter().map(|(_, start)| *start).min().unwrap_or(0);
        let Some(cursor) = cursor else {
            // Nothing was read for any contract.
            connection.execute("DELETE FROM sources WHERE chain_id = ?1", [chain_id(chain)])?;
            for (key, start) in &self.sources {
                insert_source(connection, chain, key, *start, *start)?;
            }
            set_first(connection, chain, lowest)?;
            return Ok(lowest);
        };
        let first = match first_block(connection, chain)? {
            Some(first) => first,
            None => self.adopt(connection, cursor.number, lowest)?,
        };
        // What was read at the head so far counts as read. For contracts that are still followed, it goes on from
        // there.
        for (key, live_from) in live(connection, chain)? {
            if live_from <= cursor.number {
                cover(connection, chain, &key, Stretch { from: live_from, to: cursor.number })?;
            }
        }
        connection.execute("DELETE FROM sources WHERE chain_id = ?1", [chain_id(chain)])?;
        let next = cursor.number.saturating_add(1);
        for (key, start) in &self.sources {
            insert_source(connection, chain, key, *start, next.max(*start))?;
        }
        fold(connection, chain)?;
        Ok(first)
    }

    fn changes(&self, _first: &u64, _connection: &SyncConnection<'_>) -> Changes {
        Changes::default()
    }
}

impl Follow {
    /// Takes over a database that does not say which contract it was read for.
    fn adopt(&self, connection: &SyncConnection<'_>, cursor: u64, lowest: u64) -> Result<u64, StoreError> {
        let chain = self.chain;
        let known = connection
            .prepare_cached("SELECT contract FROM payments WHERE chain_id = ?1 LIMIT 1")?
            .query_optional([chain_id(chain)], |row| row.address_at(0, "contract"))?;
        let mut first = lowest;
        for (key, start) in &self.sources {
            let read = match &known {
                Some(contract) => key.contract == *contract,
                None => self.sources.len() == 1,
            };
            if read && *start <= cursor {
                first = *start;
                cover(connection, chain, key, Stretch { from: *start, to: cursor })?;
            }
        }
        set_first(connection, chain, first)?;
        Ok(first)
    }
}

/// After all blocks above a height left the chain: what was read there no longer counts as read. The head reads the new
/// blocks for every followed contract.
pub(crate) fn cut(connection: &SyncConnection<'_>, chain: ChainId, height: u64) -> Result<(), StoreError> {
    let (chain_id, height) = (chain_id(chain), bound(height));
    connection
        .prepare_cached("DELETE FROM covered WHERE chain_id = ?1 AND from_block > ?2")?
        .execute(params![chain_id, height])?;
    connection
        .prepare_cached("UPDATE covered SET to_block = ?2 WHERE chain_id = ?1 AND to_block > ?2")?
        .execute(params![chain_id, height])?;
    connection
        .prepare_cached(
            "UPDATE sources SET live_from = MAX(?2 + 1, start_block)
             WHERE chain_id = ?1 AND live_from > MAX(?2 + 1, start_block)",
        )?
        .execute(params![chain_id, height])?;
    fold(connection, chain)
}

fn first_block(connection: &SyncConnection<'_>, chain: ChainId) -> Result<Option<u64>, StoreError> {
    connection
        .prepare_cached("SELECT first_block FROM chains WHERE chain_id = ?1")?
        .query_row([chain_id(chain)], |row| row.maybe_natural(0, "first_block"))
}

fn set_first(connection: &SyncConnection<'_>, chain: ChainId, first: u64) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE chains SET first_block = ?2 WHERE chain_id = ?1",
        params![chain_id(chain), bound(first)],
    )?;
    Ok(())
}

fn insert_source(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    key: &SourceKey,
    start: u64,
    live_from: u64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO sources (chain_id, contract, question, start_block, live_from)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            chain_id(chain),
            key.contract.as_slice(),
            key.question.as_slice(),
            bound(start),
            bound(live_from)
        ])?;
    Ok(())
}

/// From which height on the head reads for each contract.
fn live(connection: &SyncConnection<'_>, chain: ChainId) -> Result<Vec<(SourceKey, u64)>, StoreError> {
    let mut select =
        connection.prepare_cached("SELECT contract, question, live_from FROM sources WHERE chain_id = ?1")?;
    let mut rows = select.query([chain_id(chain)])?;
    let mut live = Vec::new();
    while let Some(row) = rows.next()? {
        let key =
            SourceKey { contract: row.address_at(0, "contract")?, question: row.hash_at(1, "question")? };
        live.push((key, row.natural(2, "live_from")?));
    }
    Ok(live)
}

/// Adds a stretch to what was read, and joins it with those that it touches.
pub(crate) fn cover(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    key: &SourceKey,
    stretch: Stretch,
) -> Result<(), StoreError> {
    let source = (chain_id(chain), key.contract.as_slice(), key.question.as_slice());
    let touching = params![source.0, source.1, source.2, bound(stretch.from), bound(stretch.to)];
    let (from, to): (Option<i64>, Option<i64>) = connection
        .prepare_cached(
            "SELECT MIN(from_block), MAX(to_block) FROM covered
             WHERE chain_id = ?1 AND contract = ?2 AND question = ?3
               AND to_block >= ?4 - 1 AND from_block - 1 <= ?5",
        )?
        .query_row(touching, |row| Ok((row.get(0)?, row.get(1)?)))?;
    connection
        .prepare_cached(
            "DELETE FROM covered
             WHERE chain_id = ?1 AND contract = ?2 AND question = ?3
               AND to_block >= ?4 - 1 AND from_block - 1 <= ?5",
        )?
        .execute(touching)?;
    let from = from.unwrap_or(i64::MAX).min(bound(stretch.from));
    let to = to.unwrap_or(0).max(bound(stretch.to));
    connection
        .prepare_cached(
            "INSERT INTO covered (chain_id, contract, question, from_block, to_block)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![source.0, source.1, source.2, from, to])?;
    Ok(())
}

/// Where a stretch that was read meets the heights that the head reads, the two become one.
pub(crate) fn fold(connection: &SyncConnection<'_>, chain: ChainId) -> Result<(), StoreError> {
    for (key, live_from) in live(connection, chain)? {
        let source = (chain_id(chain), key.contract.as_slice(), key.question.as_slice());
        // Stretches do not touch each other, so there is at most one.
        let meets = connection
            .prepare_cached(
                "SELECT from_block FROM covered
                 WHERE chain_id = ?1 AND contract = ?2 AND question = ?3
                   AND from_block < ?4 AND to_block >= ?4 - 1",
            )?
            .query_optional(params![source.0, source.1, source.2, bound(live_from)], |row| {
                row.get::<i64>(0)
            })?;
        let Some(from) = meets else { continue };
        connection
            .prepare_cached(
                "UPDATE sources SET live_from = ?4 WHERE chain_id = ?1 AND contract = ?2 AND question = ?3",
            )?
            .execute(params![source.0, source.1, source.2, from])?;
        connection
            .prepare_cached(
                "DELETE FROM covered
                 WHERE chain_id = ?1 AND contract = ?2 AND question = ?3 AND from_block >= ?4",
            )?
            .execute(params![source.0, source.1, source.2, from])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretches(pairs: &[(u64, u64)]) -> Vec<Stretch> {
        pairs.iter().map(|(from, to)| Stretch { from: *from, to: *to }).collect()
    }

    #[test]
    fn what_was_not_read_is_what_lies_between() {
        let covered = stretches(&[(5, 9), (20, 29)]);
        let told = |start, live_from, cursor| unread(start, live_from, Some(cursor), &covered);
        assert_eq!(told(0, 40, 50), stretches(&[(0, 4), (10, 19), (30, 39)]));
        assert_eq!(told(5, 30, 50), stretches(&[(10, 19)]));
        assert_eq!(told(7, 40, 24), stretches(&[(10, 19)]));
        assert_eq!(told(7, 40, 14), stretches(&[(10, 14)]));
        assert_eq!(told(60, 60, 50), stretches(&[]));
        assert_eq!(unread(0, 8, None, &[]), stretches(&[]));
        assert_eq!(unread(0, 8, Some(u64::MAX), &[]), stretches(&[(0, 7)]));
    }

    fn stretch(from: u64, to: u64) -> Stretch {
        Stretch { from, to }
    }

    #[test]
    fn what_was_read_and_what_was_not_are_all_of_it() {
        let source = SourceKey { contract: Address::ZERO, question: B256::ZERO };
        let covered =
            |unread: Vec<Stretch>, indexed| Coverage { source, start_block: 5, unread }.covered(indexed);
        assert_eq!(covered(vec![], None), []);
        assert_eq!(covered(vec![], Some(4)), [], "it begins later");
        assert_eq!(covered(vec![], Some(9)), [stretch(5, 9)]);
        assert_eq!(covered(vec![stretch(5, 9)], Some(9)), []);
        assert_eq!(covered(vec![stretch(5, 6)], Some(9)), [stretch(7, 9)]);
        assert_eq!(covered(vec![stretch(6, 6), stretch(8, 8)], Some(9)), [5, 7, 9].map(|at| stretch(at, at)));
        assert_eq!(covered(vec![stretch(7, 9)], Some(9)), [stretch(5, 6)]);
        // The unread heights were read a moment before the newest block was.
        assert_eq!(covered(vec![stretch(7, 9)], Some(6)), [stretch(5, 6)]);
    }
}
