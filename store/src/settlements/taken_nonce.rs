//! A nonce of an account that settles, used by a transaction that was not signed here.

use salt402_protocol::{ChainId, PaymentId};

use crate::engine::SyncConnection;
use crate::incidents::incident::{self, IncidentKind, NewIncident};
use crate::rows::{Slot, StoreError};

/// Records that a nonce was used elsewhere: somebody else has the account's key.
pub(super) fn record(connection: &SyncConnection<'_>, chain: ChainId, slot: Slot) -> Result<(), StoreError> {
    let detail = format!(
        "the account {} sent a transaction with nonce {} that was not signed here: another program uses its key; stop \
         that program, or give this one a key of its own",
        slot.signer, slot.nonce
    );
    incident::record(
        connection,
        &NewIncident {
            kind: IncidentKind::NonceTaken,
            chain,
            payment: PaymentId(Default::default()),
            transaction: Default::default(),
            occurrences: 1,
            detail: &detail,
        },
    )?;
    Ok(())
}
