// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice Accepts or refuses coins with a million bytes of return data: cheap for it, dear for a caller who copies them.
contract ReturnBombReceiver {
    uint256 public constant SIZE = 1_000_000;

    bool private refusing;

    constructor(bool refusing_) {
        refusing = refusing_;
    }

    receive() external payable {
        bool refuse = refusing;
        assembly ("memory-safe") {
            if refuse { revert(0x00, SIZE) }
            return(0x00, SIZE)
        }
    }
}
