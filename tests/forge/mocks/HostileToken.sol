// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ReenteringToken} from "./ReenteringToken.sol";

/// @notice Makes a call of its own choice while it transfers, moves nothing and logs nothing.
contract HostileToken is ReenteringToken {
    function transferFrom(address, address, uint256) public override returns (bool) {
        callBack();
        return true;
    }
}
