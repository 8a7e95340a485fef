// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @notice Numbers that look random and follow from a seed alone.
struct Dice {
    uint256 seed;
    uint256 rolls;
}

using {word, roll, oneIn, near} for Dice global;

/// @dev Any number.
function word(Dice memory dice) pure returns (uint256) {
    return uint256(keccak256(abi.encode(dice.seed, ++dice.rolls)));
}

/// @dev A number below `sides`.
function roll(Dice memory dice, uint256 sides) pure returns (uint256) {
    return dice.word() % sides;
}

/// @dev Yes, once in so many times.
function oneIn(Dice memory dice, uint256 times) pure returns (bool) {
    return dice.roll(times) == 0;
}

/// @dev What lies at a boundary: the number, one less or more, zero, one, the greatest, or any.
function near(Dice memory dice, uint256 boundary) pure returns (uint256) {
    unchecked {
        uint256 where = dice.roll(8);
        if (where == 0) return boundary - 1;
        if (where == 1) return boundary + 1;
        if (where == 2) return 0;
        if (where == 3) return 1;
        if (where == 4) return type(uint256).max;
        if (where == 5) return dice.word();
        return boundary;
    }
}
