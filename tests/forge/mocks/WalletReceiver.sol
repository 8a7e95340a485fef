// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice Accepts coins and writes to storage, as a contract wallet may: more than a stipend of 2,300 gas allows.
contract WalletReceiver {
    uint256 public received;

    receive() external payable {
        received += msg.value;
    }
}
