-- Whether `payload` has the signature still. It is kept for as long as it may be needed to send it again.
ALTER TABLE settlement_orders ADD COLUMN is_signed INTEGER NOT NULL DEFAULT 1;
CREATE INDEX settlement_orders_signed ON settlement_orders (state, changed_at_ms) WHERE is_signed;
