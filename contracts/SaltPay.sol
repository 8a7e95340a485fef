// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "./interfaces/ISaltPay.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @title SaltPay
/// @notice Pays a payee for a reference and says so in one event. {ISaltPay} is the documentation.
contract SaltPay is ISaltPay {
    using SafeTransferLib for address;

    /// @dev How events name the native coin.
    address private constant NATIVE = address(0);

    /// @dev 1 while a token is transferring, so that one that calls back cannot have one transfer measured, and
    /// reported, by two payments. A whole word: a bool would have to be read before it is written.
    uint256 private transient transferring;

    /// @dev What every payment needs, whatever it is paid in.
    modifier onlyComplete(bytes32 paymentReference, address payee, uint256 amount) {
        if (paymentReference == bytes32(0)) revert ZeroReference();
        if (amount == 0) revert ZeroAmount();
        if (payee == address(0) || payee == address(this) || payee == msg.sender) revert InvalidPayee(payee);
        _;
    }

    /// @inheritdoc ISaltPay
    function pay(bytes32 paymentReference, address payee)
        external
        payable
        onlyComplete(paymentReference, payee, msg.value)
    {
        // Copies nothing that the payee returns.
        if (!payee.trySafeTransferETH(msg.value, gasleft())) revert PayeeRefused(payee, msg.value);

        emit Payment(paymentReference, msg.sender, payee, NATIVE, msg.value);
    }

    /// @inheritdoc ISaltPay
    function payToken(bytes32 paymentReference, address payee, address asset, uint256 amount)
        external
        onlyComplete(paymentReference, payee, amount)
    {
        // An event that names the zero address speaks of the native coin.
        if (asset == NATIVE) revert InvalidAsset(asset);

        if (transferring != 0) revert Reentered();
        transferring = 1;

        (bool readable, uint256 balanceBefore) = asset.checkBalanceOf(payee);
        if (!readable) revert InvalidAsset(asset);

        if (!asset.trySafeTransferFrom(msg.sender, payee, amount)) revert TransferRefused(asset, msg.sender, amount);

        // A balance that can no longer be read counts as zero here, and so is refused.
        uint256 balanceAfter = asset.balanceOf(payee);
        if (balanceAfter < balanceBefore || balanceAfter - balanceBefore != amount) {
            revert InexactTransfer(asset, amount, balanceBefore, balanceAfter);
        }

        transferring = 0;

        emit Payment(paymentReference, msg.sender, payee, asset, amount);
    }
}
