//! What is charged of a draw: once, never more than was reserved. The rest is free again.

use salt402_protocol::{Amount, PaymentId};

use crate::accounts::account::write_sums;
use crate::accounts::draws::of_service;
use crate::engine::{Columns as _, WriteTransaction, amount_bytes, query};
use crate::rows::{Account, Captured, StoreError};

/// Charges what was used, once. `None` if there is no such draw of this claimant.
pub(crate) fn capture(
    transaction: &mut WriteTransaction<'_>,
    draw: PaymentId,
    claimant: &str,
    amount: Amount,
) -> Result<Option<Captured>, StoreError> {
    let connection = transaction.connection();
    let row = query(
        "SELECT id, account_id, ceiling, day, amount IS NOT NULL AS is_captured, COALESCE(amount, ceiling) AS captured
         FROM account_entries WHERE name = $1 AND kind = 'draw'",
    )
    .bind(draw.0.as_slice())
    .fetch_optional(connection)?;
    let Some(row) = row else { return Ok(None) };
    let Some(account) = of_service(connection, &row, claimant)? else { return Ok(None) };
    if row.flag("is_captured")? {
        return Ok(Some(Captured::Done { amount: row.amount("captured")?, settled: true }));
    }
    let ceiling = row.amount("ceiling")?;
    if amount > ceiling {
        return Ok(Some(Captured::AboveCeiling(ceiling)));
    }
    let less = |sum: Amount, part: Amount| Amount(sum.0.saturating_sub(part.0));
    let unused = less(ceiling, amount);
    let day_used =
        if account.day == row.number("day")? { less(account.day_used, unused) } else { account.day_used };
    let now = Account {
        reserved: less(account.reserved, ceiling),
        spent: Amount(account.spent.0.saturating_add(amount.0)),
        day_used,
        ..account
    };
    write_sums(connection, &now)?;
    query("UPDATE account_entries SET amount = $2 WHERE id = $1")
        .bind(crate::engine::bound(row.number("id")?))
        .bind(amount_bytes(amount).to_vec())
        .execute(connection)?;
    Ok(Some(Captured::Done { amount, settled: true }))
}
