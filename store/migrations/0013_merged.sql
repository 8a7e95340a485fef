-- Transactions that are in no block of the selected chain themselves: their rows stand in the block that merged theirs,
-- where their receipts placed them. When such a transaction is found in a block of the selected chain, its rows move there.
CREATE TABLE merged_transactions (
    chain_id         INTEGER NOT NULL,
    transaction_hash BLOB    NOT NULL,
    block_hash       BLOB    NOT NULL,
    block_number     INTEGER NOT NULL,
    PRIMARY KEY (chain_id, transaction_hash, block_hash)
) STRICT, WITHOUT ROWID;
