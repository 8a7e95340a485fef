// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWrappedSalt} from "../../../contracts/interfaces/IWrappedSalt.sol";

/// @title CitratePaywall
/// @notice Gives access for authorizations of wrapped SALT, with the call and the event of Citrate's `X402Paywall`, whose code
/// is in no package.
contract CitratePaywall {
    IWrappedSalt private immutable TOKEN;
    uint256 private immutable PRICE;

    event AccessGranted(address indexed payer, bytes32 indexed resourceId, uint256 amount, uint256 expiresAt);

    error InsufficientPayment();
    error InvalidNonce();

    constructor(IWrappedSalt token, uint256 price) {
        (TOKEN, PRICE) = (token, price);
    }

    function verifyAndGrant(
        bytes32 resourceId,
        address from,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes32 salt,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        if (value < PRICE) revert InsufficientPayment();
        if (nonce != keccak256(abi.encode(resourceId, salt))) revert InvalidNonce();
        TOKEN.transferWithAuthorization(from, address(this), value, validAfter, validBefore, nonce, v, r, s);
        emit AccessGranted(from, resourceId, value, block.timestamp + 1 days);
    }
}
