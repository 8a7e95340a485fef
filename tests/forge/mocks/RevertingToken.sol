// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {PlainToken} from "./PlainToken.sol";

/// @notice Never transfers, as a token that is paused or has blacklisted the payer.
contract RevertingToken is PlainToken {
    error Paused();

    function transferFrom(address, address, uint256) public pure override returns (bool) {
        revert Paused();
    }
}
