// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../interfaces/ISaltChannels.sol";

/// @title ChannelId
/// @notice The identifier of a channel: EIP-712's hash of its descriptor.
/// @dev Words are hashed as they stand in calldata. An address or delay with dirty upper bits hashes to an identifier
/// that no channel has: opening one reads every field by itself, and Solidity refuses such a field.
library ChannelId {
    bytes32 internal constant TYPEHASH = keccak256(
        "Channel(address payer,address payee,address asset,address signer,address operator,uint32 exitDelay,bytes32 salt)"
    );

    /// @notice The separator of a domain that no other deployment has: its salt is made of the block that this is called
    /// in. A hash of the block before tells chains apart, and so does the time alone where a chain has no such hash yet.
    function newDomain(bytes32 name, bytes32 version) internal view returns (bytes32) {
        uint256 before;
        // Of block 0, in which programs simulate on a new chain, this names no block, and the hash is zero.
        unchecked {
            before = block.number - 1;
        }
        bytes32 salt = keccak256(abi.encode(blockhash(before), block.timestamp, block.prevrandao));
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
                ),
                name,
                version,
                block.chainid,
                address(this),
                salt
            )
        );
    }

    /// @notice The identifier in the domain with the separator `domain`.
    function idIn(ISaltChannels.Channel calldata channel, bytes32 domain) internal pure returns (bytes32 id) {
        bytes32 typehash = TYPEHASH;
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore(at, typehash)
            calldatacopy(add(at, 0x20), channel, 0xe0)
            let structHash := keccak256(at, 0x100)
            mstore(at, hex"1901")
            mstore(add(at, 0x02), domain)
            mstore(add(at, 0x22), structHash)
            id := keccak256(at, 0x42)
        }
    }

    /// @notice The identifier of the channel that a row of a claim speaks of.
    function idIn(ISaltChannels.Claim calldata row, address payee, address asset, bytes32 domain)
        internal
        pure
        returns (bytes32 id)
    {
        bytes32 typehash = TYPEHASH;
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore(at, typehash)
            mstore(add(at, 0x20), calldataload(row))
            mstore(add(at, 0x40), shr(96, shl(96, payee)))
            mstore(add(at, 0x60), shr(96, shl(96, asset)))
            // The signer, the operator, the delay and the salt, in both in this order.
            calldatacopy(add(at, 0x80), add(row, 0x20), 0x80)
            let structHash := keccak256(at, 0x100)
            mstore(at, hex"1901")
            mstore(add(at, 0x02), domain)
            mstore(add(at, 0x22), structHash)
            id := keccak256(at, 0x42)
        }
    }
}
