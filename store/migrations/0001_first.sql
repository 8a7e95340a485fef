-- Hashes and addresses are BLOBs of 32 and 20 bytes, amounts BLOBs of 32 bytes, most significant first, so that they
-- sort as numbers. Times end in _ms (milliseconds since 1970 UTC) or are a block's own timestamp in seconds.
-- A flag is 0 or 1 and stands alone in a condition (WHERE canonical), which reads the same where booleans are a type.

-- Facts about this database itself, such as its identity.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a chain: which chain it really is, where the index stands, where its node stands, and running totals, so
-- that counting never reads the tables that grow.
CREATE TABLE chains (
    chain_id      INTEGER NOT NULL PRIMARY KEY,
    genesis_hash  BLOB    NOT NULL,
    cursor_number INTEGER,
    cursor_hash   BLOB,
    head_number   INTEGER,
    noted_at_ms   INTEGER,
    payments      INTEGER NOT NULL DEFAULT 0,
    claims        INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Headers. Canonical ones are kept in a window below the cursor, orphaned ones for ever: they are evidence.
CREATE TABLE blocks (
    chain_id    INTEGER NOT NULL,
    hash        BLOB    NOT NULL,
    number      INTEGER NOT NULL,
    parent_hash BLOB    NOT NULL,
    timestamp   INTEGER NOT NULL,
    canonical   INTEGER NOT NULL,
    PRIMARY KEY (chain_id, hash)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX blocks_one_canonical ON blocks (chain_id, number) WHERE canonical;

-- One row an inclusion: a payment whose transaction moved to another block has a row for each block it was in.
--
-- Hashes are random, so every index that begins with one costs a page of the log for each row of a large back-fill.
-- Therefore rows lie in the order of their arrival, and there is one such index: it finds the payments of a
-- transaction, and it is the rule that a payment is on the chain once. The rows that left the chain have the same two
-- indexes again; they are few.
CREATE TABLE payments (
    id               INTEGER NOT NULL PRIMARY KEY,
    chain_id         INTEGER NOT NULL,
    transaction_hash BLOB    NOT NULL,
    payment_id       BLOB    NOT NULL,
    block_hash       BLOB    NOT NULL,
    block_number     INTEGER NOT NULL,
    block_timestamp  INTEGER NOT NULL,
    position         INTEGER NOT NULL,
    contract         BLOB    NOT NULL,
    reference        BLOB    NOT NULL,
    payer            BLOB    NOT NULL,
    payee            BLOB    NOT NULL,
    asset            BLOB    NOT NULL,
    amount           BLOB    NOT NULL,
    canonical        INTEGER NOT NULL,
    seen_at_ms       INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX payments_on_chain ON payments (chain_id, transaction_hash, payment_id) WHERE canonical;
CREATE INDEX payments_on_chain_by_height ON payments (chain_id, block_number) WHERE canonical;
CREATE UNIQUE INDEX payments_orphaned ON payments (chain_id, transaction_hash, payment_id, block_hash)
    WHERE NOT canonical;
CREATE INDEX payments_orphaned_by_height ON payments (chain_id, block_number) WHERE NOT canonical;

-- What was granted. The key is what makes a second grant impossible.
CREATE TABLE claims (
    payment_id       BLOB    NOT NULL PRIMARY KEY,
    chain_id         INTEGER NOT NULL REFERENCES chains (chain_id),
    transaction_hash BLOB    NOT NULL,
    request_digest   BLOB    NOT NULL,
    reference        BLOB    NOT NULL,
    claimant         TEXT    NOT NULL,
    claimed_at_ms    INTEGER NOT NULL,
    block_number     INTEGER NOT NULL,
    block_hash       BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- What was answered, for the payer whose connection broke. An evicted answer leaves its row: that it was given is
-- still known. No reference to claims: a gateway may keep outcomes in a database of its own.
CREATE TABLE outcomes (
    payment_id   BLOB    NOT NULL PRIMARY KEY,
    status       INTEGER NOT NULL,
    headers      TEXT    NOT NULL,
    body         BLOB    NOT NULL,
    size         INTEGER NOT NULL,
    stored_at_ms INTEGER NOT NULL,
    evicted      INTEGER NOT NULL
) STRICT;

-- Eviction goes by age and adds up sizes; neither touches a body.
CREATE INDEX outcomes_kept ON outcomes (stored_at_ms, payment_id, size) WHERE NOT evicted;

-- What an operator must know of: a grant whose payment left the chain.
CREATE TABLE incidents (
    id               INTEGER NOT NULL PRIMARY KEY,
    chain_id         INTEGER NOT NULL REFERENCES chains (chain_id),
    kind             TEXT    NOT NULL,
    payment_id       BLOB    NOT NULL,
    transaction_hash BLOB    NOT NULL,
    opened_at_ms     INTEGER NOT NULL,
    resolved_at_ms   INTEGER,
    detail           TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX incidents_open ON incidents (chain_id, payment_id, kind) WHERE resolved_at_ms IS NULL;
