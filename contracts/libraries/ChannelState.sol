// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../interfaces/ISaltChannels.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

/// @dev ISaltChannels.State in one word, from the lowest bit: deposit (104), claimed (104), exitAt (40), closed (1).
/// Solidity would write a struct in storage field by field.
type ChannelState is uint256;

using {
    deposit,
    claimed,
    exitAt,
    isClosed,
    isOpen,
    claimable,
    withDeposit,
    withClaim,
    withExitAt,
    asClosed,
    unpack
} for ChannelState global;

uint256 constant MOST = type(uint104).max;
uint256 constant CLAIMED_SHIFT = 104;
uint256 constant EXIT_SHIFT = 208;
uint256 constant EXIT_MASK = type(uint40).max;
uint256 constant CLOSED = 1 << 248;

function deposit(ChannelState state) pure returns (uint256) {
    return ChannelState.unwrap(state) & MOST;
}

function claimed(ChannelState state) pure returns (uint256) {
    return (ChannelState.unwrap(state) >> CLAIMED_SHIFT) & MOST;
}

function exitAt(ChannelState state) pure returns (uint256) {
    return (ChannelState.unwrap(state) >> EXIT_SHIFT) & EXIT_MASK;
}

function isClosed(ChannelState state) pure returns (bool) {
    return ChannelState.unwrap(state) >= CLOSED;
}

/// @dev A channel that was never opened is all zero.
function isOpen(ChannelState state) pure returns (bool) {
    return ChannelState.unwrap(state) != 0 && !isClosed(state);
}

/// @dev What a claim up to `total` pays: never more than what is left, and nothing of a channel that is not open.
function claimable(ChannelState state, uint256 total) pure returns (uint256) {
    uint256 reached = FixedPointMathLib.min(total, deposit(state));
    return isClosed(state) ? 0 : FixedPointMathLib.zeroFloorSub(reached, claimed(state));
}

/// @dev With a new deposit, which is not more than MOST.
function withDeposit(ChannelState state, uint256 amount) pure returns (ChannelState) {
    return ChannelState.wrap((ChannelState.unwrap(state) & ~MOST) | amount);
}

/// @dev With an amount claimed that is not more than what is left, so that the sum stays within its bits.
function withClaim(ChannelState state, uint256 amount) pure returns (ChannelState) {
    unchecked {
        return ChannelState.wrap(ChannelState.unwrap(state) + (amount << CLAIMED_SHIFT));
    }
}

/// @dev With another time of the exit. 40 bits of seconds last for 34,000 years.
function withExitAt(ChannelState state, uint256 time) pure returns (ChannelState) {
    return ChannelState.wrap((ChannelState.unwrap(state) & ~(EXIT_MASK << EXIT_SHIFT)) | (time << EXIT_SHIFT));
}

/// @dev Closed, with no exit pending. The deposit stays, and with it the identifier is spent.
function asClosed(ChannelState state) pure returns (ChannelState) {
    return ChannelState.wrap(ChannelState.unwrap(withExitAt(state, 0)) | CLOSED);
}

function unpack(ChannelState state) pure returns (ISaltChannels.State memory) {
    // Masked to their sizes.
    // forge-lint: disable-next-item(unsafe-typecast)
    return ISaltChannels.State({
        deposit: uint104(deposit(state)),
        claimed: uint104(claimed(state)),
        exitAt: uint40(exitAt(state)),
        closed: isClosed(state)
    });
}
