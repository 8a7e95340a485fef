// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice A contract wallet that answers whether it signed something in a way that hurts who asks.
contract HostileWallet {
    enum Way {
        BurnsGas,
        ReturnsABomb,
        RevertsWithABomb,
        ReturnsLess,
        SaysSomethingElse
    }

    Way private immutable way;

    constructor(Way way_) {
        way = way_;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        Way hurt = way;
        if (hurt == Way.SaysSomethingElse) return 0xffffffff;
        assembly ("memory-safe") {
            switch hurt
            case 0 { invalid() }
            // As much as its gas can pay for.
            case 1 { return(0x00, 400000) }
            case 2 { revert(0x00, 400000) }
            default {
                // The right word, but not all of it.
                mstore(0x00, shl(224, 0x1626ba7e))
                return(0x00, 0x04)
            }
        }
    }
}
