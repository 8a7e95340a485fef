-- How many requests a payment may pay for; the others beside the first are in the table uses.
ALTER TABLE claims ADD COLUMN uses INTEGER NOT NULL DEFAULT 1;

-- Whose payment was lost, so that a claim finds out by one look whether its payer has an open incident; and what an
-- operator wrote who settled an incident although the payment did not come back.
ALTER TABLE incidents ADD COLUMN payer BLOB;
ALTER TABLE incidents ADD COLUMN settled TEXT;

UPDATE incidents SET payer = (SELECT p.payer FROM payments p
                              WHERE p.chain_id = incidents.chain_id
                                AND p.transaction_hash = incidents.transaction_hash
                                AND p.payment_id = incidents.payment_id AND p.canonical
                              UNION ALL
                              SELECT p.payer FROM payments p
                              WHERE p.chain_id = incidents.chain_id
                                AND p.transaction_hash = incidents.transaction_hash
                                AND p.payment_id = incidents.payment_id AND NOT p.canonical
                              LIMIT 1);

CREATE INDEX incidents_open_by_payer ON incidents (chain_id, payer) WHERE resolved_at_ms IS NULL;
CREATE INDEX incidents_settled ON incidents (chain_id, payment_id) WHERE settled IS NOT NULL;

-- The requests that a payment for several requests was used for. The key makes one request one use.
CREATE TABLE uses (
    payment_id     BLOB    NOT NULL,
    request_digest BLOB    NOT NULL,
    used_at_ms     INTEGER NOT NULL,
    PRIMARY KEY (payment_id, request_digest)
) STRICT, WITHOUT ROWID;

-- Grants on payments that were not final when they were granted, where the sum by payer is limited. Final ones are
-- swept out from time to time, and do not count before that either. No block: the payment is in none of the chain's.
CREATE TABLE exposures (
    chain_id         INTEGER NOT NULL,
    payer            BLOB    NOT NULL,
    asset            BLOB    NOT NULL,
    payment_id       BLOB    NOT NULL,
    transaction_hash BLOB    NOT NULL,
    amount           BLOB    NOT NULL,
    block_number     INTEGER,
    PRIMARY KEY (chain_id, payer, asset, payment_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX exposures_lost ON exposures (chain_id) WHERE block_number IS NULL;
