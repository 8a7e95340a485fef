// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "solady/tokens/ERC20.sol";

/// @notice A token as Solady makes it, one of the cheapest that there are: what a payment costs with it is mostly not the
/// token's.
contract SoladyToken is ERC20 {
    constructor(address holder, uint256 supply) {
        _mint(holder, supply);
    }

    function name() public pure override returns (string memory) {
        return "Token";
    }

    function symbol() public pure override returns (string memory) {
        return "TKN";
    }

    /// @dev As every other token does: Permit2 is allowed what its owner approves.
    function _givePermit2InfiniteAllowance() internal pure override returns (bool) {
        return false;
    }
}
