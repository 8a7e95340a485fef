-- How often what an incident tells of happened, and when it last did: what anybody can cause is one row and not many.
ALTER TABLE incidents ADD COLUMN occurrences INTEGER NOT NULL DEFAULT 1;
ALTER TABLE incidents ADD COLUMN changed_at_ms INTEGER NOT NULL DEFAULT 0;
UPDATE incidents SET changed_at_ms = COALESCE(resolved_at_ms, opened_at_ms);

-- Of these kinds there is one for a payment, ever.
CREATE UNIQUE INDEX incidents_once ON incidents (chain_id, payment_id, kind)
    WHERE kind IN ('replay_attempt', 'omitted_log');

-- What is to be told of incidents, and whether it was. A notice is written with what it tells.
CREATE TABLE notices (
    id              INTEGER NOT NULL PRIMARY KEY,
    incident_id     INTEGER NOT NULL REFERENCES incidents (id),
    event           TEXT    NOT NULL,
    at_ms           INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    due_at_ms       INTEGER NOT NULL DEFAULT 0,
    delivered_at_ms INTEGER
) STRICT;

CREATE INDEX notices_waiting ON notices (incident_id, id) WHERE delivered_at_ms IS NULL;
CREATE INDEX notices_delivered ON notices (delivered_at_ms) WHERE delivered_at_ms IS NOT NULL;
