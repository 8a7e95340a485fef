// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {PlainToken} from "./PlainToken.sol";

interface ITokenHook {
    function tokensReceived(address from, uint256 amount) external;
}

/// @notice Calls whoever receives it, if there is code, and does not transfer if that reverts: as ERC-777 does.
contract HookToken is PlainToken {
    function transfer(address to, uint256 value) public override returns (bool) {
        super.transfer(to, value);
        if (to.code.length != 0) ITokenHook(to).tokensReceived(msg.sender, value);
        return true;
    }
}
