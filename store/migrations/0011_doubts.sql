-- The height above which the blocks of the index are not on the chain that the node shows, while that chain is lower than
-- the index: it may be a node that is behind on a fork that lost, or a chain that became shorter. Until that is known,
-- nothing new is granted on payments above it, whichever process asks. NULL where nothing is in doubt.
ALTER TABLE chains ADD COLUMN doubted_above INTEGER;
