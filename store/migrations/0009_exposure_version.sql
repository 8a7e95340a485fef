-- Counts the changes of a chain's exposures, by whomever: sums of them that are kept in memory are true at one number.
ALTER TABLE chains ADD COLUMN exposure_version INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER exposures_noted AFTER INSERT ON exposures BEGIN
    UPDATE chains SET exposure_version = exposure_version + 1 WHERE chain_id = NEW.chain_id;
END;

CREATE TRIGGER exposures_moved AFTER UPDATE ON exposures BEGIN
    UPDATE chains SET exposure_version = exposure_version + 1 WHERE chain_id = NEW.chain_id;
END;

CREATE TRIGGER exposures_swept AFTER DELETE ON exposures BEGIN
    UPDATE chains SET exposure_version = exposure_version + 1 WHERE chain_id = OLD.chain_id;
END;
