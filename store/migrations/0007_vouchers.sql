-- The last voucher of each channel, what the work so far has cost of it, and every grant on one. A channel's ceiling only
-- grows, and `spent` is the sum of the prices of its grants and never above it. Amounts are 32 bytes, most significant
-- first. `channel` is the channel's identifier in `contract`, `signature` r, s and v of the voucher.
CREATE TABLE vouchers (
    chain_id      INTEGER NOT NULL REFERENCES chains (chain_id),
    contract      BLOB    NOT NULL,
    channel       BLOB    NOT NULL,
    ceiling       BLOB    NOT NULL,
    signature     BLOB    NOT NULL,
    spent         BLOB    NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    PRIMARY KEY (chain_id, contract, channel),
    CHECK (spent <= ceiling)
) STRICT, WITHOUT ROWID;

-- What each grant cost. The grant itself is a claim under the same payment_id.
CREATE TABLE voucher_grants (
    payment_id BLOB    NOT NULL PRIMARY KEY REFERENCES claims (payment_id),
    chain_id   INTEGER NOT NULL,
    contract   BLOB    NOT NULL,
    channel    BLOB    NOT NULL,
    ceiling    BLOB    NOT NULL,
    price      BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
