// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {PlainToken} from "./PlainToken.sol";

/// @notice Refuses an account in the way that ERC-20 allows: it moves nothing and returns false.
contract PoliteToken is PlainToken {
    mapping(address account => bool listed) public refused;

    function setRefused(address account, bool listed) external {
        refused[account] = listed;
    }

    function transfer(address to, uint256 value) public override returns (bool) {
        if (refused[to]) return false;
        return super.transfer(to, value);
    }
}
