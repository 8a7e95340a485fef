// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../interfaces/ISaltChannels.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @title ExactTransfer
/// @notice Sends money out of the calling contract, and measures what comes in by the contract's own balance.
library ExactTransfer {
    using SafeTransferLib for address;

    /// @dev How the native coin is named.
    address internal constant NATIVE = address(0);

    /// @notice Sends `amount`, or nothing and returns false.
    /// @dev A token that reverts has moved nothing; one that returns true or nothing has transferred. If it returns
    /// anything else, the balance decides: some tokens transfer and say false. One that moved another amount reverts.
    /// @param gasLimit The gas for a recipient of the native coin, or what is left if that is less. Tokens get all.
    function trySend(address asset, address to, uint256 amount, uint256 gasLimit) internal returns (bool) {
        // Copies nothing that the recipient returns.
        if (asset == NATIVE) return to.trySafeTransferETH(amount, gasLimit);

        uint256 balanceBefore = asset.balanceOf(address(this));
        (bool success, bool plain) = transfer(asset, to, amount);
        if (plain || !success) return success;

        uint256 balanceAfter = balanceOf(asset);
        if (balanceAfter == balanceBefore) return false;
        if (balanceAfter > balanceBefore || balanceBefore - balanceAfter != amount) {
            revert ISaltChannels.InexactTransfer(asset, amount, balanceBefore, balanceAfter);
        }
        return true;
    }

    /// @notice The contract's balance of a token.
    function balanceOf(address asset) internal view returns (uint256) {
        (bool readable, uint256 balance) = asset.checkBalanceOf(address(this));
        if (!readable) revert ISaltChannels.InvalidAsset(asset);
        return balance;
    }

    /// @notice Reverts unless the contract's balance of a token has grown by exactly `amount`.
    function requireReceived(address asset, uint256 amount, uint256 balanceBefore) internal view {
        // A balance that can no longer be read counts as zero here, and so is refused.
        uint256 balanceAfter = asset.balanceOf(address(this));
        if (balanceAfter < balanceBefore || balanceAfter - balanceBefore != amount) {
            revert ISaltChannels.InexactTransfer(asset, amount, balanceBefore, balanceAfter);
        }
    }

    /// @dev Copies one word of what the token returns, however much that is.
    /// @return success Whether it did not revert.
    /// @return plain Whether it has code and returned true or nothing.
    function transfer(address asset, address to, uint256 amount) private returns (bool success, bool plain) {
        assembly ("memory-safe") {
            // In the scratch space and the upper bytes of the free memory pointer, which are zero, and are again after.
            mstore(0x14, to)
            mstore(0x34, amount)
            mstore(0x00, 0xa9059cbb000000000000000000000000)
            success := call(gas(), asset, 0, 0x10, 0x44, 0x00, 0x20)
            mstore(0x34, 0)
            switch returndatasize()
            case 0 { plain := and(success, gt(extcodesize(asset), 0)) }
            default { plain := and(success, and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1))) }
        }
    }
}
