//! Large payments and large vouchers, which a second node must confirm before they are granted on.

use std::time::Duration;

use salt402_indexer::{ChannelQuestion, Confirmation, Confirmed};
use salt402_protocol::api::Verdict;
use salt402_protocol::{Code, Problem};
use salt402_store::{IndexedPayment, NewVoucher, VoucherGrant};

use crate::verify::inner::Inner;
use crate::verify::policy::ChainPolicy;
use crate::verify::refusals::{internal, pending};
use crate::verify::voucher_by_contract::{most_age, question};

/// Why a payment that fits may not be granted on yet: a second node must show it and does not. `None` if none is needed
/// or one shows it. If none is needed, this costs nothing.
///
/// # Errors
/// [`Code::NodesDisagree`] if a node contradicts the payment. By then it is an incident.
pub(crate) async fn unconfirmed(
    verifier: &Inner,
    paid: &IndexedPayment,
    chain: &ChainPolicy,
) -> Result<Option<Verdict>, Problem> {
    let payment = &paid.placed.payment;
    if !chain.needs_second_node(payment.asset, payment.amount) {
        return Ok(None);
    }
    let lookup = &verifier.chain(chain.chain)?.lookup;
    let Confirmed { said, fresh } = lookup.confirm(&paid.placed, paid.confirmations).await;
    match said {
        Confirmation::Confirmed => Ok(None),
        Confirmation::Unanswered(why) => {
            let detail = format!(
                "a payment of this size must be shown by a second node, and none shows it yet ({why}): do not pay \
                 again, show the same proof again"
            );
            Ok(Some(pending(chain, 1, Code::AwaitingSecondNode, detail)))
        }
        Confirmation::Contradicted(what) => {
            // Noted once each time the nodes were asked, however often the proof is shown meanwhile. A payer whose
            // payment is contradicted must not be able to keep the writer busy.
            if fresh {
                tracing::error!(
                    chain = %chain.chain, payment = %payment.id, transaction = %payment.transaction, shown = what,
                    "a node contradicts a payment that is in the index: nothing is granted on it; check the nodes"
                );
                verifier.store.note_disagreement(&paid.placed, &what).await.map_err(internal)?;
            }
            Err(Problem::new(
                Code::NodesDisagree,
                "the nodes of this chain contradict each other about the payment: do not pay again, ask the \
                 operator, who finds it among the incidents; once they agree, the same proof counts",
            ))
        }
    }
}

/// Why a voucher that the index accepts may not be granted on yet: the amount is so large that a second node must
/// confirm its channel, and none does. `None` if none is needed or one confirms it.
///
/// # Errors
/// [`Code::NodesDisagree`] if a node shows a smaller deposit. By then it is an incident.
pub(crate) async fn unconfirmed_channel(
    verifier: &Inner,
    new: &NewVoucher,
    grant: &VoucherGrant,
    chain: &ChainPolicy,
) -> Result<Option<Verdict>, Problem> {
    if !chain.needs_second_node(new.asset, new.voucher.ceiling) {
        return Ok(None);
    }
    let least = grant.deposit.max(new.voucher.ceiling);
    let most_age = most_age(Duration::from_secs(grant.descriptor.exit_delay));
    let asked = ChannelQuestion { known: true, least, most_age, ..question(new) };
    let Confirmed { said, fresh } = verifier.chain(chain.chain)?.lookup.confirm_channel(&asked).await;
    match said {
        Confirmation::Confirmed => Ok(None),
        Confirmation::Unanswered(why) => {
            let detail = format!(
                "the channel of a voucher of this size must be shown by a second node, and none shows that it covers \
                 what is signed ({why}): do not sign again, show the same voucher later"
            );
            Ok(Some(pending(chain, 1, Code::AwaitingSecondNode, detail)))
        }
        Confirmation::Contradicted(what) => {
            if fresh {
                let channel = new.voucher.channel;
                tracing::error!(
                    chain = %chain.chain, %channel, shown = what,
                    "a node contradicts a channel that is in the index: no voucher of it is granted on; check the nodes"
                );
                let noted = verifier.store.note_channel_disagreement(
                    chain.chain,
                    (new.contract, channel),
                    grant.opening.transaction,
                    &what,
                );
                noted.await.map_err(internal)?;
            }
            Err(Problem::new(
                Code::NodesDisagree,
                "the nodes of this chain contradict each other about the channel: do not sign again, ask the operator, \
                 who finds it among the incidents; once they agree, the same voucher counts",
            ))
        }
    }
}
