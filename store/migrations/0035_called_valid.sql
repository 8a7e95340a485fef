-- Signed payments that a facilitator called valid: a server may do its work for one by now. So whoever uses it up on the chain after
-- that, and pays the payee by it, has paid for that work, also where the process was started again meanwhile. `signed` is a digest of
-- what was signed, and `caller` who was told. The oldest are deleted where there are too many.
CREATE TABLE called_valid (
    id               INTEGER NOT NULL PRIMARY KEY,
    chain_id         INTEGER NOT NULL,
    payment_id       BLOB    NOT NULL,
    signed           BLOB    NOT NULL,
    caller           TEXT
) STRICT;

CREATE UNIQUE INDEX called_valid_once ON called_valid (payment_id, chain_id);
