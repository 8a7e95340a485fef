-- Blocks that make a payment of the chain final for whoever limits what a payer is granted before; 0 while nobody does.
-- By it a reorganization knows which grants count against a limit again.
ALTER TABLE chains ADD COLUMN final_at INTEGER NOT NULL DEFAULT 0;
