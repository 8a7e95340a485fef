// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ChannelId} from "./ChannelId.sol";
import {PackedClaim} from "./PackedClaim.sol";

/// @dev Where identifiers and vouchers of packed rows are hashed, in memory: what all rows have in common is written once.
/// From its start: Channel (0x100 bytes), Voucher (0xa0), and what EIP-712 hashes of each: 0x1901, the domain's separator
/// and the hash (0x42).
type RowHashes is uint256;

using {idOf, digestOf} for RowHashes global;

uint256 constant VOUCHER_AT = 0x100;
uint256 constant ID_AT = 0x1a0;
uint256 constant DIGEST_AT = 0x200;
uint256 constant SIZE = 0x260;

/// @param idDomain The separator of the domain of identifiers.
/// @param domain The separator of the domain of signatures.
function newRowHashes(
    address payee,
    address asset,
    address operator,
    bytes32 idDomain,
    bytes32 voucherTypehash,
    bytes32 domain
) pure returns (RowHashes at) {
    bytes32 typehash = ChannelId.TYPEHASH;
    assembly ("memory-safe") {
        at := mload(0x40)
        mstore(0x40, add(at, SIZE))

        payee := shr(96, shl(96, payee))
        asset := shr(96, shl(96, asset))
        mstore(at, typehash)
        mstore(add(at, 0x40), payee)
        mstore(add(at, 0x60), asset)
        mstore(add(at, 0xa0), shr(96, shl(96, operator)))

        mstore(add(at, VOUCHER_AT), voucherTypehash)
        mstore(add(at, add(VOUCHER_AT, 0x40)), payee)
        mstore(add(at, add(VOUCHER_AT, 0x60)), asset)

        mstore(add(at, ID_AT), hex"1901")
        mstore(add(at, add(ID_AT, 0x02)), idDomain)
        mstore(add(at, DIGEST_AT), hex"1901")
        mstore(add(at, add(DIGEST_AT, 0x02)), domain)
    }
}

/// @dev The identifier of the channel that a row speaks of.
function idOf(RowHashes at, PackedClaim row) pure returns (bytes32 id) {
    assembly ("memory-safe") {
        // The payer, the signer, the delay and the salt.
        mstore(add(at, 0x20), shr(96, calldataload(row)))
        mstore(add(at, 0x80), shr(96, calldataload(add(row, 20))))
        mstore(add(at, 0xc0), shr(224, calldataload(add(row, 40))))
        mstore(add(at, 0xe0), calldataload(add(row, 44)))
        mstore(add(at, add(ID_AT, 0x22)), keccak256(at, 0x100))
        id := keccak256(add(at, ID_AT), 0x42)
    }
}

/// @dev What the signer of a row signed.
function digestOf(RowHashes at, bytes32 id, uint256 ceiling) pure returns (bytes32 digest) {
    assembly ("memory-safe") {
        mstore(add(at, add(VOUCHER_AT, 0x20)), id)
        mstore(add(at, add(VOUCHER_AT, 0x80)), ceiling)
        mstore(add(at, add(DIGEST_AT, 0x22)), keccak256(add(at, VOUCHER_AT), 0xa0))
        digest := keccak256(add(at, DIGEST_AT), 0x42)
    }
}
