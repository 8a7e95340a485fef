// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {CalleeGas} from "./CalleeGas.sol";

/// @title AccountSignature
/// @notice Whether a key or an account signed a digest.
/// @dev A key is asked for first and code only then: an account with an EIP-7702 delegation has code, and signs with its
/// key all the same. An ECDSA signature has 65 bytes, a low s, v of 27 or 28, and is never the zero signer's.
library AccountSignature {
    /// @dev What ERC-1271 answers for a signature that it accepts: the selector of isValidSignature(bytes32,bytes).
    bytes4 private constant ACCEPTED = 0x1626ba7e;

    /// @dev Half of the order of secp256k1. Every signature has a twin above it, which a second reader could take for
    /// another.
    uint256 private constant GREATEST_S = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    /// @dev The gas that an account's code gets. Enough to verify P-256 in Solidity, and so little that an account that
    /// burns it all cannot use up a block.
    uint256 private constant CODE_GAS = 500_000;

    /// @notice Whether the key of `signer` signed `digest`.
    function isSignedByKey(address signer, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        return signature.length == 65 && signer != address(0) && keyOf(digest, signature) == signer;
    }

    /// @notice Whose key signed `digest`, or zero if nobody's did. Reads 65 bytes of the signature.
    function keyOf(bytes32 digest, bytes calldata signature) internal view returns (address key) {
        assembly ("memory-safe") {
            // Over the free memory pointer and the zero after it, which are put back.
            let free := mload(0x40)
            let s := calldataload(add(signature.offset, 0x20))
            mstore(0x00, digest)
            mstore(0x20, byte(0, calldataload(add(signature.offset, 0x40))))
            mstore(0x40, calldataload(signature.offset))
            mstore(0x60, s)
            pop(staticcall(gas(), 1, 0x00, 0x80, 0x00, 0x20))
            // It returns nothing for what is no signature, also where v is neither 27 nor 28.
            key := mul(mload(0x00), and(eq(returndatasize(), 0x20), lt(s, add(GREATEST_S, 1))))
            mstore(0x40, free)
            mstore(0x60, 0)
        }
    }

    /// @notice Whether the key of `account` signed `digest`, or its code says that it did.
    function isSignedBy(address account, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        return isSignedByKey(account, digest, signature)
            || (account.code.length != 0 && isAcceptedByCode(account, digest, signature));
    }

    /// @dev Copies one word of what the account returns, however much that is. A no counts only if the account had its gas:
    /// it may come from a part of the account's code that had too little.
    function isAcceptedByCode(address account, bytes32 digest, bytes calldata signature) private view returns (bool) {
        bytes memory question = abi.encodeWithSelector(ACCEPTED, digest, signature);
        bool success;
        uint256 size;
        bytes32 answer;
        uint256 gasBefore = gasleft();
        assembly ("memory-safe") {
            success := staticcall(CODE_GAS, account, add(question, 0x20), mload(question), 0x00, 0x20)
            size := returndatasize()
            answer := mload(0x00)
        }
        if (success && size >= 32 && answer == ACCEPTED) return true;
        CalleeGas.requireGiven(account, gasBefore, CODE_GAS);
        return false;
    }
}
