-- Channels that the payee is about to close. No voucher of them is taken: what was accepted after the closing transaction was
-- made would not be in it.
CREATE TABLE channel_closings (
    chain_id      INTEGER NOT NULL,
    contract      BLOB    NOT NULL,
    channel       BLOB    NOT NULL,
    since_ms      INTEGER NOT NULL,
    PRIMARY KEY (chain_id, contract, channel)
) STRICT, WITHOUT ROWID;
