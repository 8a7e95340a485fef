-- Transactions whose receipts could not be read, mostly because they are too long: what they paid is not known. A row leaves
-- the chain with its block, comes back with it, and is gone once its transaction was read. `bytes` is how long the answer
-- is at least, `bound` what was taken then: NULL where the node itself did not give it.
CREATE TABLE unreadable_transactions (
    id               INTEGER NOT NULL PRIMARY KEY,
    chain_id         INTEGER NOT NULL REFERENCES chains (chain_id),
    transaction_hash BLOB    NOT NULL,
    block_hash       BLOB    NOT NULL,
    block_number     INTEGER NOT NULL,
    block_timestamp  INTEGER NOT NULL,
    place            INTEGER,
    bytes            INTEGER NOT NULL,
    bound            INTEGER,
    reason           TEXT    NOT NULL,
    canonical        INTEGER NOT NULL,
    seen_at_ms       INTEGER NOT NULL,
    tried_at_ms      INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX unreadable_once ON unreadable_transactions (chain_id, transaction_hash, block_hash);
CREATE INDEX unreadable_by_height ON unreadable_transactions (chain_id, block_number);
CREATE INDEX unreadable_by_time ON unreadable_transactions (chain_id, block_timestamp) WHERE canonical;
CREATE INDEX unreadable_by_bound ON unreadable_transactions (chain_id, bound) WHERE canonical;
CREATE INDEX unreadable_by_trial ON unreadable_transactions (chain_id, tried_at_ms) WHERE canonical;

-- How many of them are on the chain: kept with every step.
ALTER TABLE chains ADD COLUMN unreadable INTEGER NOT NULL DEFAULT 0;

-- All of a chain are one incident, found by its chain.
CREATE INDEX incidents_unreadable ON incidents (chain_id)
    WHERE kind = 'unreadable_transaction' AND resolved_at_ms IS NULL;
