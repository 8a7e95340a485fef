-- A page of settlements of one state is read by this, and not by going through all that were ever claimed.
CREATE INDEX settlement_orders_in_state ON settlement_orders (state, chain_id);
-- It finds what waits as well.
DROP INDEX settlement_orders_queued;

-- What was signed is kept until a block of its slot is final. From then on `raw` is empty.
UPDATE settlement_transactions SET raw = X''
WHERE state = 'final'
   OR (state = 'dropped' AND EXISTS (SELECT 1 FROM settlement_transactions f
                                     WHERE f.chain_id = settlement_transactions.chain_id
                                       AND f.signer = settlement_transactions.signer
                                       AND f.nonce = settlement_transactions.nonce AND f.state = 'final'));
