-- Streams that are paid as they go. `most` is what a grant may cost at the most where its price is what its vouchers allow so far. NULL:
-- its voucher has paid for all of it.
ALTER TABLE voucher_grants ADD COLUMN most BLOB;

-- Vouchers that raised what a grant may cost. `payment_id` is the name that such a voucher has as a payment, `raises` is the grant, and
-- `price` what the grant may cost since then, in base units.
CREATE TABLE voucher_raises (
    payment_id   BLOB    NOT NULL PRIMARY KEY,
    raises       BLOB    NOT NULL,
    ceiling      BLOB    NOT NULL,
    price        BLOB    NOT NULL,
    raised_at_ms INTEGER NOT NULL,
    CHECK (length(ceiling) = 32 AND length(price) = 32)
) STRICT;

-- What was given of streams that are under way and paid as they go, and what that costs, in base units: written before it is given. Gone
-- once the answer is in `outcomes`. `headers` are the answer's. `size` is how long all pieces are together. Those of an answer that is
-- too long to be kept are not there.
CREATE TABLE deliveries (
    payment_id BLOB    NOT NULL PRIMARY KEY,
    headers    TEXT    NOT NULL,
    amount     BLOB    NOT NULL,
    size       INTEGER NOT NULL,
    is_kept    INTEGER NOT NULL,
    CHECK (length(amount) = 32)
) STRICT;

-- `place` is where the piece begins.
CREATE TABLE delivery_pieces (
    payment_id BLOB    NOT NULL,
    place      INTEGER NOT NULL,
    bytes      BLOB    NOT NULL,
    PRIMARY KEY (payment_id, place)
) STRICT, WITHOUT ROWID;

-- What runs have used that nobody got an answer of, because their payer left, in base units. It is charged with what the answer costs, or
-- alone if there is none.
ALTER TABLE charges ADD COLUMN sunk BLOB NOT NULL DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';
