//! Vouchers of channels: checked, accounted for and granted on in one transaction.

use salt402_protocol::{
    Address, Amount, Asset, B256, ChainId, ChannelState, Descriptor, PaymentId, RequestDigest, Voucher,
};
use sqlx::SqliteConnection;

use crate::channel_rows::{EXIT_CANCELLED, OPENED, TOPPED_UP, WITHDRAWN};
use crate::columns::{Columns as _, amount_bytes, bound, chain_id, integer};
use crate::payment::Stand;
use crate::transaction::WriteTransaction;
use crate::work::{Write, send};
use crate::{Store, StoreError, account, channel};

/// A voucher that is to pay for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVoucher {
    /// The chain of its channel.
    pub chain: ChainId,
    /// The contract of its channel.
    pub contract: Address,
    /// The voucher.
    pub voucher: Voucher,
    /// Whose key signed it, as its signature says.
    pub signer: Address,
    /// Who must be able to claim from the channel.
    pub payee: Address,
    /// What the channel must be in.
    pub asset: Asset,
    /// What the request costs, in base units.
    pub price: Amount,
    /// The request that is to be granted.
    pub request: RequestDigest,
    /// Who claims: the same name and the same request get the same grant again.
    pub claimant: String,
    /// Blocks that must contain or follow the deposits that cover the voucher.
    pub confirmations: u64,
    /// The same while the payer has an open incident over a lost payment; 0 makes no difference, `u64::MAX` is never.
    pub after_loss: u64,
    /// Now, in milliseconds since 1970 UTC.
    pub now_ms: u64,
}

/// What became of a [`NewVoucher`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoucherResult {
    /// It pays for the request. `first` is true once, and then it is on disk.
    Granted(Box<VoucherGrant>),
    /// Nothing of the channel's opening is on the chain: not yet, or no more.
    UnknownChannel,
    /// The channel names no key, so its payer can change its mind about what it signed.
    NoSigner,
    /// The channel's vouchers are signed by another.
    WrongSigner(Address),
    /// The channel pays another.
    WrongPayee(Address),
    /// The channel is in another asset.
    WrongAsset(Asset),
    /// The chain is halted until the operator acts.
    Halted,
    /// The channel was opened before the database was restored from a backup: what was used of it since the backup was
    /// taken is not known.
    BeforeRestore,
    /// The channel is closed.
    Closed,
    /// The payer leaves at this time, in seconds since 1970 UTC, or later.
    Exiting(u64),
    /// More is signed than is in the channel, which is so much, in base units.
    AboveDeposit(Amount),
    /// The deposits cover it, and are not deep enough.
    TooShallow {
        /// The channel's depth: 1 when the index stands at the block of its opening.
        confirmations: u64,
        /// How many are needed.
        needed: u64,
    },
    /// Such a voucher was accepted before, for another request.
    Used(VoucherAccount),
    /// Its ceiling is not above that of the last one, or not by the price.
    TooLow(VoucherAccount),
}

/// What was accepted and used of a channel, in base units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoucherAccount {
    /// The highest ceiling that was accepted.
    pub ceiling: Amount,
    /// What the requests so far cost together.
    pub spent: Amount,
}

/// A grant on a voucher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherGrant {
    /// Its name.
    pub payment: PaymentId,
    /// Whether it was made now.
    pub first: bool,
    /// When it was made, in milliseconds since 1970 UTC; `None` where none was made, because none was asked for.
    pub claimed_at_ms: Option<u64>,
    /// What the request cost, in base units.
    pub price: Amount,
    /// The account after it.
    pub account: VoucherAccount,
    /// The channel.
    pub descriptor: Descriptor,
    /// Where the channel was opened.
    pub opening: Opening,
}

/// Where a channel was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The transaction.
    pub transaction: B256,
    /// The height of its block.
    pub block_number: u64,
    /// The hash of its block.
    pub block_hash: B256,
    /// The time of its block, in seconds since 1970 UTC; 0 where that is no longer kept.
    pub block_timestamp: u64,
    /// Blocks that contain or follow it; 0 while it is in doubt ([`Store::doubt`]).
    pub confirmations: u64,
}

/// A channel's last voucher and its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoucherRow {
    /// The contract.
    pub contract: Address,
    /// The last voucher, which has the highest ceiling.
    pub voucher: Voucher,
    /// The account.
    pub account: VoucherAccount,
}

impl Store {
    /// Grants on a voucher. Durable when this returns; when it is dropped before, the grant may have been made, and
    /// asking again then gives it again.
    pub async fn accept_voucher(&self, voucher: NewVoucher) -> Result<VoucherResult, StoreError> {
        send(self.jobs(), voucher).await
    }

    /// What [`Store::accept_voucher`] would say; nothing is written.
    pub async fn look_at_voucher(&self, voucher: &NewVoucher) -> Result<VoucherResult, StoreError> {
        let mut reader = self.reader().await?;
        voucher.decide(reader.connection()?).await
    }

    /// The last voucher of every channel of a contract from which one was accepted.
    pub async fn vouchers(&self, chain: ChainId, contract: Address) -> Result<Vec<VoucherRow>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = sqlx::query(
            "SELECT channel, ceiling, signature, spent FROM vouchers WHERE chain_id = $1 AND contract = $2",
        )
        .bind(chain_id(chain))
        .bind(contract.as_slice())
        .fetch_all(reader.connection()?)
        .await?;
        rows.iter()
            .map(|row| {
                let (voucher, account) = account::accepted(row.hash("channel")?, row)?;
                Ok(VoucherRow { contract, voucher, account })
            })
            .collect()
    }
}

impl Write for NewVoucher {
    type Output = VoucherResult;

    async fn write(&self, transaction: &mut WriteTransaction<'_>) -> Result<VoucherResult, StoreError> {
        let mut result = self.decide(transaction.connection()).await?;
        if let VoucherResult::Granted(grant) = &mut result
            && grant.claimed_at_ms.is_none()
        {
            self.note(grant, transaction.connection()).await?;
            grant.claimed_at_ms = Some(self.now_ms);
            transaction.count_claim(self.chain);
        }
        Ok(result)
    }
}

impl NewVoucher {
    /// A channel that left the chain grants nothing, not even again. What was granted before is given again whatever
    /// else became of the channel; everything after that is about a new grant.
    async fn decide(&self, connection: &mut SqliteConnection) -> Result<VoucherResult, StoreError> {
        let id = self.voucher.channel;
        let state = channel::state(connection, self.chain, self.contract, id).await?;
        let Some((state, descriptor)) = state.and_then(|state| state.descriptor.map(|known| (state, known)))
        else {
            return Ok(VoucherResult::UnknownChannel);
        };
        let Some(opening) = self.opening(connection).await? else { return Ok(VoucherResult::UnknownChannel) };
        if let Some(refusal) = self.stranger(&descriptor) {
            return Ok(refusal);
        }
        let account = self.account(connection).await?;
        let payment = self.voucher.payment_id(self.chain, self.contract);
        let grant = |first, claimed_at_ms, price, account| {
            let grant = VoucherGrant { payment, first, claimed_at_ms, price, account, descriptor, opening };
            VoucherResult::Granted(Box::new(grant))
        };
        let known = sqlx::query(
            "SELECT k.request_digest, k.claimant, k.claimed_at_ms, g.price
             FROM claims k JOIN voucher_grants g ON g.payment_id = k.payment_id WHERE k.payment_id = $1",
        )
        .bind(payment.0.as_slice())
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(row) = known {
            let ours =
                row.hash("request_digest")? == self.request.0 && row.text("claimant")? == self.claimant;
            if !ours {
                return Ok(VoucherResult::Used(account));
            }
            return Ok(grant(false, Some(row.number("claimed_at_ms")?), row.amount("price")?, account));
        }
        if let Some(refusal) = self.uncovered(&state, &opening, connection).await? {
            return Ok(refusal);
        }
        let ceiling = self.voucher.ceiling;
        Ok(match account.spent.checked_add(self.price) {
            Some(spent) if ceiling > account.ceiling && ceiling >= spent => {
                grant(true, None, self.price, VoucherAccount { ceiling, spent })
            }
            _ => VoucherResult::TooLow(account),
        })
    }

    /// Whether the channel is another's.
    fn stranger(&self, descriptor: &Descriptor) -> Option<VoucherResult> {
        match descriptor.signer {
            None => Some(VoucherResult::NoSigner),
            Some(signer) if signer != self.signer => Some(VoucherResult::WrongSigner(signer)),
            _ if descriptor.payee != self.payee => Some(VoucherResult::WrongPayee(descriptor.payee)),
            _ if descriptor.asset != self.asset => Some(VoucherResult::WrongAsset(descriptor.asset)),
            Some(_) => None,
        }
    }

    /// Whether the channel's money is not there to be claimed, or not certainly.
    async fn uncovered(
        &self,
        state: &ChannelState,
        opening: &Opening,
        connection: &mut SqliteConnection,
    ) -> Result<Option<VoucherResult>, StoreError> {
        if let Some(refusal) = self.withheld(opening, connection).await? {
            return Ok(Some(refusal));
        }
        if state.closed {
            return Ok(Some(VoucherResult::Closed));
        }
        if let Some(exit_at) = state.exit_at {
            return Ok(Some(VoucherResult::Exiting(exit_at)));
        }
        if self.voucher.ceiling > state.deposit {
            return Ok(Some(VoucherResult::AboveDeposit(state.deposit)));
        }
        let payer = state.descriptor.map(|descriptor| descriptor.payer).unwrap_or_default();
        let loss = sqlx::query(
            "SELECT 1 FROM incidents i
             WHERE i.chain_id = $1 AND i.payer = $2 AND i.resolved_at_ms IS NULL LIMIT 1",
        )
        .bind(chain_id(self.chain))
        .bind(payer.as_slice())
        .fetch_optional(&mut *connection)
        .await?;
        let needed =
            if loss.is_some() { self.confirmations.max(self.after_loss) } else { self.confirmations };
        let needed = needed.max(1);
        // Counted from the cursor, which the opening's own depth says.
        let cursor = (opening.block_number + opening.confirmations).saturating_sub(1);
        let deep = match (cursor + 1).checked_sub(needed) {
            Some(height) => self.deposited_by(height, connection).await?,
            None => Amount::ZERO,
        };
        if self.voucher.ceiling > deep {
            return Ok(Some(VoucherResult::TooShallow { confirmations: opening.confirmations, needed }));
        }
        // An exit that was asked for is at once, one that was cancelled not before the cancelling stays: without it, the
        // exit may be due.
        let confirmations = self.since_exit_cancelled(connection).await?;
        Ok(confirmations
            .filter(|confirmations| *confirmations < needed)
            .map(|confirmations| VoucherResult::TooShallow { confirmations, needed }))
    }

    /// The depth of the block in which an exit was cancelled last, 0 where it is in doubt.
    async fn since_exit_cancelled(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Option<u64>, StoreError> {
        let row = sqlx::query(
            "SELECT e.block_number, c.cursor_number, c.doubted_above
             FROM channel_events e JOIN chains c ON c.chain_id = e.chain_id
             WHERE e.chain_id = $1 AND e.contract = $2 AND e.channel = $3 AND e.canonical AND e.kind IN ($4, $5)
             ORDER BY e.block_number DESC LIMIT 1",
        )
        .bind(chain_id(self.chain))
        .bind(self.contract.as_slice())
        .bind(self.voucher.channel.as_slice())
        .bind(EXIT_CANCELLED)
        .bind(WITHDRAWN)
        .fetch_optional(connection)
        .await?;
        row.map(|row| {
            let stand = Stand {
                cursor: row.maybe_number("cursor_number")?,
                doubted_above: row.maybe_number("doubted_above")?,
            };
            Ok(stand.depth(row.number("block_number")?))
        })
        .transpose()
    }

    /// What keeps every new grant back, whatever the channel is.
    async fn withheld(
        &self,
        opening: &Opening,
        connection: &mut SqliteConnection,
    ) -> Result<Option<VoucherResult>, StoreError> {
        let row = sqlx::query(
            "SELECT EXISTS (SELECT 1 FROM halts h WHERE h.chain_id = $1 AND h.resolved_at_ms IS NULL) AS halted,
                    $2 < (SELECT COALESCE(MAX(refuse_before), 0) FROM restores) AS before_restore",
        )
        .bind(chain_id(self.chain))
        .bind(bound(opening.block_timestamp))
        .fetch_one(connection)
        .await?;
        if row.flag("before_restore")? {
            return Ok(Some(VoucherResult::BeforeRestore));
        }
        Ok(row.flag("halted")?.then_some(VoucherResult::Halted))
    }

    /// All that was deposited up to a block.
    async fn deposited_by(
        &self,
        height: u64,
        connection: &mut SqliteConnection,
    ) -> Result<Amount, StoreError> {
        let row = sqlx::query(
            "SELECT MAX(total) AS total FROM channel_events
             WHERE chain_id = $1 AND contract = $2 AND channel = $3 AND canonical AND kind IN ($4, $5)
               AND block_number <= $6
               AND block_number <= COALESCE((SELECT doubted_above FROM chains WHERE chain_id = $1), block_number)",
        )
        .bind(chain_id(self.chain))
        .bind(self.contract.as_slice())
        .bind(self.voucher.channel.as_slice())
        .bind(OPENED)
        .bind(TOPPED_UP)
        .bind(bound(height))
        .fetch_one(connection)
        .await?;
        match row.maybe_hash("total")? {
            Some(_) => row.amount("total"),
            None => Ok(Amount::ZERO),
        }
    }

    async fn opening(&self, connection: &mut SqliteConnection) -> Result<Option<Opening>, StoreError> {
        let row = sqlx::query(
            "SELECT e.transaction_hash, e.block_number, e.block_hash, c.cursor_number, c.doubted_above,
                    b.timestamp
             FROM channel_events e JOIN chains c ON c.chain_id = e.chain_id
             LEFT JOIN blocks b ON b.chain_id = e.chain_id AND b.hash = e.block_hash
             WHERE e.chain_id = $1 AND e.contract = $2 AND e.channel = $3 AND e.canonical AND e.kind = $4",
        )
        .bind(chain_id(self.chain))
        .bind(self.contract.as_slice())
        .bind(self.voucher.channel.as_slice())
        .bind(OPENED)
        .fetch_optional(connection)
        .await?;
        row.map(|row| {
            let block_number = row.number("block_number")?;
            let stand = Stand {
                cursor: row.maybe_number("cursor_number")?,
                doubted_above: row.maybe_number("doubted_above")?,
            };
            Ok(Opening {
                transaction: row.hash("transaction_hash")?,
                block_number,
                block_hash: row.hash("block_hash")?,
                block_timestamp: row.maybe_number("timestamp")?.unwrap_or(0),
                confirmations: stand.depth(block_number),
            })
        })
        .transpose()
    }

    async fn account(&self, connection: &mut SqliteConnection) -> Result<VoucherAccount, StoreError> {
        let row = sqlx::query(
            "SELECT ceiling, spent FROM vouchers WHERE chain_id = $1 AND contract = $2 AND channel = $3",
        )
        .bind(chain_id(self.chain))
        .bind(self.contract.as_slice())
        .bind(self.voucher.channel.as_slice())
        .fetch_optional(connection)
        .await?;
        row.map_or(Ok(VoucherAccount::default()), |row| {
            Ok(VoucherAccount { ceiling: row.amount("ceiling")?, spent: row.amount("spent")? })
        })
    }

    /// The account, the claim and its price: all of it or nothing.
    async fn note(&self, grant: &VoucherGrant, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let now_ms = integer("the time of a claim", self.now_ms)?;
        let (chain, channel) = (chain_id(self.chain), self.voucher.channel);
        sqlx::query(
            "INSERT INTO vouchers (chain_id, contract, channel, ceiling, signature, spent, updated_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (chain_id, contract, channel)
             DO UPDATE SET ceiling = excluded.ceiling, signature = excluded.signature, spent = excluded.spent,
                           updated_at_ms = excluded.updated_at_ms",
        )
        .bind(chain)
        .bind(self.contract.as_slice())
        .bind(channel.as_slice())
        .bind(amount_bytes(grant.account.ceiling).to_vec())
        .bind(self.voucher.signature.to_vec())
        .bind(amount_bytes(grant.account.spent).to_vec())
        .bind(now_ms)
        .execute(&mut *connection)
        .await?;
        // The channel stands where a payment's reference does.
        sqlx::query(
            "INSERT INTO claims (payment_id, chain_id, transaction_hash, request_digest, reference, claimant,
                                 claimed_at_ms, block_number, block_hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(grant.payment.0.as_slice())
        .bind(chain)
        .bind(grant.opening.transaction.as_slice())
        .bind(self.request.0.as_slice())
        .bind(channel.as_slice())
        .bind(self.claimant.clone())
        .bind(now_ms)
        .bind(bound(grant.opening.block_number))
        .bind(grant.opening.block_hash.as_slice())
        .execute(&mut *connection)
        .await?;
        sqlx::query(
            "INSERT INTO voucher_grants (payment_id, chain_id, contract, channel, ceiling, price)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(grant.payment.0.as_slice())
        .bind(chain)
        .bind(self.contract.as_slice())
        .bind(channel.as_slice())
        .bind(amount_bytes(self.voucher.ceiling).to_vec())
        .bind(amount_bytes(self.price).to_vec())
        .execute(connection)
        .await?;
        Ok(())
    }
}
