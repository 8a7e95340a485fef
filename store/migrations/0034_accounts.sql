-- Prepaid balances that API keys draw. What is free of an account is credited - returned - spent - reserved, in base units. Of a key only
-- its SHA-256 is kept. `day` is a day since 1970 UTC, and `day_used` what was used on it, with what is reserved. `models` and `paths` have
-- one a line; an empty text is all of them. `state` is 'active' or 'revoked'.
CREATE TABLE accounts (
    account_id          BLOB    NOT NULL PRIMARY KEY,
    key_hash            BLOB    NOT NULL UNIQUE,
    claimant            TEXT    NOT NULL,
    chain_id            INTEGER NOT NULL,
    asset               BLOB    NOT NULL,
    payer               BLOB    NOT NULL,
    plan                TEXT    NOT NULL,
    label               TEXT    NOT NULL DEFAULT '',
    state               TEXT    NOT NULL DEFAULT 'active',
    credited            BLOB    NOT NULL DEFAULT (zeroblob(32)),
    returned            BLOB    NOT NULL DEFAULT (zeroblob(32)),
    spent               BLOB    NOT NULL DEFAULT (zeroblob(32)),
    reserved            BLOB    NOT NULL DEFAULT (zeroblob(32)),
    day                 INTEGER NOT NULL DEFAULT 0,
    day_used            BLOB    NOT NULL DEFAULT (zeroblob(32)),
    requests_per_minute INTEGER,
    amount_per_day      BLOB,
    models              TEXT    NOT NULL DEFAULT '',
    paths               TEXT    NOT NULL DEFAULT '',
    ends_at_ms          INTEGER,
    made_at_ms          INTEGER NOT NULL,
    CHECK (length(account_id) = 16 AND length(key_hash) = 32),
    CHECK (length(credited) = 32 AND length(returned) = 32 AND length(spent) = 32 AND length(reserved) = 32)
) STRICT;

-- What happened to an account. `kind` is 'draw', 'payment', 'bonus', 'granted', 'returned', 'created', 'limits' or 'revoked'. `name` is the
-- id of a draw or of a payment. A draw has its ceiling, and its amount once it was charged. `settled` is why an operator blocks an
-- account no more for a payment that was lost or given back.
CREATE TABLE account_entries (
    id             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    account_id     BLOB    NOT NULL REFERENCES accounts (account_id),
    kind           TEXT    NOT NULL,
    name           BLOB,
    ceiling        BLOB,
    amount         BLOB,
    request_digest BLOB,
    models         TEXT    NOT NULL DEFAULT '',
    day            INTEGER NOT NULL DEFAULT 0,
    note           TEXT    NOT NULL DEFAULT '',
    settled        TEXT,
    at_ms          INTEGER NOT NULL,
    CHECK ((kind = 'draw') = (ceiling IS NOT NULL)),
    CHECK (amount IS NOT NULL OR kind = 'draw'),
    CHECK (ceiling IS NULL OR amount IS NULL OR amount <= ceiling)
) STRICT;

CREATE INDEX account_entries_of ON account_entries (account_id, id);
CREATE UNIQUE INDEX account_entries_draws ON account_entries (name) WHERE kind = 'draw';
CREATE UNIQUE INDEX account_entries_payments ON account_entries (name) WHERE kind = 'payment';
-- The payments that bought a balance, of which few are not settled.
CREATE INDEX account_entries_bought ON account_entries (account_id) WHERE kind = 'payment' AND settled IS NULL;
-- What is reserved and was not charged yet.
CREATE INDEX account_entries_open ON account_entries (at_ms) WHERE kind = 'draw' AND amount IS NULL;
