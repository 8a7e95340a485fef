//! The parts that a process runs.

/// The parts that a process runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    pub(super) index: bool,
    pub(super) verify: bool,
    pub(super) serve: bool,
}

impl Parts {
    pub(crate) const ALL: Self = Self { index: true, verify: true, serve: true };
    pub(crate) const INDEX: Self = Self { index: true, verify: false, serve: false };
    pub(crate) const VERIFY: Self = Self { index: false, verify: true, serve: false };
    pub(crate) const SERVE: Self = Self { index: false, verify: false, serve: true };
}
