//! What must be known before money is given back.

use anyhow::bail;
use salt402_client::{Refunder, Standing};
use salt402_protocol::Payment;
use salt402_store::Store;

use super::find::Found;
use crate::config::ResolvedChain;

/// Blocks that the index may be behind the node.
const TOLERATED_LAG: u64 = 3;

/// What is better known before the money is gone.
pub(super) fn refuse_risky(chain: &ResolvedChain, found: &Found) -> anyhow::Result<()> {
    let (deep, needed) = (found.payment.confirmations, chain.policy.final_at);
    if deep < needed {
        bail!(
            "the payment has {deep} of {needed} confirmations and is not final: if it left the chain, what was given back would \
             be lost; wait, or use --force"
        );
    }
    refuse_shared(found.others)
}

/// A refund names a reference and no payment.
pub(super) fn refuse_shared(others: Option<usize>) -> anyhow::Result<()> {
    match others {
        Some(0) => Ok(()),
        Some(others) => bail!(
            "{others} more payments of the same payer have this reference, and a refund names no single one of them: after it, \
             none of them buys anything; use --force, or send the money of the one that was too much by a plain transfer"
        ),
        None => bail!(
            "there are too many payments of this time to see whether others have this reference, and a refund would end those \
             too: use --force, or send the money by a plain transfer"
        ),
    }
}

/// What was sent after a backup was taken is not in the backup.
pub(super) async fn refuse_restored(store: &Store, payment: &Payment) -> anyhow::Result<()> {
    if store.is_before_restore(payment.chain, payment.transaction, payment.id).await? {
        bail!(
            "the database was restored from a backup after this payment, so a refund of it may be forgotten: look whether {} \
             sent anything to {} since, and use --force if not",
            payment.payee,
            payment.payer
        );
    }
    Ok(())
}

/// What was given back by other means is known only where the index is current, and of the chain that the nodes show.
pub(crate) async fn refuse_unread(
    chain: &ResolvedChain,
    store: &Store,
    refunder: &Refunder,
) -> anyhow::Result<()> {
    let id = chain.profile.chain_id;
    let state = store.chain_state(id).await?;
    if state.is_some_and(|state| state.halt.is_some()) {
        bail!(
            "the chain is halted, so that it is not known whether the payment stays; see `salt402 chain resume`"
        );
    }
    let coverage = store.coverage(id).await?;
    if coverage.iter().any(|known| !known.unread.is_empty()) {
        bail!(
            "the past of a contract is still being read, and something may have been given back there: wait, or use --force"
        );
    }
    let Some(cursor) = state.and_then(|state| state.cursor) else {
        bail!("the index has read no block: let `salt402 up` or `salt402 index` catch up, or use --force");
    };
    let indexed = cursor.number;
    match refunder.standing(indexed, cursor.hash).await? {
        Standing::On { head } if head <= indexed.saturating_add(TOLERATED_LAG) => {}
        Standing::On { head } => bail!(
            "the index stands at block {indexed} and the node at {head}, and something may have been given back since: let \
             `salt402 up` or `salt402 index` catch up, or use --force"
        ),
        Standing::Below { head } => bail!(
            "the index stands at block {indexed} and a node at {head} only, so it does not know yet what is on the chain: try \
             again, name another node by --rpc, or use --force"
        ),
        Standing::Elsewhere => bail!(
            "a node has another block {indexed} than the index: it is on another chain or fork, where something else may have \
             been given back; try again, name another node by --rpc, or use --force"
        ),
    }
    let known = store.open_refund_nonces(id, refunder.account()).await?;
    if let Some(nonce) = refunder.unknown_pending(&known).await? {
        bail!(
            "a transaction of {} with the nonce {nonce} is in no block yet and was not sent by this database: it may give the \
             same back; wait until it is in a block and indexed, or use --force",
            refunder.account()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_whose_reference_others_have_or_may_have_is_not_given_back_without_a_word() {
        assert!(refuse_shared(Some(0)).is_ok());
        for (others, said) in [(Some(2), "2 more payments"), (None, "too many payments of this time")] {
            assert!(refuse_shared(others).unwrap_err().to_string().contains(said));
        }
    }
}
