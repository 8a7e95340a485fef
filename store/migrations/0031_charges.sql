-- Requests that are charged by what was used, one row for each, written before the request is run. `ceiling` is the most that the
-- payer authorized, `amount` what was charged of it, in base units: NULL until it is known, then written once, with the answer.
-- `question` is what a facilitator settles (x402, scheme upto); NULL for a voucher. `state` is 'running', 'charged' (the amount is
-- known, and must still be moved or counted), 'unpaid' (it could not be moved: it is tried again) or 'settled'. `due_ms` is when
-- the next step is to be taken; NULL where none is.
CREATE TABLE charges (
    payment_id     BLOB    NOT NULL PRIMARY KEY,
    chain_id       INTEGER NOT NULL,
    payer          BLOB    NOT NULL,
    request_digest BLOB    NOT NULL,
    ceiling        BLOB    NOT NULL,
    amount         BLOB,
    question       BLOB,
    state          TEXT    NOT NULL,
    began_at_ms    INTEGER NOT NULL,
    ends_at_ms     INTEGER NOT NULL,
    due_ms         INTEGER,
    tries          INTEGER NOT NULL DEFAULT 0,
    detail         TEXT    NOT NULL DEFAULT '',
    CHECK (length(ceiling) = 32 AND (amount IS NULL OR (length(amount) = 32 AND amount <= ceiling))),
    CHECK ((amount IS NULL) = (state = 'running'))
) STRICT;

-- What is to be done, in its order.
CREATE INDEX charges_due ON charges (due_ms) WHERE due_ms IS NOT NULL;
-- What a payer has not paid yet.
CREATE INDEX charges_open ON charges (chain_id, payer) WHERE due_ms IS NOT NULL;

-- What was charged of a signed payment whose amount is a ceiling. Written once, before it is settled.
ALTER TABLE reservations ADD COLUMN captured BLOB;

-- A grant on a voucher whose price is a ceiling, and what was charged of it: NULL until that is known. Until then the price is in
-- the account's `reserved` and not in `spent`, so that nothing is claimed on the chain that was not charged.
ALTER TABLE voucher_grants ADD COLUMN by_use INTEGER NOT NULL DEFAULT 0;
ALTER TABLE voucher_grants ADD COLUMN captured BLOB;
ALTER TABLE vouchers ADD COLUMN reserved BLOB NOT NULL DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';
