-- What was accepted by vouchers and not claimed, added up by asset: kept in the transactions that change it, so that nobody
-- adds up every account to tell it. `unclaimed` and `at_risk` are amounts and wrap as the additions do; `channels` and
-- `channels_at_risk` count what was added up.
CREATE TABLE voucher_totals (
    chain_id         INTEGER NOT NULL,
    asset            BLOB    NOT NULL,
    unclaimed        BLOB    NOT NULL,
    channels         INTEGER NOT NULL,
    at_risk          BLOB    NOT NULL,
    channels_at_risk INTEGER NOT NULL,
    PRIMARY KEY (chain_id, asset)
) STRICT, WITHOUT ROWID;

-- What of an account is in the totals: the asset and what is not claimed; NULL where nothing is, as of a channel that is
-- closed or not on the chain. Databases of before are added up once, by src/totals.rs.
ALTER TABLE vouchers ADD COLUMN counted_asset BLOB;
ALTER TABLE vouchers ADD COLUMN counted BLOB;

-- Grants whose payment is in no block are found by it, however many there are.
DROP INDEX exposures_lost;
CREATE INDEX exposures_lost ON exposures (chain_id, payment_id) WHERE block_number IS NULL;

-- What is to be told stands in the order in which it is told, however much was told before.
CREATE INDEX notices_due ON notices (id) WHERE delivered_at_ms IS NULL;
