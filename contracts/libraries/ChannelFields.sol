// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../interfaces/ISaltChannels.sol";

// Reading a field in Solidity's way asks each time whether its upper bits are clean. Opening asks once, of all of them. A
// descriptor that was not asked has an identifier that no channel has, since the identifier is of whole words: what it
// reads as decides nothing.

/// @dev Reverts, as Solidity does, if a field has bits above its type.
function requireClean(ISaltChannels.Channel calldata channel) pure {
    assembly ("memory-safe") {
        let accounts :=
            or(
                or(calldataload(channel), calldataload(add(channel, 0x20))),
                or(
                    calldataload(add(channel, 0x40)),
                    or(calldataload(add(channel, 0x60)), calldataload(add(channel, 0x80)))
                )
            )
        if or(shr(160, accounts), shr(32, calldataload(add(channel, 0xa0)))) { revert(0x00, 0x00) }
    }
}

function payerOf(ISaltChannels.Channel calldata channel) pure returns (address account) {
    assembly ("memory-safe") {
        account := shr(96, shl(96, calldataload(channel)))
    }
}

function payeeOf(ISaltChannels.Channel calldata channel) pure returns (address account) {
    assembly ("memory-safe") {
        account := shr(96, shl(96, calldataload(add(channel, 0x20))))
    }
}

function assetOf(ISaltChannels.Channel calldata channel) pure returns (address asset) {
    assembly ("memory-safe") {
        asset := shr(96, shl(96, calldataload(add(channel, 0x40))))
    }
}

function signerOf(ISaltChannels.Channel calldata channel) pure returns (address account) {
    assembly ("memory-safe") {
        account := shr(96, shl(96, calldataload(add(channel, 0x60))))
    }
}

function operatorOf(ISaltChannels.Channel calldata channel) pure returns (address account) {
    assembly ("memory-safe") {
        account := shr(96, shl(96, calldataload(add(channel, 0x80))))
    }
}

function exitDelayOf(ISaltChannels.Channel calldata channel) pure returns (uint32 delay) {
    assembly ("memory-safe") {
        delay := and(calldataload(add(channel, 0xa0)), 0xffffffff)
    }
}
