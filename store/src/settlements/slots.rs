//! Slots as they are read: a signer's nonces, and the transactions that were signed for each.

use salt402_protocol::{Address, ChainId};

use crate::engine::{Columns as _, Row, bound, chain_id, query};
use crate::rows::{MinedSlot, OpenSlot, Slot, SlotState, SlotTransaction, StoreError};
use crate::store::Store;

impl Store {
    /// The slots of a chain with transactions that may be mined, by signer and nonce.
    pub async fn open_slots(&self, chain: ChainId) -> Result<Vec<OpenSlot>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT * FROM settlement_transactions INDEXED BY settlement_transactions_open
             WHERE chain_id = $1 AND state = 'open' ORDER BY signer, nonce",
        )
        .bind(chain_id(chain))
        .fetch_all(reader.connection()?)?;
        let mut slots: Vec<OpenSlot> = Vec::new();
        for row in &rows {
            let transaction = transaction_of(row)?;
            match slots.last_mut() {
                Some(last) if last.slot == transaction.slot => last.transactions.push(transaction),
                _ => {
                    slots.push(OpenSlot {
                        slot: transaction.slot,
                        transactions: vec![transaction],
                        orders: Vec::new(),
                        gas_alone: Vec::new(),
                    });
                }
            }
        }
        for open in &mut slots {
            // Of equal fees, none replaces the other, and the order is that of the hashes.
            open.transactions.sort_by_key(|transaction| transaction.max_fee_per_gas);
            let rows = query(
                "SELECT order_id, gas_alone FROM settlement_slots WHERE chain_id = $1 AND signer = $2 AND nonce = $3
                 ORDER BY order_id",
            )
            .bind(chain_id(chain))
            .bind(open.slot.signer.to_vec())
            .bind(bound(open.slot.nonce))
            .fetch_all(reader.connection()?)?;
            open.orders = rows.iter().map(|row| row.number("order_id")).collect::<Result<_, _>>()?;
            open.gas_alone = rows.iter().map(|row| row.number("gas_alone")).collect::<Result<_, _>>()?;
        }
        Ok(slots)
    }

    /// The transactions of a chain that were mined and are not final, the lowest first, and whether their blocks are on the
    /// chain.
    pub async fn mined_slots(&self, chain: ChainId) -> Result<Vec<MinedSlot>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT t.signer, t.nonce, t.transaction_hash, t.block_number, t.block_hash,
                    EXISTS (SELECT 1 FROM blocks b
                            WHERE b.chain_id = t.chain_id AND b.hash = t.block_hash AND b.canonical) AS canonical
             FROM settlement_transactions t WHERE t.chain_id = $1 AND t.state = 'mined' ORDER BY t.block_number",
        )
        .bind(chain_id(chain))
        .fetch_all(reader.connection()?)?;
        let of = |row: &Row| {
            Ok(MinedSlot {
                slot: slot_of(row)?,
                hash: row.hash("transaction_hash")?,
                block_number: row.number("block_number")?,
                block_hash: row.hash("block_hash")?,
                canonical: row.flag("canonical")?,
            })
        };
        rows.iter().map(of).collect()
    }

    /// The highest nonce of an account that a transaction of any slot has.
    pub async fn last_slot_nonce(&self, chain: ChainId, signer: Address) -> Result<Option<u64>, StoreError> {
        let mut reader = self.reader().await?;
        let row = query(
            "SELECT MAX(nonce) AS nonce FROM settlement_transactions WHERE chain_id = $1 AND signer = $2",
        )
        .bind(chain_id(chain))
        .bind(signer.to_vec())
        .fetch_one(reader.connection()?)?;
        row.maybe_number("nonce")
    }

    /// All transactions that were signed for a settlement, by signer and nonce.
    pub async fn settlement_transactions(&self, number: u64) -> Result<Vec<SlotTransaction>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = query(
            "SELECT t.* FROM settlement_slots s
             JOIN settlement_transactions t ON t.chain_id = s.chain_id AND t.signer = s.signer AND t.nonce = s.nonce
             WHERE s.order_id = $1",
        )
        .bind(bound(number))
        .fetch_all(reader.connection()?)?;
        let mut transactions = rows.iter().map(transaction_of).collect::<Result<Vec<_>, _>>()?;
        transactions.sort_by_key(|transaction| (transaction.slot, transaction.max_fee_per_gas));
        Ok(transactions)
    }
}

fn slot_of(row: &Row) -> Result<Slot, StoreError> {
    Ok(Slot { signer: row.address("signer")?, nonce: row.number("nonce")? })
}

fn transaction_of(row: &Row) -> Result<SlotTransaction, StoreError> {
    Ok(SlotTransaction {
        slot: slot_of(row)?,
        hash: row.hash("transaction_hash")?,
        raw: row.bytes("raw")?,
        carries: row.flag("carries")?,
        gas_limit: row.number("gas_limit")?,
        max_fee_per_gas: row.number("max_fee_per_gas")?,
        tip: row.number("tip")?,
        state: SlotState::named(&row.text("state")?).ok_or(StoreError::Corrupt { column: "state" })?,
        block: row.maybe_number("block_number")?.zip(row.maybe_hash("block_hash")?),
    })
}
