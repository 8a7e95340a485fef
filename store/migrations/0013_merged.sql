-- Transactions that are in no block of the selected chain themselves: their rows stand in the block that merged theirs,
-- where their receipts placed them. When such a transaction is found in a block of the selected chain, its rows move there.
CREATE TABLE merged_transactions (
    chain_id         INTEGER NOT NULL,
    transaction_hash BLOB    NOT NULL,
    block_hash       BLOB    NOT NULL,
    block_number     INTEGER NOT NULL,
    PRIMARY KEY (chain_id, transaction_hash, block_hash)
) STRICT, WITHOUT ROWID;

-- Those that were placed before this table was: their payments have their own block's time, which is not that of the block in
-- which they stand. Of blocks whose headers are gone that cannot be told any more.
INSERT INTO merged_transactions (chain_id, transaction_hash, block_hash, block_number)
SELECT DISTINCT p.chain_id, p.transaction_hash, p.block_hash, p.block_number
FROM blocks b CROSS JOIN payments p
WHERE p.chain_id = b.chain_id AND p.block_number = b.number AND p.canonical AND p.block_hash = b.hash
  AND p.block_timestamp <> b.timestamp;
