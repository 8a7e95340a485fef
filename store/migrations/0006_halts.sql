-- When a chain could not be followed further before the operator acted. While a row is open (resolved_at_ms IS NULL)
-- nothing is granted on the chain and nothing is added to it, whichever process asks. Rows stay: they are the record of
-- what the operator decided.
CREATE TABLE halts (
    id             INTEGER NOT NULL PRIMARY KEY,
    chain_id       INTEGER NOT NULL REFERENCES chains (chain_id),
    kind           TEXT    NOT NULL,
    -- Blocks that would leave the chain, at least.
    depth          INTEGER NOT NULL,
    halted_at_ms   INTEGER NOT NULL,
    -- The fork that the operator accepted: what stays, and the hash of the node's block right above that.
    accepted_at_ms INTEGER,
    keep_through   INTEGER,
    accepted_hash  BLOB,
    resolved_at_ms INTEGER
) STRICT;

CREATE UNIQUE INDEX halts_open ON halts (chain_id) WHERE resolved_at_ms IS NULL;

-- When this database was put back from a backup. A claim made after the backup was taken is not in it, so a payment
-- without a claim that was mined before refuse_before (a block's time, in seconds) may have been used, and is not
-- granted on.
CREATE TABLE restores (
    id             INTEGER NOT NULL PRIMARY KEY,
    taken_at_ms    INTEGER NOT NULL,
    restored_at_ms INTEGER NOT NULL,
    refuse_before  INTEGER NOT NULL
) STRICT;
