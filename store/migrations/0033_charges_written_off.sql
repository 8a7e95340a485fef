-- Why an operator wrote a charge off: `state` is 'written_off' then, and nothing is due. A charge that is owed and not tried again
-- has the highest `due_ms` there is.
ALTER TABLE charges ADD COLUMN note TEXT;
-- When its state or what is known of it last changed.
ALTER TABLE charges ADD COLUMN changed_at_ms INTEGER NOT NULL DEFAULT 0;
UPDATE charges SET changed_at_ms = began_at_ms;
