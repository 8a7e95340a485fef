//! The result of a look at a receipt.

/// The result of a look at a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Payments were found and are in the index now.
    Found,
    /// A node that has the newest indexed block has no receipt of the transaction.
    Nothing,
    /// Nothing was learned. Its block may not be indexed yet, may be of another fork or unreadable, or there may be too
    /// many looks now.
    Unknown,
    /// The transaction is in a block of the indexed chain and was reverted. It paid nothing there.
    Reverted {
        /// How many indexed blocks contain or follow it.
        confirmations: u64,
    },
    /// The transaction is in a block of the indexed chain. It may hold a payment that can be read in two ways.
    Ambiguous,
    /// The transaction or its receipt cannot be read, so that what it paid is not known.
    Unreadable {
        /// If the answer was too long: its length at the least, and the most that is accepted of the node, in bytes.
        too_long: Option<(u64, Option<u64>)>,
    },
    /// The transaction is in a block of the indexed chain and holds no payment through a followed contract.
    NoPayment {
        /// How many indexed blocks contain or follow it.
        confirmations: u64,
    },
}
