// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice Fails with nearly all of its gas left unless it was given what it is to have, less what a dispatch costs.
contract ExactReceiver {
    error TooLittle();

    uint256 private immutable need;

    constructor(uint256 need_) {
        need = need_;
    }

    receive() external payable {
        if (gasleft() < need) revert TooLittle();
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        return gasleft() < need ? bytes4(0) : this.isValidSignature.selector;
    }
}
