// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice Takes coins, as a contract that splits money among several does, and calls nothing else.
contract Splitter {
    receive() external payable {}
}
