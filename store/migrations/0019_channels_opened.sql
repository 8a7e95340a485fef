-- The channels of a contract in the order in which they were opened, so that they are listed page by page. The kind is
-- OPENED of src/channel_rows.rs, written out.
CREATE INDEX channel_events_opened ON channel_events (chain_id, contract, id) WHERE canonical AND kind = 1;
