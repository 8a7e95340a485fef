-- Which database this is: every quote names it, so that no other database, which has forgotten what was granted on a quote,
-- honours it. What existed before names nothing in the quotes that it gave, and goes on with those of the next day too:
-- another process may still be giving them. One without a chain gave none, so it counts as made now.
INSERT OR IGNORE INTO meta (name, value) VALUES ('mark', lower(hex(randomblob(8))));
INSERT OR IGNORE INTO meta (name, value)
SELECT 'made_at', CAST(unixepoch() AS TEXT) WHERE NOT EXISTS (SELECT 1 FROM chains);
INSERT OR IGNORE INTO meta (name, value)
SELECT 'unmarked_until', CAST(unixepoch() + 86400 AS TEXT) WHERE EXISTS (SELECT 1 FROM chains);

-- Which instance of a claimant lives: two that share a name, as two copies of a folder do, would both run what one payment pays
-- for. No times: whoever wants a name waits until it has seen for itself that the count stands still.
CREATE TABLE leases (
    claimant TEXT    NOT NULL PRIMARY KEY,
    instance BLOB    NOT NULL,
    renewals INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
