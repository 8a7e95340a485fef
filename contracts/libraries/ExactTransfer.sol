// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../interfaces/ISaltChannels.sol";
import {CalleeGas} from "./CalleeGas.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @title ExactTransfer
/// @notice Sends money out of the calling contract, and measures what comes in by the contract's own balance.
library ExactTransfer {
    using SafeTransferLib for address;

    /// @dev How the native coin is named.
    address internal constant NATIVE = address(0);

    /// @dev The gas that an account gets for being sent the native coin, so that one that burns it cannot hold up who
    /// is paid in the same transaction.
    uint256 private constant SEND_GAS = 100_000;

    /// @dev The gas that a token gets for a transfer, and with it whoever the token calls.
    uint256 private constant TRANSFER_GAS = 200_000;

    /// @notice Sends `amount`, or nothing and returns false. Reverts if the gas was too little to know.
    /// @dev A token that reverts has moved nothing, nor has one whose code is gone; one that returns true or nothing has
    /// transferred. Of any other answer nobody knows, and this reverts: the contract's balance would tell, but only if it
    /// were read before every transfer.
    function trySend(address asset, address to, uint256 amount) internal returns (bool success) {
        uint256 gasBefore = gasleft();
        if (asset == NATIVE) {
            // Copies nothing that the recipient returns.
            success = to.trySafeTransferETH(amount, SEND_GAS);
            if (!success) CalleeGas.requireGivenWithValue(to, gasBefore, SEND_GAS);
            return success;
        }

        bool plain;
        (success, plain) = transfer(asset, to, amount, TRANSFER_GAS);
        if (plain) return true;
        if (success) {
            if (asset.code.length == 0) return false;
            revert ISaltChannels.UnclearTransfer(asset, to, amount);
        }
        CalleeGas.requireGiven(asset, gasBefore, TRANSFER_GAS);
    }

    /// @notice Sends `amount` with all the gas that is left, or nothing and returns false.
    /// @dev Of an answer that is neither true nor nothing the balance decides: some tokens transfer and say false. One that
    /// moved another amount reverts.
    function trySendMeasured(address asset, address to, uint256 amount) internal returns (bool) {
        if (asset == NATIVE) return to.trySafeTransferETH(amount, gasleft());

        uint256 balanceBefore = asset.balanceOf(address(this));
        (bool success, bool plain) = transfer(asset, to, amount, gasleft());
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
    function transfer(address asset, address to, uint256 amount, uint256 gasLimit)
        private
        returns (bool success, bool plain)
    {
        assembly ("memory-safe") {
            // In the scratch space and the upper bytes of the free memory pointer, which are zero, and are again after.
            mstore(0x14, to)
            mstore(0x34, amount)
            mstore(0x00, 0xa9059cbb000000000000000000000000)
            success := call(gasLimit, asset, 0, 0x10, 0x44, 0x00, 0x20)
            mstore(0x34, 0)
            switch returndatasize()
            case 0 { plain := and(success, gt(extcodesize(asset), 0)) }
            default { plain := and(success, and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1))) }
        }
    }
}
