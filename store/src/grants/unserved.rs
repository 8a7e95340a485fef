//! Claimed payments whose requests were not answered: how often they were run, and whether they will be run again. Where one
//! payment pays for several requests at once, each is a part with a row of its own.

use salt402_protocol::{Address, Amount, Asset, B256, ChainId, PaymentId};

use crate::engine::{
    Changes, Columns, Step, SyncConnection, Write, WriteTransaction, amount_bytes, bound, chain_id, clock,
    params, query, send, send_step,
};
use crate::incidents::incident::{self, IncidentKind, NewIncident};
use crate::rows::StoreError;
use crate::store::Store;

/// Of which payment something is a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartOf {
    /// The payment.
    pub payment: PaymentId,
    /// The part's place among those of the payment, from 0.
    pub place: u32,
}

/// A payment whose request failed and has no outcome, or such a part of one. The row is removed with the first outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unserved {
    /// The payment, or the part's own id ([`PaymentId::part`]).
    pub payment: PaymentId,
    /// Of what it is a part. `None`: it is a whole payment.
    pub part: Option<PartOf>,
    /// Its chain.
    pub chain: ChainId,
    /// Its transaction.
    pub transaction: B256,
    /// Who paid.
    pub payer: Address,
    /// In what.
    pub asset: Asset,
    /// How much, in base units: of a part, what it is worth of what was paid.
    pub amount: Amount,
    /// What was sold, in words.
    pub sold: String,
    /// Runs that may have cost the model server its work, also those that began and never ended.
    pub runs: u64,
    /// Failures in a row, also those in which nothing ran.
    pub failures: u64,
    /// It is not run again before this time, in milliseconds since 1970 UTC.
    pub not_before_ms: u64,
    /// Whether it is not tried again.
    pub ended: bool,
    /// What went wrong last, as the payer is told.
    pub detail: String,
    /// Since when, in milliseconds since 1970 UTC.
    pub since_ms: u64,
    /// When it last changed, in milliseconds since 1970 UTC.
    pub changed_at_ms: u64,
    /// The note of the operator who settled it.
    pub settled: Option<String>,
}

impl Store {
    /// What is known of a payment whose request failed. `None` if it did not fail or was answered since.
    pub async fn unserved(&self, payment: PaymentId) -> Result<Option<Unserved>, StoreError> {
        let find = |connection: &SyncConnection<'_>| {
            connection
                .prepare_cached("SELECT * FROM unserved WHERE payment_id = ?1")?
                .query_optional([payment.0.as_slice()], |row| unserved_of(&row))
        };
        self.direct().read(find).await
    }

    /// Payments without an answer, the last changed first, at most `limit`. Without `all`, only those that no operator
    /// settled.
    pub async fn all_unserved(&self, all: bool, limit: u32) -> Result<Vec<Unserved>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT * FROM unserved WHERE $1 OR settled IS NULL ORDER BY changed_at_ms DESC, payment_id LIMIT $2",
        )
        .bind(all)
        .bind(i64::from(limit))
        .fetch_all(reader.connection()?)?;
        rows.iter().map(unserved_of).collect()
    }

    /// The parts of a payment without an answer, by their place.
    pub async fn unserved_parts(&self, payment: PaymentId) -> Result<Vec<Unserved>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query("SELECT * FROM unserved WHERE part_of = $1 ORDER BY part_of, place")
            .bind(payment.0.as_slice())
            .fetch_all(reader.connection()?)?;
        rows.iter().map(unserved_of).collect()
    }

    /// Stores how a payment's request stands. `since_ms`, `changed_at_ms` and `settled` keep their values. A payment
    /// with an outcome, or that was settled, does not change. Durable when this returns.
    pub async fn put_unserved(&self, unserved: Unserved) -> Result<(), StoreError> {
        send_step(self.jobs(), Put(unserved)).await
    }

    /// Notes that an operator settled a payment that is not run again. Returns whether there was such a payment.
    pub async fn settle_unserved(&self, payment: PaymentId, note: String) -> Result<bool, StoreError> {
        send(self.jobs(), Settle { payment, note }).await
    }

    /// Lets a payment be run again that was given up, with as many runs as a new one. Returns whether there was such a
    /// payment that nobody had settled.
    pub async fn reopen_unserved(&self, payment: PaymentId) -> Result<bool, StoreError> {
        send(self.jobs(), Reopen(payment)).await
    }
}

struct Put(Unserved);

/// A step, because giving up is an incident, which is recorded in the same transaction.
impl Step for Put {
    type Output = ();

    const KIND: &'static str = "unserved";

    // It grants nothing, and no request waits for it.
    const WAKES: bool = false;

    fn write(&self, connection: &SyncConnection<'_>) -> Result<(), StoreError> {
        let Unserved { payment, chain, transaction: hash, payer, asset, amount, sold, detail, .. } = &self.0;
        let was_ended: Option<bool> = connection
            .prepare_cached("SELECT ended FROM unserved WHERE payment_id = ?1")?
            .query_optional([payment.0.as_slice()], |row| row.get(0))?;
        let written = connection
            .prepare_cached(
                "INSERT INTO unserved (payment_id, chain_id, transaction_hash, payer, asset, amount, sold, runs, failures,
                                       not_before_ms, ended, detail, since_ms, changed_at_ms, part_of, place)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?13, ?14, ?15
                 WHERE NOT EXISTS (SELECT 1 FROM outcomes WHERE payment_id = ?1)
                 ON CONFLICT (payment_id) DO UPDATE SET
                     runs = excluded.runs, failures = excluded.failures, not_before_ms = excluded.not_before_ms,
                     ended = excluded.ended, detail = excluded.detail, changed_at_ms = excluded.changed_at_ms
                 WHERE settled IS NULL",
            )?
            .execute(params![
                payment.0.as_slice(),
                chain_id(*chain),
                hash.as_slice(),
                payer.as_slice(),
                asset.address().as_slice(),
                &amount_bytes(*amount)[..],
                sold,
                bound(self.0.runs),
                bound(self.0.failures),
                bound(self.0.not_before_ms),
                self.0.ended,
                detail,
                clock::now_ms(),
                self.0.part.map(|part| part.payment.0.to_vec()),
                self.0.part.map(|part| part.place),
            ])?;
        if written == 1 && self.0.ended && was_ended != Some(true) {
            self.tell(connection)?;
        }
        Ok(())
    }

    fn changes(&self, _written: &(), _connection: &SyncConnection<'_>) -> Changes {
        Changes::default()
    }
}

impl Put {
    /// An incident belongs to a chain. A gateway that runs alone has no chains in its database; its metric tells of
    /// this.
    fn tell(&self, connection: &SyncConnection<'_>) -> Result<(), StoreError> {
        let Unserved { chain, transaction, sold, detail, part, .. } = &self.0;
        let payment = part.map_or(self.0.payment, |part| part.payment);
        let followed: Option<i64> = connection
            .prepare_cached("SELECT chain_id FROM chains WHERE chain_id = ?1")?
            .query_optional([chain_id(*chain)], |row| row.get(0))?;
        if followed.is_none() {
            return Ok(());
        }
        // What is taken of a channel is given back in another way.
        let is_payment = connection
            .prepare_cached(
                "SELECT 1 FROM payments WHERE chain_id = ?1 AND transaction_hash = ?2 AND payment_id = ?3 AND canonical",
            )?
            .exists(params![chain_id(*chain), transaction.as_slice(), payment.0.as_slice()])?;
        let refund = match (is_payment, part) {
            (true, None) => format!("; to give the money back: salt402 refund {transaction}"),
            // Others may be given up too, and what is given back at once is their sum.
            (true, Some(_)) => "; what is owed of the payment: salt402 unserved list".to_owned(),
            (false, _) => String::new(),
        };
        let detail = format!("{sold} was paid for and is not served: {detail}{refund}");
        let new = NewIncident {
            kind: IncidentKind::NotServed,
            chain: *chain,
            payment,
            transaction: *transaction,
            occurrences: 1,
            detail: &detail,
        };
        incident::record(connection, &new).map(|_| ())
    }
}

struct Settle {
    payment: PaymentId,
    note: String,
}

impl Write for Settle {
    type Output = bool;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE unserved SET settled = $2, changed_at_ms = $3
             WHERE payment_id = $1 AND ended AND settled IS NULL",
        )
        .bind(self.payment.0.as_slice())
        .bind(self.note.as_str())
        .bind(clock::now_ms())
        .execute(transaction.connection())?;
        Ok(done.rows_affected() == 1)
    }
}

struct Reopen(PaymentId);

impl Write for Reopen {
    type Output = bool;

    const CHANGES_PAYMENTS: bool = false;

    fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<bool, StoreError> {
        let done = query(
            "UPDATE unserved SET ended = FALSE, runs = 0, failures = 0, not_before_ms = 0, changed_at_ms = $2
             WHERE payment_id = $1 AND ended AND settled IS NULL",
        )
        .bind(self.0.0.as_slice())
        .bind(clock::now_ms())
        .execute(transaction.connection())?;
        Ok(done.rows_affected() == 1)
    }
}

fn unserved_of(row: &impl Columns) -> Result<Unserved, StoreError> {
    Ok(Unserved {
        payment: row.payment_id("payment_id")?,
        part: part_of(row)?,
        chain: row.chain("chain_id")?,
        transaction: row.hash("transaction_hash")?,
        payer: row.address("payer")?,
        asset: row.asset("asset")?,
        amount: row.amount("amount")?,
        sold: row.text("sold")?,
        runs: row.number("runs")?,
        failures: row.number("failures")?,
        not_before_ms: row.number("not_before_ms")?,
        ended: row.flag("ended")?,
        detail: row.text("detail")?,
        since_ms: row.number("since_ms")?,
        changed_at_ms: row.number("changed_at_ms")?,
        settled: row.maybe_text("settled")?,
    })
}

fn part_of(row: &impl Columns) -> Result<Option<PartOf>, StoreError> {
    let Some(place) = row.maybe_number("place")? else { return Ok(None) };
    let place = u32::try_from(place).map_err(|_| StoreError::Corrupt { column: "place" })?;
    Ok(Some(PartOf { payment: row.payment_id("part_of")?, place }))
}
