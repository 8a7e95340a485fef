// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";

/// @notice Passes half of every payment on, in a payment of its own, while it is being paid.
contract ReentrantReceiver {
    ISaltPay private immutable saltPay;
    bytes32 private immutable secondReference;
    address private immutable next;

    constructor(ISaltPay saltPay_, bytes32 secondReference_, address next_) {
        saltPay = saltPay_;
        secondReference = secondReference_;
        next = next_;
    }

    receive() external payable {
        if (msg.value > 1) saltPay.pay{value: msg.value / 2}(secondReference, next);
    }
}
