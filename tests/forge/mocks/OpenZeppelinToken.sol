// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice A token as OpenZeppelin's library makes it, and nothing more: others' gas figures are of such a one.
contract OpenZeppelinToken is ERC20 {
    constructor(address holder, uint256 supply) ERC20("Token", "TKN") {
        _mint(holder, supply);
    }
}
