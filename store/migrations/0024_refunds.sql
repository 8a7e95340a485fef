-- What payees gave back, one row an inclusion, as payments have. A refund belongs to the payments with the same reference,
-- payer, payee and asset. Only the payee's account can make one. Rows that left the chain stay: the refund may be mined again,
-- and nothing is granted meanwhile. Once its transaction is 'void' in refund_orders, a row that left the chain counts no more.
CREATE TABLE refunds (
    id               INTEGER NOT NULL PRIMARY KEY,
    chain_id         INTEGER NOT NULL,
    refund_id        BLOB    NOT NULL,
    contract         BLOB    NOT NULL,
    transaction_hash BLOB    NOT NULL,
    block_hash       BLOB    NOT NULL,
    block_number     INTEGER NOT NULL,
    block_timestamp  INTEGER NOT NULL,
    reference        BLOB    NOT NULL,
    payer            BLOB    NOT NULL,
    payee            BLOB    NOT NULL,
    asset            BLOB    NOT NULL,
    amount           BLOB    NOT NULL,
    canonical        INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX refunds_inclusion ON refunds (chain_id, refund_id, block_hash);
CREATE UNIQUE INDEX refunds_once ON refunds (chain_id, refund_id) WHERE canonical;
-- Anybody can name any reference, and nobody another's account: by all of them, only the payee's own refunds are read.
CREATE INDEX refunds_of ON refunds (chain_id, reference, payer, payee, asset);
CREATE INDEX refunds_by_height ON refunds (chain_id, block_number) WHERE canonical;
CREATE INDEX refunds_orphaned_by_height ON refunds (chain_id, block_number) WHERE NOT canonical;

-- Refunds that this server's operator sends: written before they are sent, so that none is sent twice, and nothing is
-- granted on a payment whose refund is on its way. `raw` is the signed transaction. `state` is 'open', 'mined' or 'void': one
-- that reverted, or whose nonce another transaction used for good. The payee's operator may write a refund of another machine
-- down as void: that row has no nonce (0) and no `raw`. `overtaken_at` is the head at which that was first seen.
CREATE TABLE refund_orders (
    chain_id         INTEGER NOT NULL REFERENCES chains (chain_id),
    transaction_hash BLOB    NOT NULL,
    contract         BLOB    NOT NULL,
    reference        BLOB    NOT NULL,
    payer            BLOB    NOT NULL,
    payee            BLOB    NOT NULL,
    asset            BLOB    NOT NULL,
    amount           BLOB    NOT NULL,
    nonce            INTEGER NOT NULL,
    raw              BLOB    NOT NULL,
    state            TEXT    NOT NULL,
    overtaken_at     INTEGER,
    made_at_ms       INTEGER NOT NULL,
    changed_at_ms    INTEGER NOT NULL,
    PRIMARY KEY (transaction_hash, chain_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX refund_orders_of ON refund_orders (chain_id, reference, payer, payee, asset);
CREATE UNIQUE INDEX refund_orders_open ON refund_orders (chain_id, reference, payer, payee, asset) WHERE state = 'open';
-- Which waiting transactions of an account are refunds of this database.
CREATE INDEX refund_orders_waiting ON refund_orders (chain_id, payee) WHERE state = 'open';
