// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {PlainToken} from "./PlainToken.sol";

/// @notice Refuses with nearly all of its gas left unless it was given what a token is to have, less what a dispatch costs.
contract ExactToken is PlainToken {
    error TooLittle();

    function transfer(address to, uint256 value) public override returns (bool) {
        if (gasleft() < 199_500) revert TooLittle();
        return super.transfer(to, value);
    }
}
