-- Signed payments that this facilitator settles, one row for each: written before anything is sent, so that none is sent twice
-- and no result is lost. `payload` is what the call is built from again. `sender` is the only account that may send it, if it
-- names one. `charge` is what is moved, below `amount` only under `upto`. `since_block` is where the index stood: no settlement
-- of it that somebody else makes afterwards is below. `state` is 'queued' (no transaction that may still be mined has it),
-- 'sent', 'settled' or 'failed'. A failed one with `again` was never in a transaction that was mined and can be claimed again. `settled_once` is true from
-- the first time on that it was settled: to fail after that is an incident.
-- `told_at_ms` is when a caller was first told that it was settled, and `told_key` the digest of the key by which that caller can
-- ask again: nobody else is told it once more.
-- `transaction_hash` and `block_number` say where it was settled, or failed. `settlement_gas` holds `gas_used` of it on the day
-- `gas_day`, and `gas_cap` besides while it is open; `fee` is its share of what its transactions cost, in base units of the
-- native coin.
CREATE TABLE settlement_orders (
    id               INTEGER NOT NULL PRIMARY KEY,
    chain_id         INTEGER NOT NULL,
    payment_id       BLOB    NOT NULL,
    token            BLOB    NOT NULL,
    payer            BLOB    NOT NULL,
    payee            BLOB    NOT NULL,
    amount           BLOB    NOT NULL,
    charge           BLOB    NOT NULL,
    method           TEXT    NOT NULL,
    payload          BLOB    NOT NULL,
    sender           BLOB,
    caller           TEXT,
    since_block      INTEGER NOT NULL,
    state            TEXT    NOT NULL,
    reason           TEXT,
    detail           TEXT,
    again            INTEGER NOT NULL,
    settled_once     INTEGER NOT NULL DEFAULT 0,
    transaction_hash BLOB,
    block_number     INTEGER,
    gas_day          INTEGER NOT NULL,
    gas_cap          INTEGER NOT NULL,
    gas_used         INTEGER NOT NULL,
    fee              BLOB    NOT NULL,
    told_at_ms       INTEGER,
    told_key         BLOB,
    made_at_ms       INTEGER NOT NULL,
    changed_at_ms    INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX settlement_orders_once ON settlement_orders (payment_id, chain_id);
CREATE INDEX settlement_orders_queued ON settlement_orders (chain_id, id) WHERE state = 'queued';
-- What a payer has promised and not moved yet.
CREATE INDEX settlement_orders_promised ON settlement_orders (chain_id, payer, token) WHERE state IN ('queued', 'sent');
-- What a transaction settled. One that does not say whose its transfer is settles one.
CREATE INDEX settlement_orders_in ON settlement_orders (transaction_hash) WHERE transaction_hash IS NOT NULL;

-- Every transaction that was signed, before it was sent. Those with one signer and nonce are one slot: at most one of them is
-- mined. `carries` says whether it settles the slot's orders; one that does not only uses the nonce up. `state` is 'open',
-- 'mined', 'final', 'dropped' (another of its slot was mined) or 'void' (another's transaction has its nonce for good). A
-- settlement by somebody else is a row too, so that a reorganization is noticed: its signer is the zero address, its nonce the
-- order's number, and it has no `raw`.
CREATE TABLE settlement_transactions (
    chain_id         INTEGER NOT NULL,
    signer           BLOB    NOT NULL,
    nonce            INTEGER NOT NULL,
    transaction_hash BLOB    NOT NULL,
    raw              BLOB    NOT NULL,
    carries          INTEGER NOT NULL,
    gas_limit        INTEGER NOT NULL,
    max_fee_per_gas  INTEGER NOT NULL,
    tip              INTEGER NOT NULL,
    state            TEXT    NOT NULL,
    block_number     INTEGER,
    block_hash       BLOB,
    made_at_ms       INTEGER NOT NULL,
    changed_at_ms    INTEGER NOT NULL,
    PRIMARY KEY (chain_id, signer, nonce, transaction_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX settlement_transactions_open ON settlement_transactions (chain_id, signer, nonce) WHERE state = 'open';
CREATE INDEX settlement_transactions_mined ON settlement_transactions (chain_id, block_number) WHERE state = 'mined';

-- Which orders the transactions of a slot settle.
CREATE TABLE settlement_slots (
    chain_id         INTEGER NOT NULL,
    signer           BLOB    NOT NULL,
    nonce            INTEGER NOT NULL,
    order_id         INTEGER NOT NULL,
    PRIMARY KEY (chain_id, signer, nonce, order_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX settlement_slots_of ON settlement_slots (order_id);

-- Gas of each day since 1970 UTC: of orders that are open, what they may use; of others, what they used. `kind` is 'all',
-- 'payer', 'token' or 'caller', and `name` which one.
CREATE TABLE settlement_gas (
    chain_id         INTEGER NOT NULL,
    day              INTEGER NOT NULL,
    kind             TEXT    NOT NULL,
    name             BLOB    NOT NULL,
    gas              INTEGER NOT NULL,
    PRIMARY KEY (chain_id, day, kind, name)
) STRICT, WITHOUT ROWID;

-- What was tried with each signed payment, and what came of it. Old rows are deleted.
CREATE TABLE settlement_attempts (
    id               INTEGER NOT NULL PRIMARY KEY,
    chain_id         INTEGER NOT NULL,
    payment_id       BLOB    NOT NULL,
    caller           TEXT,
    outcome          TEXT    NOT NULL,
    reason           TEXT,
    detail           TEXT,
    transaction_hash BLOB,
    at_ms            INTEGER NOT NULL
) STRICT;

CREATE INDEX settlement_attempts_of ON settlement_attempts (payment_id, chain_id);
CREATE INDEX settlement_attempts_by_age ON settlement_attempts (at_ms);
