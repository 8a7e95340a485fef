-- Ambiguities come back with their block, as everything else does that stands in one.
CREATE INDEX ambiguities_orphaned_by_height ON ambiguities (chain_id, block_number) WHERE NOT canonical;

-- Which chains are halted, said once.
CREATE VIEW open_halts AS SELECT * FROM halts WHERE resolved_at_ms IS NULL;
