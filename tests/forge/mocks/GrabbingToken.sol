// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {PlainToken} from "./PlainToken.sol";

/// @notice Takes more of the sender than was asked for, and returns true.
contract GrabbingToken is PlainToken {
    uint256 private more;

    function setMore(uint256 more_) external {
        more = more_;
    }

    function transfer(address to, uint256 value) public override returns (bool) {
        _burn(msg.sender, more);
        return super.transfer(to, value);
    }
}
