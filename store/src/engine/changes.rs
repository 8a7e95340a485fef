//! What a commit changed in the answers of payment look-ups.

use salt402_protocol::{ChainId, PaymentId};

use crate::rows::{Found, Key};

/// What a commit changed in the answers of look-ups.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) forget: Forget,
    /// Where an index stands now.
    pub(crate) cursor: Option<(ChainId, u64)>,
    /// The payments that were used, in whatever transactions they are.
    pub(crate) used: Vec<PaymentId>,
    /// What the transaction itself read after its last change.
    pub(crate) fresh: Vec<(Key, Found)>,
}

/// Which transactions must be read again.
#[derive(Debug, Default)]
pub(crate) enum Forget {
    #[default]
    Nothing,
    These(Vec<Key>),
    Everything,
}

impl Changes {
    /// Used if it is not known what changed.
    pub(crate) fn everything() -> Self {
        Self { forget: Forget::Everything, ..Self::default() }
    }
}
