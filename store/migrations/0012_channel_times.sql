-- The time of an event's block, in seconds, with the event, since headers are kept for a while only. NULL where it is not
-- known: of an event that was stored before the column was, and whose block's header is kept no more.
ALTER TABLE channel_events ADD COLUMN block_timestamp INTEGER;

-- By its header, or by a payment in the same block. One from beside the chain that was placed there has its own time, which
-- is earlier: of several the least counts, which refuses rather than grants.
UPDATE channel_events SET block_timestamp = COALESCE(
    (SELECT b.timestamp FROM blocks b
     WHERE b.chain_id = channel_events.chain_id AND b.hash = channel_events.block_hash),
    (SELECT MIN(p.block_timestamp) FROM payments p
     WHERE p.chain_id = channel_events.chain_id AND p.block_number = channel_events.block_number
       AND p.block_hash = channel_events.block_hash AND p.canonical));

-- Where else a channel was opened, before that left the chain.
CREATE INDEX channel_events_orphaned_of ON channel_events (chain_id, contract, channel, kind) WHERE NOT canonical;
