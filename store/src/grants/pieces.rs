//! What was given of streams under way, once nobody needs it there any more.

use salt402_protocol::PaymentId;

use crate::engine::{WriteTransaction, query};
use crate::rows::StoreError;

/// Forgets what was given of a stream, whose answer is written down.
pub(super) fn forget(transaction: &mut WriteTransaction<'_>, payment: PaymentId) -> Result<(), StoreError> {
    let done = query("DELETE FROM deliveries WHERE payment_id = $1")
        .bind(payment.0.as_slice())
        .execute(transaction.connection())?;
    if done.rows_affected() == 0 { Ok(()) } else { forget_pieces(transaction, payment) }
}

pub(super) fn forget_pieces(
    transaction: &mut WriteTransaction<'_>,
    payment: PaymentId,
) -> Result<(), StoreError> {
    query("DELETE FROM delivery_pieces WHERE payment_id = $1")
        .bind(payment.0.as_slice())
        .execute(transaction.connection())?;
    Ok(())
}
