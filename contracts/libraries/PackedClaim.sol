// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../interfaces/ISaltChannels.sol";

/// @dev Where a packed row of a claim stands in calldata: payer (20 bytes), signer (20), exitDelay (4), salt (32), ceiling
/// (13), total (13), voucher (65).
type PackedClaim is uint256;

using {payer, signer, ceiling, total, voucher, next, names} for PackedClaim global;

uint256 constant PACKED_SIZE = 167;

/// @dev Where the first row stands, and where the last one ends.
function packedClaims(bytes calldata rows) pure returns (PackedClaim first, PackedClaim end) {
    if (rows.length % PACKED_SIZE != 0) revert ISaltChannels.InvalidRows(rows.length);
    assembly ("memory-safe") {
        first := rows.offset
        end := add(rows.offset, rows.length)
    }
}

function payer(PackedClaim row) pure returns (address account) {
    assembly ("memory-safe") {
        account := shr(96, calldataload(row))
    }
}

function signer(PackedClaim row) pure returns (address account) {
    assembly ("memory-safe") {
        account := shr(96, calldataload(add(row, 20)))
    }
}

/// @dev Whether the row names a key as its signer. The zero address is none.
function names(PackedClaim row, address key) pure returns (bool yes) {
    assembly ("memory-safe") {
        let named := shr(96, calldataload(add(row, 20)))
        yes := and(eq(named, shr(96, shl(96, key))), gt(named, 0))
    }
}

function ceiling(PackedClaim row) pure returns (uint256 amount) {
    assembly ("memory-safe") {
        amount := shr(152, calldataload(add(row, 76)))
    }
}

function total(PackedClaim row) pure returns (uint256 amount) {
    assembly ("memory-safe") {
        amount := shr(152, calldataload(add(row, 89)))
    }
}

function voucher(PackedClaim row) pure returns (bytes calldata signature) {
    assembly ("memory-safe") {
        signature.offset := add(row, 102)
        signature.length := 65
    }
}

function next(PackedClaim row) pure returns (PackedClaim) {
    unchecked {
        return PackedClaim.wrap(PackedClaim.unwrap(row) + PACKED_SIZE);
    }
}
