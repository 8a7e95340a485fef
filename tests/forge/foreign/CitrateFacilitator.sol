// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWrappedSalt} from "../../../contracts/interfaces/IWrappedSalt.sol";

/// @title CitrateFacilitator
/// @notice Settles authorizations of wrapped SALT less a fee, with the calls and events of Citrate's `X402Facilitator`, whose
/// code is in no package. Anybody may submit to this one.
contract CitrateFacilitator {
    struct PaymentAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    IWrappedSalt private immutable TOKEN;
    address private immutable TREASURY;
    uint256 private immutable FEE_BPS;

    event PaymentSettled(address indexed from, address indexed to, uint256 value, uint256 fee, bytes32 nonce);
    event BatchSettled(uint256 count, uint256 totalValue, uint256 totalFees);

    constructor(IWrappedSalt token, address treasury, uint256 feeBps) {
        (TOKEN, TREASURY, FEE_BPS) = (token, treasury, feeBps);
    }

    function settlePayment(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        settleOne(PaymentAuthorization(from, to, value, validAfter, validBefore, nonce, v, r, s));
    }

    function batchSettle(PaymentAuthorization[] calldata payments) external {
        uint256 total;
        uint256 fees;
        for (uint256 i = 0; i < payments.length; i++) {
            fees += settleOne(payments[i]);
            total += payments[i].value;
        }
        emit BatchSettled(payments.length, total, fees);
    }

    function settleOne(PaymentAuthorization memory one) private returns (uint256 fee) {
        fee = one.value * FEE_BPS / 10_000;
        TOKEN.transferWithFeeAuthorization(
            one.from, one.to, TREASURY, one.value, fee, one.validAfter, one.validBefore, one.nonce, one.v, one.r, one.s
        );
        emit PaymentSettled(one.from, one.to, one.value - fee, fee, one.nonce);
    }
}
