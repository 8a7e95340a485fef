//! What a look at a receipt showed.

/// What a look at a receipt showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Payments were found and are in the index now.
    Found,
    /// A node that has the newest indexed block has no receipt of the transaction.
    Nothing,
    /// Nothing was learned: its block is still to be indexed, is of another fork or was not read, or too much is looked up
    /// just now.
    Unknown,
    /// The transaction is in a block of the chain that is indexed and was reverted: it paid nothing there.
    Reverted {
        /// Blocks that contain or follow it, as far as they are indexed.
        confirmations: u64,
    },
    /// The transaction is in a block of the chain that is indexed and may hold a payment, and can be read in two ways.
    Ambiguous,
    /// The transaction cannot be read, or its receipt, so that what it paid is not known.
    Unreadable {
        /// How long the answer is at the least, in bytes, and the most that is taken of the node, where that is why.
        too_long: Option<(u64, Option<u64>)>,
    },
    /// The transaction is in a block of the chain that is indexed and holds no payment through a contract that is
    /// followed.
    NoPayment {
        /// Blocks that contain or follow it, as far as they are indexed.
        confirmations: u64,
    },
}
