// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";

/// @notice Asks SaltPay, while it is paid, to send an accomplice what SaltPay holds for the payees after it.
contract GreedyReceiver {
    ISaltPay private immutable saltPay;
    address private immutable accomplice;
    bool public asked;
    bool public served;

    constructor(ISaltPay saltPay_, address accomplice_) {
        saltPay = saltPay_;
        accomplice = accomplice_;
    }

    receive() external payable {
        asked = true;
        ISaltPay.Order[] memory orders = new ISaltPay.Order[](1);
        orders[0] = ISaltPay.Order({
            paymentReference: keccak256("greed"), payee: accomplice, asset: address(0), amount: address(saltPay).balance
        });
        try saltPay.payMany(orders) {
            served = true;
        } catch {}
    }
}
