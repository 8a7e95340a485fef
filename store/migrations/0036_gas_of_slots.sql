-- What each settlement cost in each of its slots, so that what left the chain and is mined again does not count twice. `gas_alone` is what
-- it was said to need in a transaction of its own, by which the gas of one that settles many is divided. `gas_day` is the day in whose
-- sums its gas is.
ALTER TABLE settlement_slots ADD COLUMN gas_alone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settlement_slots ADD COLUMN gas_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settlement_slots ADD COLUMN gas_used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settlement_slots ADD COLUMN fee BLOB NOT NULL DEFAULT x'0000000000000000000000000000000000000000000000000000000000000000';

-- Of before, the cost of all slots of a settlement is known as one sum. It is that of the slot in which it ended.
UPDATE settlement_slots SET gas_day = (SELECT o.gas_day FROM settlement_orders o WHERE o.id = settlement_slots.order_id);
UPDATE settlement_slots
SET gas_used = (SELECT o.gas_used FROM settlement_orders o WHERE o.id = settlement_slots.order_id),
    fee = (SELECT o.fee FROM settlement_orders o WHERE o.id = settlement_slots.order_id)
WHERE EXISTS (SELECT 1 FROM settlement_orders o
              JOIN settlement_transactions t ON t.transaction_hash = o.transaction_hash
              WHERE o.id = settlement_slots.order_id AND t.chain_id = settlement_slots.chain_id
                AND t.signer = settlement_slots.signer AND t.nonce = settlement_slots.nonce);
