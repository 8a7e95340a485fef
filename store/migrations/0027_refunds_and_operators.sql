-- In which block a refund that was ordered here was last known to be, so that one whose block leaves the chain is noticed.
ALTER TABLE refund_orders ADD COLUMN mined_in INTEGER;
-- Whether it gives back to the payer of a channel: `contract` is a SaltChannels then, and `reference` the channel.
ALTER TABLE refund_orders ADD COLUMN of_channel INTEGER NOT NULL DEFAULT FALSE;
UPDATE refund_orders SET mined_in =
    (SELECT MAX(r.block_number) FROM refunds r
     WHERE r.chain_id = refund_orders.chain_id AND r.reference = refund_orders.reference AND r.payer = refund_orders.payer
       AND r.payee = refund_orders.payee AND r.asset = refund_orders.asset
       AND r.transaction_hash = refund_orders.transaction_hash);
CREATE INDEX refund_orders_mined ON refund_orders (chain_id, mined_in) WHERE state = 'mined';

-- Refunds that left the chain, and operators that the configuration does not name, are incidents.
CREATE INDEX incidents_refund_lost ON incidents (chain_id) WHERE kind = 'refund_lost' AND resolved_at_ms IS NULL;
CREATE INDEX incidents_operator_set ON incidents (chain_id, payment_id) WHERE kind = 'operator_set';

CREATE INDEX channel_events_operators ON channel_events (chain_id, payee) WHERE canonical AND kind = 16;

-- Whose operators are looked at, and which accounts the configuration names: written by whoever starts to follow the chain.
CREATE TABLE watched_payees (
    chain_id INTEGER NOT NULL,
    payee    BLOB    NOT NULL,
    PRIMARY KEY (chain_id, payee)
) STRICT, WITHOUT ROWID;

CREATE TABLE known_operators (
    chain_id INTEGER NOT NULL,
    operator BLOB    NOT NULL,
    PRIMARY KEY (chain_id, operator)
) STRICT, WITHOUT ROWID;
