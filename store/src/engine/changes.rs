//! What a commit changed in the answers of payment look-ups.

use salt402_protocol::{ChainId, PaymentId};

use crate::rows::{Found, Key};

/// What a commit changed of what look-ups find.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) forget: Forget,
    /// Where an index stands now.
    pub(crate) cursor: Option<(ChainId, u64)>,
    /// What was used up, in whatever transactions it is.
    pub(crate) used: Vec<PaymentId>,
    /// What the transaction itself read after its last change.
    pub(crate) fresh: Vec<(Key, Found)>,
}

/// Which transactions are to be read again.
#[derive(Debug, Default)]
pub(crate) enum Forget {
    #[default]
    Nothing,
    These(Vec<Key>),
    Everything,
}

impl Changes {
    /// What is not known in detail.
    pub(crate) fn everything() -> Self {
        Self { forget: Forget::Everything, ..Self::default() }
    }
}
