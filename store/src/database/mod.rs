//! Opening a database, and putting one back: the two places where the rooms' own upgrades meet the engine.

pub(crate) mod open;
pub(crate) mod restore;
