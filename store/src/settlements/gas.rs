//! How much gas settlements use and may use, by day. The sums are kept, so that no budget reads rows.

use salt402_protocol::ChainId;

use crate::engine::{Columns as _, Connection, SyncConnection, bound, chain_id, clock, params, query};
use crate::rows::{GasBudget, GasBudgets, NewSettlement, SettlementRow, SettlementState, StoreError};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// For how many days sums are kept.
const KEPT_DAYS: i64 = 31;

const ADD: &str =
    "INSERT INTO settlement_gas (chain_id, day, kind, name, gas) VALUES (?1, ?2, ?3, ?4, MAX(?5, 0))
                   ON CONFLICT (chain_id, day, kind, name) DO UPDATE SET gas = MAX(gas + ?5, 0)";

/// The present day, since 1970 UTC.
pub(super) fn today() -> i64 {
    clock::now_ms() / DAY_MS
}

/// The name of a budget of a settlement. `None`: it has no such budget.
fn name(kind: GasBudget, of: &NewSettlement) -> Option<Vec<u8>> {
    match kind {
        GasBudget::All => Some(Vec::new()),
        GasBudget::Payer => Some(of.payer.to_vec()),
        GasBudget::Token => Some(of.token.to_vec()),
        GasBudget::Caller => of.caller.as_ref().map(|caller| caller.clone().into_bytes()),
    }
}

/// What the sums hold of a settlement in a state, beside what it used.
pub(super) fn held(state: SettlementState, cap: u64) -> i64 {
    let open = matches!(state, SettlementState::Queued | SettlementState::Sent);
    if open { bound(cap) } else { 0 }
}

/// The budget that does not allow a new settlement, if one does not, and when the next day begins.
pub(super) fn exceeded(
    connection: &mut Connection,
    new: &NewSettlement,
    budgets: &GasBudgets,
) -> Result<Option<(GasBudget, u64)>, StoreError> {
    for kind in GasBudget::ALL {
        let (Some(limit), Some(name)) = (budgets.of(kind), name(kind, new)) else { continue };
        let row = query(
            "SELECT gas FROM settlement_gas WHERE chain_id = $1 AND day = $2 AND kind = $3 AND name = $4",
        )
        .bind(chain_id(new.chain))
        .bind(today())
        .bind(kind.name())
        .bind(name)
        .fetch_optional(&mut *connection)?;
        let used = row.map_or(Ok(0), |row| row.number("gas"))?;
        if used.saturating_add(new.gas) > limit {
            let rest = DAY_MS - clock::now_ms().rem_euclid(DAY_MS);
            return Ok(Some((kind, u64::try_from(rest).unwrap_or(0))));
        }
    }
    Ok(None)
}

/// Adds what a new settlement may use to the sums of today.
pub(super) fn add(connection: &mut Connection, new: &NewSettlement) -> Result<(), StoreError> {
    for kind in GasBudget::ALL {
        let Some(name) = name(kind, new) else { continue };
        query(ADD)
            .bind(chain_id(new.chain))
            .bind(today())
            .bind(kind.name())
            .bind(name)
            .bind(bound(new.gas))
            .execute(&mut *connection)?;
    }
    Ok(())
}

/// Changes the sums of a settlement's day by a difference.
pub(super) fn change(
    connection: &SyncConnection<'_>,
    of: &SettlementRow,
    day: i64,
    difference: i64,
) -> Result<(), StoreError> {
    if difference == 0 {
        return Ok(());
    }
    for kind in GasBudget::ALL {
        let Some(name) = name(kind, &of.claimed) else { continue };
        connection.prepare_cached(ADD)?.execute(params![
            chain_id(of.claimed.chain),
            day,
            kind.name(),
            name,
            difference
        ])?;
    }
    Ok(())
}

/// Deletes the sums of days that are long over.
pub(super) fn prune(connection: &mut Connection, chain: ChainId) -> Result<(), StoreError> {
    query("DELETE FROM settlement_gas WHERE chain_id = $1 AND day < $2")
        .bind(chain_id(chain))
        .bind(today() - KEPT_DAYS)
        .execute(connection)?;
    Ok(())
}
