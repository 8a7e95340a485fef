// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {PlainToken} from "./PlainToken.sol";

/// @notice Answers no balance: never, or no longer once it has transferred.
contract BlindToken is PlainToken {
    error Blind();

    bool private blind;

    function setBlind() external {
        blind = true;
    }

    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        blind = true;
        return super.transferFrom(from, to, value);
    }

    function balanceOf(address account) public view override returns (uint256) {
        if (blind) revert Blind();
        return super.balanceOf(account);
    }
}
