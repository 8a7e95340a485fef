-- Which contracts are followed, and which heights were read for each.
--
-- What the head reads is read for every contract that is followed, so a contract's row says only since when: it is
-- read from live_from up to the chain's cursor. What was read otherwise (the past of a contract that was added later,
-- and what a contract had before it was left out for a while) stands in covered, as stretches that do not touch.
-- A contract is known with a digest of the question that is asked about it: when more of its events count, they were
-- not asked for before.
CREATE TABLE sources (
    chain_id    INTEGER NOT NULL REFERENCES chains (chain_id),
    contract    BLOB    NOT NULL,
    question    BLOB    NOT NULL,
    start_block INTEGER NOT NULL,
    live_from   INTEGER NOT NULL,
    PRIMARY KEY (chain_id, contract, question)
) STRICT, WITHOUT ROWID;

CREATE TABLE covered (
    chain_id   INTEGER NOT NULL REFERENCES chains (chain_id),
    contract   BLOB    NOT NULL,
    question   BLOB    NOT NULL,
    from_block INTEGER NOT NULL,
    to_block   INTEGER NOT NULL,
    PRIMARY KEY (chain_id, contract, question, from_block)
) STRICT, WITHOUT ROWID;

-- Where the chain's header chain begins: the first block that was ever indexed. Nothing below it can be compared with
-- a header. Filled by the first start that follows the chain.
ALTER TABLE chains ADD COLUMN first_block INTEGER;

-- Logs of followed contracts that do not decode, as they came. The newest are kept, and all are counted.
ALTER TABLE chains ADD COLUMN undecoded INTEGER NOT NULL DEFAULT 0;

CREATE TABLE undecoded_logs (
    id               INTEGER NOT NULL PRIMARY KEY,
    chain_id         INTEGER NOT NULL REFERENCES chains (chain_id),
    transaction_hash BLOB    NOT NULL,
    block_hash       BLOB    NOT NULL,
    block_number     INTEGER NOT NULL,
    place            INTEGER NOT NULL,
    contract         BLOB    NOT NULL,
    topics           BLOB    NOT NULL,
    data             BLOB    NOT NULL,
    data_bytes       INTEGER NOT NULL,
    seen_at_ms       INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX undecoded_logs_once ON undecoded_logs (chain_id, transaction_hash, block_hash, place);
