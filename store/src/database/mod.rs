//! Opening a database and restoring one. Here, and nowhere else, the upgrades of the rooms are given to the engine.

pub(crate) mod open;
pub(crate) mod restore;
