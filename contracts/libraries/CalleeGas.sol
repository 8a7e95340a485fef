// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../interfaces/ISaltChannels.sol";

/// @title CalleeGas
/// @notice Tells a callee that failed from one that was given too little gas.
/// @dev A call gives no more than 63 of 64 parts of what is left (EIP-150), and says nothing if that is less than was
/// asked for. Whoever chooses the gas limit could so choose what fails. A call that succeeds needs no such question.
library CalleeGas {
    /// @dev More than a call costs before the callee's own gas: an account that is touched first (2,600), and a delegation
    /// of it (2,600).
    uint256 private constant CALL_COST = 6_000;

    /// @dev The same with coins: 9,000 more, and 25,000 if there is no such account.
    uint256 private constant VALUE_CALL_COST = 40_000;

    /// @notice Reverts unless a call with `gasBefore` left had `limit` for the callee.
    function requireGiven(address callee, uint256 gasBefore, uint256 limit) internal pure {
        requireLeft(callee, gasBefore, limit, CALL_COST);
    }

    /// @notice As `requireGiven`, of a call with coins.
    function requireGivenWithValue(address callee, uint256 gasBefore, uint256 limit) internal pure {
        requireLeft(callee, gasBefore, limit, VALUE_CALL_COST);
    }

    function requireLeft(address callee, uint256 gasBefore, uint256 limit, uint256 cost) private pure {
        // 63 parts of 64 are the limit; rounded up.
        if (gasBefore < limit + limit / 63 + 1 + cost) revert ISaltChannels.InsufficientGas(callee, limit);
    }
}
