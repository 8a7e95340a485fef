//! Signed payments that are kept for one request, before they are settled.
//!
//! What was signed names no request, and everybody can read it once it is on the chain. So it counts for whoever showed it first,
//! for the request that it came with.

use salt402_protocol::{Address, Amount, B256, ChainId, PaymentId};

use crate::engine::{
    Columns as _, Connection, Row, Write, WriteTransaction, amount_bytes, bound, chain_id, integer, query,
    send,
};
use crate::rows::StoreError;
use crate::store::Store;

/// How many old rows are deleted at once.
const PRUNED_AT_ONCE: u64 = 256;

/// What is to be kept.
#[derive(Clone, PartialEq, Eq)]
pub struct NewReservation {
    /// The payment that it becomes.
    pub payment: PaymentId,
    /// The chain.
    pub chain: ChainId,
    /// Who will claim it.
    pub claimant: String,
    /// The request.
    pub request: B256,
    /// Who signed.
    pub payer: Address,
    /// The token that moves.
    pub token: Address,
    /// The price, in base units of the token.
    pub amount: Amount,
    /// What a facilitator is asked with. `None`: it is only looked up, and nothing is written.
    pub payload: Option<Vec<u8>>,
    /// From when on another payment that the payer signed for the same request stands in for this one, in milliseconds since 1970
    /// UTC.
    pub since_ms: u64,
    /// Whether such a payment stands in although it was claimed, because its answer is given again.
    pub answers_are_kept: bool,
    /// The time, in milliseconds since 1970 UTC.
    pub now_ms: u64,
}

/// Without the signature in the payload, which belongs into no log.
impl std::fmt::Debug for NewReservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewReservation")
            .field("payment", &self.payment)
            .field("claimant", &self.claimant)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// For what a signed payment is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Reserved {
    /// It is for this request.
    Kept(KeptPayment),
    /// The payer signed another one for the same request a while ago, which stands in for this one.
    Earlier(KeptPayment),
    /// It was kept for this request, and moved no money when it was to be settled. It is only told where nothing was to be written.
    Released(KeptPayment),
    /// It is kept for another request, was settled for somebody else, or is on the chain without having been shown here.
    Taken,
    /// Nothing is known of it, and nothing was to be written.
    Unknown,
}

/// A signed payment that is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptPayment {
    /// Its id.
    pub payment: PaymentId,
    /// What a facilitator is asked with.
    pub payload: Vec<u8>,
    /// Whether a facilitator has said that it was settled, and to nobody else.
    pub settled: bool,
}

/// Without the payload, in which there is a signature.
impl std::fmt::Debug for KeptPayment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptPayment")
            .field("payment", &self.payment)
            .field("settled", &self.settled)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Reserved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kept(kept) => f.debug_tuple("Kept").field(kept).finish(),
            Self::Earlier(kept) => f.debug_tuple("Earlier").field(kept).finish(),
            Self::Released(kept) => f.debug_tuple("Released").field(kept).finish(),
            Self::Taken => f.write_str("Taken"),
            Self::Unknown => f.write_str("Unknown"),
        }
    }
}

/// What a settled payment was signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservedTerms {
    /// Who may claim it.
    pub claimant: String,
    /// The request.
    pub request: B256,
    /// The token.
    pub token: Address,
    /// The price, in base units of the token: what was captured, where what was signed is a ceiling.
    pub amount: Amount,
}

impl Store {
    /// Keeps a signed payment for a request, or says for what it is kept. Durable when this returns.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn reserve(&self, new: NewReservation) -> Result<Reserved, StoreError> {
        if new.payload.is_some() {
            return send(self.jobs(), new).await;
        }
        // A look costs no turn of the writer, since anybody may ask for one.
        let mut reader = self.reader().await?;
        Ok(match new.look(reader.connection()?)? {
            Look::Known(reserved) => reserved,
            Look::Released(kept) => Reserved::Released(kept),
            Look::Free => Reserved::Unknown,
        })
    }

    /// Writes down what became of a kept payment: `settled` if the money moved and nobody else was told so, else no money moved
    /// and none will. A settled one stays settled. Returns whether it was kept for this claimant.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn conclude_reservation(
        &self,
        payment: PaymentId,
        claimant: String,
        settled: bool,
    ) -> Result<bool, StoreError> {
        send(self.jobs(), Conclude { payment, claimant, settled }).await
    }

    /// What a payment was signed for, if it was kept and settled. Of one of which nothing was charged nothing was moved: what the chain
    /// shows under its name was not made for it.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn settled_reservation(&self, payment: PaymentId) -> Result<Option<ReservedTerms>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT claimant, request_digest, token, COALESCE(captured, amount) AS amount FROM reservations
             WHERE payment_id = $1 AND state = 'settled' AND (captured IS NULL OR captured <> zeroblob(32))",
        )
        .bind(payment.0.as_slice())
        .fetch_optional(reader.connection()?)?;
        row.map(|row| {
            Ok(ReservedTerms {
                claimant: row.text("claimant")?,
                request: row.hash("request_digest")?,
                token: row.address("token")?,
                amount: row.amount("amount")?,
            })
        })
        .transpose()
    }

    /// Forgets what was kept before a time, in milliseconds since 1970 UTC. Returns whether there is more.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn prune_reservations(&self, before_ms: u64) -> Result<bool, StoreError> {
        Ok(send(self.jobs(), Prune { before_ms }).await? == PRUNED_AT_ONCE)
    }
}

impl Write for NewReservation {
    type Output = Reserved;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Reserved, StoreError> {
        match self.look(transaction.connection())? {
            Look::Known(reserved) => return Ok(reserved),
            Look::Released(kept) => {
                let Some(payload) = &self.payload else { return Ok(Reserved::Released(kept)) };
                return self.keep_again(transaction, payload);
            }
            Look::Free => {}
        }
        let Some(payload) = &self.payload else { return Ok(Reserved::Unknown) };
        query(
            "INSERT INTO reservations (payment_id, chain_id, claimant, request_digest, payer, token, amount, payload, state,
                                       reserved_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'kept', $9)",
        )
        .bind(self.payment.0.as_slice())
        .bind(chain_id(self.chain))
        .bind(self.claimant.as_str())
        .bind(self.request.as_slice())
        .bind(self.payer.as_slice())
        .bind(self.token.as_slice())
        .bind(amount_bytes(self.amount).to_vec())
        .bind(payload.as_slice())
        .bind(integer("the time of a reservation", self.now_ms)?)
        .execute(transaction.connection())?;
        Ok(Reserved::Kept(KeptPayment { payment: self.payment, payload: payload.clone(), settled: false }))
    }
}

impl NewReservation {
    /// What is known of it.
    fn look(&self, connection: &mut Connection) -> Result<Look, StoreError> {
        let known = query(
            "SELECT payment_id, payload, state, claimant, request_digest FROM reservations WHERE payment_id = $1",
        )
        .bind(self.payment.0.as_slice())
        .fetch_optional(&mut *connection)?;
        if let Some(row) = known {
            if row.text("claimant")? != self.claimant || row.hash("request_digest")? != self.request {
                return Ok(Look::Known(Reserved::Taken));
            }
            let kept = kept(&row)?;
            let released = row.text("state")? == "released";
            return Ok(if released { Look::Released(kept) } else { Look::Known(Reserved::Kept(kept)) });
        }
        if let Some(earlier) = self.earlier(&mut *connection)? {
            return Ok(Look::Known(Reserved::Earlier(earlier)));
        }
        Ok(if self.is_taken(connection)? { Look::Known(Reserved::Taken) } else { Look::Free })
    }

    /// One that moved no money is tried again. Where its payer has signed another amount with the same nonce, that one is: it was
    /// judged by the price of now.
    fn keep_again(
        &self,
        transaction: &mut WriteTransaction<'_>,
        payload: &[u8],
    ) -> Result<Reserved, StoreError> {
        let row = query(
            "UPDATE reservations
             SET state = 'kept', reserved_at_ms = $2, payload = CASE WHEN token = $3 AND amount = $4 THEN payload ELSE $5 END,
                 token = $3, amount = $4
             WHERE payment_id = $1 RETURNING payment_id, payload, state",
        )
        .bind(self.payment.0.as_slice())
        .bind(integer("the time of a reservation", self.now_ms)?)
        .bind(self.token.as_slice())
        .bind(amount_bytes(self.amount).to_vec())
        .bind(payload)
        .fetch_optional(transaction.connection())?;
        row.as_ref().map_or(Err(StoreError::Corrupt { column: "payment_id" }), kept).map(Reserved::Kept)
    }

    /// Another payment of the payer for the same request. One of which nothing is charged pays for nothing, and stands in for none.
    fn earlier(&self, connection: &mut Connection) -> Result<Option<KeptPayment>, StoreError> {
        let row = query(
            "SELECT r.payment_id, r.payload, r.state FROM reservations r
             WHERE r.request_digest = $1 AND r.payer = $2 AND r.claimant = $3 AND r.reserved_at_ms >= $4
               AND r.state <> 'released' AND r.chain_id = $5
               AND ($6 OR NOT EXISTS (SELECT 1 FROM claims k WHERE k.payment_id = r.payment_id))
               AND (r.captured IS NULL OR r.captured <> zeroblob(32))
             ORDER BY r.reserved_at_ms LIMIT 1",
        )
        .bind(self.request.as_slice())
        .bind(self.payer.as_slice())
        .bind(self.claimant.as_str())
        .bind(bound(self.since_ms))
        .bind(chain_id(self.chain))
        .bind(self.answers_are_kept)
        .fetch_optional(connection)?;
        row.as_ref().map(kept).transpose()
    }

    /// Whether it was used without having been shown here first. What failed to settle was not.
    fn is_taken(&self, connection: &mut Connection) -> Result<bool, StoreError> {
        let row = query(
            "SELECT EXISTS (SELECT 1 FROM claims k WHERE k.payment_id = $1)
                 OR EXISTS (SELECT 1 FROM settlements s WHERE s.chain_id = $2 AND s.payment_id = $1)
                 OR EXISTS (SELECT 1 FROM settlement_orders o
                            WHERE o.payment_id = $1 AND o.chain_id = $2 AND o.state <> 'failed') AS taken",
        )
        .bind(self.payment.0.as_slice())
        .bind(chain_id(self.chain))
        .fetch_one(connection)?;
        row.flag("taken")
    }
}

/// What is known of a payment.
enum Look {
    /// For what it is kept, or that it is taken.
    Known(Reserved),
    /// It was kept for this request, and moved no money.
    Released(KeptPayment),
    /// Nothing.
    Free,
}

fn kept(row: &Row) -> Result<KeptPayment, StoreError> {
    Ok(KeptPayment {
        payment: row.payment_id("payment_id")?,
        payload: row.bytes("payload")?,
        settled: row.text("state")? == "settled",
    })
}

struct Conclude {
    payment: PaymentId,
    claimant: String,
    settled: bool,
}

impl Write for Conclude {
    type Output = bool;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        let row = query(
            "UPDATE reservations SET state = CASE WHEN state = 'settled' OR $3 THEN 'settled' ELSE 'released' END
             WHERE payment_id = $1 AND claimant = $2 RETURNING payment_id",
        )
        .bind(self.payment.0.as_slice())
        .bind(self.claimant.as_str())
        .bind(self.settled)
        .fetch_optional(transaction.connection())?;
        Ok(row.is_some())
    }
}

struct Prune {
    before_ms: u64,
}

impl Write for Prune {
    type Output = u64;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<u64, StoreError> {
        let deleted = query(
            "DELETE FROM reservations WHERE payment_id IN
                 (SELECT payment_id FROM reservations WHERE reserved_at_ms < $1 ORDER BY reserved_at_ms LIMIT $2)",
        )
        .bind(bound(self.before_ms))
        .bind(bound(PRUNED_AT_ONCE))
        .execute(transaction.connection())?;
        Ok(deleted.rows_affected())
    }
}
