-- A payment may pay for several parts, each with an answer of its own. A part is kept under an id made from the payment's and its
-- place; these say of which payment it is a part, and which. Null: it is a whole payment.
ALTER TABLE unserved ADD COLUMN part_of BLOB;
ALTER TABLE unserved ADD COLUMN place INTEGER;

CREATE INDEX unserved_parts ON unserved (part_of, place) WHERE part_of IS NOT NULL;
