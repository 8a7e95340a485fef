// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {PlainToken} from "./PlainToken.sol";

/// @notice Has EIP-3009 without signatures, and does nothing, without a word, when a nonce was used before.
contract QuietAuthorizationToken is PlainToken {
    mapping(address authorizer => mapping(bytes32 nonce => bool spent)) private spentNonces;

    function spend(address from, bytes32 nonce) external {
        spentNonces[from][nonce] = true;
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256,
        uint256,
        bytes32 nonce,
        uint8,
        bytes32,
        bytes32
    ) external {
        receiveOnce(from, to, value, nonce);
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256,
        uint256,
        bytes32 nonce,
        bytes calldata
    ) external {
        receiveOnce(from, to, value, nonce);
    }

    function receiveOnce(address from, address to, uint256 value, bytes32 nonce) private {
        if (spentNonces[from][nonce]) return;
        spentNonces[from][nonce] = true;
        _transfer(from, to, value);
    }
}
