//! Requests that are charged by what they use, from before they are run until what they used is moved or counted.
//!
//! ```text
//! running ──answer and amount, in one transaction──▶ charged ──moved or counted──▶ settled
//!    └── given up: amount 0 ──────────────────────────▶ ┘ └─ not moved ─▶ unpaid ─▶ ┤
//!                                                                           └────▶ written off, by the operator
//! ```

use salt402_protocol::{Address, Amount, ChainId, PaymentId, U256};

use crate::engine::{
    Columns as _, Row, Write, WriteTransaction, amount_bytes, bound, chain_id, clock, integer, query, send,
};
use crate::rows::{Begun, Charge, ChargeState, NewCharge, OpenCharges, StoreError};
use crate::store::Store;

/// The columns of a row.
macro_rules! charge_columns {
    () => {
        "payment_id, chain_id, payer, request_digest, ceiling, amount IS NOT NULL AS is_charged, COALESCE(amount, ceiling) AS amount,
         question IS NOT NULL AS is_signed, COALESCE(question, x'') AS question, state, ends_at_ms, due_ms, tries, detail, note,
         began_at_ms, changed_at_ms"
    };
}
pub(super) use charge_columns;

/// The time of the next step where there is none: nothing more is tried, and it is still owed.
const NEVER: i64 = i64::MAX;

impl Store {
    /// Writes down that a request is about to be run, unless it was run before or its payer has too much open. Durable when
    /// this returns.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn begin_charge(&self, charge: NewCharge) -> Result<Begun, StoreError> {
        send(self.jobs(), charge).await
    }

    /// Gives an authorization up of which nothing was charged: its charge is what was sunk in it. One that was charged stays as it is.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn release_charge(&self, payment: PaymentId) -> Result<(), StoreError> {
        send(self.jobs(), Release(payment)).await
    }

    /// Writes down that a charge was moved or counted.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn settle_charge(&self, payment: PaymentId) -> Result<(), StoreError> {
        send(
            self.jobs(),
            Conclude { payment, state: ChargeState::Settled, due_ms: None, detail: String::new() },
        )
        .await
    }

    /// Writes down that a charge was not moved, why, and when it is tried again, in milliseconds since 1970 UTC: `None` for never.
    /// `refused`: it will hardly be moved, and its payer owes it.
    ///
    /// # Errors
    /// The database could not be written.
    pub async fn postpone_charge(
        &self,
        payment: PaymentId,
        refused: bool,
        due_ms: Option<u64>,
        detail: String,
    ) -> Result<(), StoreError> {
        let state = if refused { ChargeState::Unpaid } else { ChargeState::Charged };
        let due_ms = Some(due_ms.map_or(NEVER, bound));
        send(self.jobs(), Conclude { payment, state, due_ms, detail }).await
    }

    /// A charge; `None` if a payment has none.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn charge(&self, payment: PaymentId) -> Result<Option<Charge>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(concat!("SELECT ", charge_columns!(), " FROM charges WHERE payment_id = $1"))
            .bind(payment.0.as_slice())
            .fetch_optional(reader.connection()?)?;
        row.as_ref().map(charge).transpose()
    }

    /// Charges that are to be moved or counted and were due at a time, in milliseconds since 1970 UTC, at most `most` of them.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn due_charges(&self, now_ms: u64, most: u32) -> Result<Vec<Charge>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(concat!(
            "SELECT ",
            charge_columns!(),
            " FROM charges WHERE due_ms <= $1 AND state <> 'running' ORDER BY due_ms LIMIT $2"
        ))
        // Of what is never tried again, no time comes.
        .bind(bound(now_ms).min(NEVER - 1))
        .bind(i64::from(most))
        .fetch_all(reader.connection()?)?;
        rows.iter().map(charge).collect()
    }

    /// Payments whose authorization had ended at a time, in milliseconds since 1970 UTC, before anything was charged of them, at most
    /// `most` of them. Their requests may be under way.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn ended_charges(&self, now_ms: u64, most: u32) -> Result<Vec<PaymentId>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT payment_id FROM charges WHERE due_ms <= $1 AND state = 'running' ORDER BY due_ms LIMIT $2",
        )
        .bind(bound(now_ms).min(NEVER - 1))
        .bind(i64::from(most))
        .fetch_all(reader.connection()?)?;
        rows.iter().map(|row| row.payment_id("payment_id")).collect()
    }

    /// What is open, of all payers. It reads each open one.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn open_charges(&self) -> Result<OpenCharges, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT state, COALESCE(amount, ceiling) AS amount FROM charges INDEXED BY charges_due WHERE due_ms IS NOT NULL",
        )
        .fetch_all(reader.connection()?)?;
        let mut open = OpenCharges::default();
        for row in rows {
            match state(&row)? {
                ChargeState::Running => open.running += 1,
                ChargeState::Charged => open.charged += 1,
                ChargeState::Unpaid => {
                    open.unpaid += 1;
                    open.unpaid_amount = Amount(open.unpaid_amount.0.saturating_add(row.amount("amount")?.0));
                }
                ChargeState::Settled | ChargeState::WrittenOff => {}
            }
        }
        Ok(open)
    }
}

fn state(row: &Row) -> Result<ChargeState, StoreError> {
    ChargeState::of(&row.text("state")?).ok_or(StoreError::Corrupt { column: "state" })
}

pub(super) fn charge(row: &Row) -> Result<Charge, StoreError> {
    let amount = row.amount("amount")?;
    Ok(Charge {
        payment: row.payment_id("payment_id")?,
        chain: row.chain("chain_id")?,
        payer: row.address("payer")?,
        request: row.hash("request_digest")?,
        ceiling: row.amount("ceiling")?,
        amount: row.flag("is_charged")?.then_some(amount),
        question: row.flag("is_signed")?.then(|| row.bytes("question")).transpose()?,
        state: state(row)?,
        ends_at_ms: row.number("ends_at_ms")?,
        due_ms: row.maybe_number("due_ms")?.filter(|due_ms| bound(*due_ms) < NEVER),
        tries: row.number("tries")?,
        detail: row.text("detail")?,
        note: row.maybe_text("note")?,
        began_at_ms: row.number("began_at_ms")?,
        changed_at_ms: row.number("changed_at_ms")?,
    })
}

impl Write for NewCharge {
    type Output = Begun;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<Begun, StoreError> {
        if let Some(known) = self.known(transaction)?
            && !(known.state == ChargeState::Running && self.too_late)
        {
            return Ok(match known.state {
                ChargeState::Running => {
                    // Vouchers may have raised it.
                    raise(transaction, self.payment, self.ceiling)?;
                    Begun::Running { first: false }
                }
                _ => Begun::Charged(Box::new(known)),
            });
        }
        // What is charged of a channel is covered by its deposit, and what is given up opens nothing.
        if self.question.is_some() && !self.too_late {
            let Open { requests, amount: open, owing } = open_of(transaction, self.chain, self.payer)?;
            if owing {
                return Ok(Begun::Owing);
            }
            let with = open.saturating_add(self.ceiling.0);
            if requests >= self.most_open_requests || self.most_open.is_some_and(|most| with > most.0) {
                return Ok(Begun::Exposed(Amount(open)));
            }
        }
        self.insert(transaction)?;
        if !self.too_late {
            return Ok(Begun::Running { first: true });
        }
        give_up(transaction, self.payment, self.now_ms)?;
        let given_up = self.known(transaction)?.ok_or(StoreError::Corrupt { column: "payment_id" })?;
        Ok(Begun::Charged(Box::new(given_up)))
    }
}

impl NewCharge {
    fn known(&self, transaction: &mut WriteTransaction<'_>) -> Result<Option<Charge>, StoreError> {
        let row = query(concat!("SELECT ", charge_columns!(), " FROM charges WHERE payment_id = $1"))
            .bind(self.payment.0.as_slice())
            .fetch_optional(transaction.connection())?;
        row.as_ref().map(charge).transpose()
    }

    /// One that is there stays.
    fn insert(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        query(
            "INSERT INTO charges (payment_id, chain_id, payer, request_digest, ceiling, question, state, began_at_ms,
                                  changed_at_ms, ends_at_ms, due_ms)
             VALUES ($1, $2, $3, $4, $5, $6, 'running', $7, $7, $8, $8) ON CONFLICT (payment_id) DO NOTHING",
        )
        .bind(self.payment.0.as_slice())
        .bind(chain_id(self.chain))
        .bind(self.payer.as_slice())
        .bind(self.request.as_slice())
        .bind(amount_bytes(self.ceiling).to_vec())
        .bind(self.question.clone())
        .bind(integer("the time of a charge", self.now_ms)?)
        .bind(bound(self.ends_at_ms))
        .execute(transaction.connection())?;
        Ok(())
    }
}

/// What a payer has open of what a facilitator settles.
struct Open {
    requests: u64,
    amount: U256,
    /// Whether some of it could not be moved.
    owing: bool,
}

fn open_of(
    transaction: &mut WriteTransaction<'_>,
    chain: ChainId,
    payer: Address,
) -> Result<Open, StoreError> {
    let rows = query(
        "SELECT COALESCE(amount, ceiling) AS amount, state FROM charges
         WHERE chain_id = $1 AND payer = $2 AND due_ms IS NOT NULL AND question IS NOT NULL",
    )
    .bind(chain_id(chain))
    .bind(payer.as_slice())
    .fetch_all(transaction.connection())?;
    let mut open = Open { requests: rows.len() as u64, amount: U256::ZERO, owing: false };
    for row in &rows {
        open.amount = open.amount.saturating_add(row.amount("amount")?.0);
        open.owing |= state(row)? == ChargeState::Unpaid;
    }
    Ok(open)
}

/// Writes down that more may be charged of what is under way. What is more already stays.
pub(super) fn raise(
    transaction: &mut WriteTransaction<'_>,
    payment: PaymentId,
    ceiling: Amount,
) -> Result<(), StoreError> {
    query("UPDATE charges SET ceiling = $2 WHERE payment_id = $1 AND state = 'running' AND ceiling < $2")
        .bind(payment.0.as_slice())
        .bind(amount_bytes(ceiling).to_vec())
        .execute(transaction.connection())?;
    Ok(())
}

/// Whether so much may be charged of something, which must be under way.
pub(super) fn check(
    transaction: &mut WriteTransaction<'_>,
    payment: PaymentId,
    amount: Amount,
) -> Result<(), StoreError> {
    let known = query("SELECT ceiling FROM charges WHERE payment_id = $1 AND state = 'running'")
        .bind(payment.0.as_slice())
        .fetch_optional(transaction.connection())?;
    let ceiling = known.map(|row| row.amount("ceiling")).transpose()?;
    match ceiling.filter(|ceiling| amount <= *ceiling) {
        Some(_) => Ok(()),
        None => Err(StoreError::AboveCeiling { payment, ceiling: ceiling.unwrap_or(Amount::ZERO), amount }),
    }
}

/// Writes down what is charged, with the answer, in its transaction. What was charged before stays.
pub(super) fn put(
    transaction: &mut WriteTransaction<'_>,
    payment: PaymentId,
    amount: Amount,
    now_ms: u64,
) -> Result<(), StoreError> {
    let known = query("SELECT ceiling, state FROM charges WHERE payment_id = $1")
        .bind(payment.0.as_slice())
        .fetch_optional(transaction.connection())?;
    let ceiling = match &known {
        Some(row) if state(row)? != ChargeState::Running => return Ok(()),
        Some(row) => row.amount("ceiling")?,
        None => Amount::ZERO,
    };
    if known.is_none() || amount > ceiling {
        return Err(StoreError::AboveCeiling { payment, ceiling, amount });
    }
    query("UPDATE charges SET state = 'charged', amount = $2, due_ms = $3, changed_at_ms = $3 WHERE payment_id = $1")
        .bind(payment.0.as_slice())
        .bind(amount_bytes(amount).to_vec())
        .bind(bound(now_ms))
        .execute(transaction.connection())?;
    Ok(())
}

struct Release(PaymentId);

impl Write for Release {
    type Output = ();

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        give_up(transaction, self.0, clock::now_ms().unsigned_abs())
    }
}

/// Charges for what was not charged yet what its runs have used that nobody got an answer of.
fn give_up(
    transaction: &mut WriteTransaction<'_>,
    payment: PaymentId,
    now_ms: u64,
) -> Result<(), StoreError> {
    query(
        "UPDATE charges SET state = 'charged', amount = sunk, due_ms = $2, changed_at_ms = $2
         WHERE payment_id = $1 AND state = 'running'",
    )
    .bind(payment.0.as_slice())
    .bind(bound(now_ms))
    .execute(transaction.connection())?;
    // Nobody is owed an answer for nothing.
    query("DELETE FROM unserved WHERE payment_id = $1")
        .bind(payment.0.as_slice())
        .execute(transaction.connection())?;
    Ok(())
}

/// What became of a charge. One that is settled stays so, and so does one that was written off, unless it was moved after all.
struct Conclude {
    payment: PaymentId,
    state: ChargeState,
    due_ms: Option<i64>,
    detail: String,
}

impl Write for Conclude {
    type Output = ();

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<(), StoreError> {
        query(
            "UPDATE charges SET state = $2, due_ms = $3, detail = $4, tries = tries + 1, changed_at_ms = $5
             WHERE payment_id = $1 AND (state IN ('charged', 'unpaid') OR state = 'written_off' AND $2 = 'settled')",
        )
        .bind(self.payment.0.as_slice())
        .bind(self.state.word())
        .bind(self.due_ms)
        .bind(self.detail.as_str())
        .bind(clock::now_ms())
        .execute(transaction.connection())?;
        Ok(())
    }
}
