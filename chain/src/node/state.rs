//! Questions about the state at the head, several in one round trip.

use alloy_primitives::Address;

use crate::node::call::Call;

/// A read-only question about the state at the head. Every answer is bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateQuestion {
    /// The code at an address; empty where there is no contract.
    Code(Address),
    /// The result of a call that is not sent. A reverted one is an error for which
    /// [`NodeError::is_revert`](crate::NodeError::is_revert) holds.
    View {
        /// The account that calls. `None`: the zero address.
        from: Option<Address>,
        /// The call. Without a gas limit it gets ten million.
        call: Call,
    },
    /// The gas that a transaction needs, as 32 bytes, big-endian. A reverted one is an error, as for a call.
    Gas {
        /// The account that would send it.
        from: Address,
        /// The transaction. Its gas limit is the most that is tried. Without one, the node's own limit is.
        call: Call,
    },
    /// The balance of an account in base units of the native coin, as 32 bytes, big-endian.
    Balance(Address),
    /// The height of the head, as 32 bytes, big-endian. Asked first, it says how old the other answers can be at most.
    Height,
}
