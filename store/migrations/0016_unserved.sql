-- Payments that were claimed and whose requests are not answered: how often they were tried, and whether they will be tried
-- again. A row is gone with the outcome. No reference to chains or claims: a gateway may keep these in a database of its own.
CREATE TABLE unserved (
    payment_id       BLOB    NOT NULL PRIMARY KEY,
    chain_id         INTEGER NOT NULL,
    transaction_hash BLOB    NOT NULL,
    payer            BLOB    NOT NULL,
    asset            BLOB    NOT NULL,
    amount           BLOB    NOT NULL,
    sold             TEXT    NOT NULL,
    runs             INTEGER NOT NULL,
    failures         INTEGER NOT NULL,
    not_before_ms    INTEGER NOT NULL,
    ended            INTEGER NOT NULL,
    detail           TEXT    NOT NULL,
    since_ms         INTEGER NOT NULL,
    changed_at_ms    INTEGER NOT NULL,
    settled          TEXT
) STRICT;

CREATE INDEX unserved_by_change ON unserved (changed_at_ms);
