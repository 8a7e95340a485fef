-- Widths of questions about ranges that nodes refused, by the node's host and port: so many blocks are too many for it. What
-- is old says nothing of a node any more, and is forgotten.
CREATE TABLE range_ceilings (
    chain_id    INTEGER NOT NULL,
    node        TEXT    NOT NULL,
    blocks      INTEGER NOT NULL,
    noted_at_ms INTEGER NOT NULL,
    PRIMARY KEY (chain_id, node)
) STRICT, WITHOUT ROWID;
