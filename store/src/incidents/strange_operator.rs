//! Operators that a payee of this server set and that the configuration does not name: such an account can close channels with
//! less than was accepted. It may be a slip of the configuration, or somebody has the payee's key.

use std::collections::BTreeMap;

use salt402_protocol::{Address, B256, ChainId, ChannelChange, ChannelEvent, OperatorRight, PaymentId};

use crate::channels::events::change;
use crate::engine::{Changes, Columns as _, Step, SyncConnection, chain_id, params, send_step};
use crate::incidents::incident::{self, IncidentKind, NewIncident};
use crate::rows::{Placed, StoreError};
use crate::store::Store;

impl Store {
    /// Says whose operators are to be looked at on a chain from now on, and which accounts are known as such. One that was set
    /// before and is not known is an incident too, once. Durable when this returns.
    pub async fn watch_operators(
        &self,
        chain: ChainId,
        payees: Vec<Address>,
        operators: Vec<Address>,
    ) -> Result<(), StoreError> {
        send_step(self.jobs(), Watch { chain, payees, operators }).await
    }
}

struct Watch {
    chain: ChainId,
    payees: Vec<Address>,
    operators: Vec<Address>,
}

impl Step for Watch {
    type Output = ();

    const KIND: &'static str = "operators";

    fn write(&self, connection: &SyncConnection<'_>) -> Result<(), StoreError> {
        let chain = chain_id(self.chain);
        connection.execute("DELETE FROM watched_payees WHERE chain_id = ?1", [chain])?;
        connection.execute("DELETE FROM known_operators WHERE chain_id = ?1", [chain])?;
        for payee in &self.payees {
            let insert = "INSERT OR IGNORE INTO watched_payees (chain_id, payee) VALUES (?1, ?2)";
            connection.execute(insert, params![chain, payee.as_slice()])?;
        }
        for operator in &self.operators {
            let insert = "INSERT OR IGNORE INTO known_operators (chain_id, operator) VALUES (?1, ?2)";
            connection.execute(insert, params![chain, operator.as_slice()])?;
        }
        for payee in &self.payees {
            for set in last_of(connection, self.chain, *payee)?.into_values() {
                look(connection, self.chain, &set)?;
            }
        }
        Ok(())
    }

    fn changes(&self, _done: &(), _connection: &SyncConnection<'_>) -> Changes {
        Changes::default()
    }
}

/// A right that was given.
struct Set {
    event: B256,
    transaction: B256,
    contract: Address,
    payee: Address,
    operator: Address,
    right: OperatorRight,
}

/// The newest that a payee said of each account in each contract.
fn last_of(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    payee: Address,
) -> Result<BTreeMap<(Address, Address), Set>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT * FROM channel_events INDEXED BY channel_events_operators
         WHERE chain_id = ?1 AND payee = ?2 AND canonical AND kind = 16",
    )?;
    let mut rows = select.query(params![chain_id(chain), payee.as_slice()])?;
    let mut last: BTreeMap<(Address, Address), ((u64, u64), Set)> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let place = (row.number("block_number")?, row.number("id")?);
        let (event, transaction) = (row.hash("event_id")?, row.hash("transaction_hash")?);
        let contract = row.address("contract")?;
        let ChannelChange::OperatorSet { payee, operator, right } = change(&row)? else { continue };
        let key = (contract, operator);
        if last.get(&key).is_none_or(|(known, _)| *known < place) {
            last.insert(key, (place, Set { event, transaction, contract, payee, operator, right }));
        }
    }
    Ok(last.into_iter().map(|(key, (_, set))| (key, set)).collect())
}

/// Looks at what a step brought.
pub(crate) fn follow(
    connection: &SyncConnection<'_>,
    chain: ChainId,
    events: &[Placed<ChannelEvent>],
) -> Result<(), StoreError> {
    for Placed { what, .. } in events {
        if let ChannelChange::OperatorSet { payee, operator, right } = what.change {
            let (event, transaction, contract) = (what.id.0, what.transaction, what.contract);
            look(connection, chain, &Set { event, transaction, contract, payee, operator, right })?;
        }
    }
    Ok(())
}

fn look(connection: &SyncConnection<'_>, chain: ChainId, set: &Set) -> Result<(), StoreError> {
    if set.right == OperatorRight::Revoked {
        return Ok(());
    }
    let strange = connection
        .prepare_cached(
            "SELECT 1 FROM watched_payees w
             WHERE w.chain_id = ?1 AND w.payee = ?2
               AND NOT EXISTS (SELECT 1 FROM known_operators k WHERE k.chain_id = ?1 AND k.operator = ?3)
               AND NOT EXISTS (SELECT 1 FROM incidents i
                               WHERE i.chain_id = ?1 AND i.payment_id = ?4 AND i.kind = 'operator_set')",
        )?
        .exists(params![
            chain_id(chain),
            set.payee.as_slice(),
            set.operator.as_slice(),
            set.event.as_slice()
        ])?;
    if !strange {
        return Ok(());
    }
    let Set { contract, payee, operator, right, .. } = set;
    let detail = format!(
        "{payee} said in {contract} that {operator} may claim and close for it ({right}), and the configuration does not name \
         it: add it to `operators`, or take it back with `salt402 channel operator set {operator} revoked`; if nobody of yours \
         did it, somebody has the payee's key"
    );
    let new = NewIncident {
        kind: IncidentKind::OperatorSet,
        chain,
        payment: PaymentId(set.event),
        transaction: set.transaction,
        occurrences: 1,
        detail: &detail,
    };
    incident::record(connection, &new).map(drop)
}
