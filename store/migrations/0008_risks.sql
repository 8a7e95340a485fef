-- What an incident of the kind voucher_at_risk is about: a channel whose accepted vouchers are not claimed while its money
-- can leave it. `spent` and `claimed` are amounts as they were when it was last looked at, `reason` is a word of
-- src/risk.rs, `exit_at` a time in seconds; `payer` and `asset` are NULL where nothing of the channel is known any more.
CREATE TABLE channel_risks (
    incident_id INTEGER NOT NULL PRIMARY KEY REFERENCES incidents (id),
    chain_id    INTEGER NOT NULL,
    contract    BLOB    NOT NULL,
    channel     BLOB    NOT NULL,
    payer       BLOB,
    asset       BLOB,
    spent       BLOB    NOT NULL,
    claimed     BLOB    NOT NULL,
    reason      TEXT    NOT NULL,
    exit_at     INTEGER
) STRICT;

CREATE INDEX channel_risks_of ON channel_risks (chain_id, contract, channel);

-- Channels that the next step of their chain looks at although nothing happens to them in it: vouchers of theirs were
-- accepted before anybody looked.
CREATE TABLE channels_unchecked (
    chain_id INTEGER NOT NULL,
    contract BLOB    NOT NULL,
    channel  BLOB    NOT NULL,
    PRIMARY KEY (chain_id, contract, channel)
) STRICT, WITHOUT ROWID;

INSERT INTO channels_unchecked (chain_id, contract, channel) SELECT chain_id, contract, channel FROM vouchers;
