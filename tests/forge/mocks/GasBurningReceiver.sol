// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice Uses all the gas that it is given.
contract GasBurningReceiver {
    receive() external payable {
        assembly ("memory-safe") {
            invalid()
        }
    }
}
