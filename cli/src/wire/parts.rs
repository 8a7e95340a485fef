//! The parts that a process runs.

/// The parts that a process runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    pub(super) index: bool,
    pub(super) verify: bool,
    pub(super) serve: bool,
    pub(super) facilitate: bool,
}

impl Parts {
    pub(crate) const ALL: Self = Self { index: true, verify: true, serve: true, facilitate: true };
    pub(crate) const INDEX: Self = Self { index: true, verify: false, serve: false, facilitate: false };
    pub(crate) const VERIFY: Self = Self { index: false, verify: true, serve: false, facilitate: false };
    pub(crate) const SERVE: Self = Self { index: false, verify: false, serve: true, facilitate: false };
    pub(crate) const FACILITATE: Self = Self { index: false, verify: false, serve: false, facilitate: true };
}
