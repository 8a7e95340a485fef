-- Signed payments (x402) that were shown for a request and are settled for it, one row for each: written before anything is
-- settled, so that what is signed for one request pays for no other. `payload` is what a facilitator is asked with. `state` is
-- 'kept', 'settled' (a facilitator has said so, and to nobody else) or 'released' (no money moved). `amount` is what was asked,
-- in base units of `token`.
CREATE TABLE reservations (
    payment_id     BLOB    NOT NULL PRIMARY KEY,
    chain_id       INTEGER NOT NULL,
    claimant       TEXT    NOT NULL,
    request_digest BLOB    NOT NULL,
    payer          BLOB    NOT NULL,
    token          BLOB    NOT NULL,
    amount         BLOB    NOT NULL,
    payload        BLOB    NOT NULL,
    state          TEXT    NOT NULL,
    reserved_at_ms INTEGER NOT NULL
) STRICT;

-- What a payer signed for the same request before.
CREATE INDEX reservations_of_request ON reservations (request_digest, payer, claimant, reserved_at_ms) WHERE state <> 'released';
CREATE INDEX reservations_by_age ON reservations (reserved_at_ms);
