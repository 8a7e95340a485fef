// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";
import {PlainToken} from "./PlainToken.sol";

/// @notice Pays again while it transfers, and then leaves its own transfer undone: one movement of balances, which two
/// payments would measure.
contract ReentrantToken is PlainToken {
    ISaltPay private immutable saltPay;
    bytes32 private immutable secondReference;
    bool private entered;

    constructor(ISaltPay saltPay_, bytes32 secondReference_) {
        saltPay = saltPay_;
        secondReference = secondReference_;
        _approve(address(this), address(saltPay_), type(uint256).max);
    }

    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        if (entered) return super.transferFrom(from, to, value);
        entered = true;
        saltPay.payToken(secondReference, to, address(this), value);
        entered = false;
        return true;
    }
}
