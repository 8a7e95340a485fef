-- The field's words. Nothing but names changes; indices, triggers and what is stored follow.

-- The height at which the node's chain, which is lower than the index, leaves it.
ALTER TABLE chains RENAME COLUMN doubted_above TO lower_fork_at;

-- Which of several in a transaction or a block, as in payments.
ALTER TABLE undecoded_logs RENAME COLUMN place TO position;
ALTER TABLE unreadable_transactions RENAME COLUMN place TO position;

-- An index has no other way to a new name. It is small: grants that are not final, whose payment is in no block.
DROP INDEX exposures_lost;
CREATE INDEX exposures_orphaned ON exposures (chain_id, payment_id) WHERE block_number IS NULL;
