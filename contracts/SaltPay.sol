// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "./interfaces/ISaltPay.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
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

    /// @inheritdoc ISaltPay
    function pay(bytes32 paymentReference, address payee) external payable {
        payNative(paymentReference, payee, msg.value);
    }

    /// @inheritdoc ISaltPay
    function payToken(bytes32 paymentReference, address payee, address asset, uint256 amount) external {
        payByAllowance(paymentReference, payee, asset, amount);
    }

    /// @inheritdoc ISaltPay
    function payWithPermit(
        bytes32 paymentReference,
        address payee,
        address asset,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        // Whether the token took it does not matter: what counts is the allowance, and the transfer asks for it.
        if (asset.code.length > 0) {
            try IERC20Permit(asset).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        }

        payByAllowance(paymentReference, payee, asset, amount);
    }

    /// @inheritdoc ISaltPay
    /// @dev While a payee runs, the contract holds what the orders after it will send. Nobody else can have it sent:
    /// every call sends what came with it, counted down in a variable of its own.
    function payMany(Order[] calldata orders) external payable {
        if (orders.length == 0) revert NoOrders();

        uint256 left = msg.value;
        for (uint256 i = 0; i < orders.length; ++i) {
            Order calldata order = orders[i];
            if (order.asset == NATIVE) {
                if (order.amount > left) revert ValueTooSmall(left, order.amount);
                left -= order.amount;
                payNative(order.paymentReference, order.payee, order.amount);
            } else {
                payByAllowance(order.paymentReference, order.payee, order.asset, order.amount);
            }
        }
        if (left != 0) revert ValueTooLarge(left);
    }

    /// @dev Passes on `amount` of what came with the call.
    function payNative(bytes32 paymentReference, address payee, uint256 amount) private {
        requireComplete(paymentReference, payee, amount);

        // Copies nothing that the payee returns.
        if (!payee.trySafeTransferETH(amount, gasleft())) revert PayeeRefused(payee, amount);

        emit Payment(paymentReference, msg.sender, payee, NATIVE, amount);
    }

    /// @dev Moves `amount` of a token from the caller, who let this contract do so.
    function payByAllowance(bytes32 paymentReference, address payee, address asset, uint256 amount) private {
        requireComplete(paymentReference, payee, amount);
        // An event that names the zero address speaks of the native coin.
        if (asset == NATIVE) revert InvalidAsset(asset);

        if (transferring != 0) revert Reentered();
        transferring = 1;

        (bool readable, uint256 balanceBefore) = asset.checkBalanceOf(payee);
        if (!readable) revert InvalidAsset(asset);

        if (!asset.trySafeTransferFrom(msg.sender, payee, amount)) revert TransferRefused(asset, msg.sender, amount);

        // A balance that can no longer be read counts as zero here, and so is refused.
        uint256 balanceAfter = asset.balanceOf(payee);
        if (!hasGrown(balanceBefore, balanceAfter, amount)) {
            revert InexactTransfer(asset, amount, balanceBefore, balanceAfter);
        }

        transferring = 0;

        emit Payment(paymentReference, msg.sender, payee, asset, amount);
    }

    /// @dev What every payment needs, whatever it is paid in. All of it is asked at once, and what is missing is looked
    /// for only if something is: a jump for each question would cost more than the question.
    function requireComplete(bytes32 paymentReference, address payee, uint256 amount) private view {
        bool incomplete;
        assembly ("memory-safe") {
            let to := shl(96, payee)
            incomplete := or(
                or(iszero(paymentReference), iszero(amount)),
                or(iszero(to), or(eq(to, shl(96, caller())), eq(to, shl(96, address()))))
            )
        }
        if (!incomplete) return;

        if (paymentReference == bytes32(0)) revert ZeroReference();
        if (amount == 0) revert ZeroAmount();
        revert InvalidPayee(payee);
    }

    /// @dev Whether after = before + amount, without an overflow. In one expression, as above.
    function hasGrown(uint256 balanceBefore, uint256 balanceAfter, uint256 amount) private pure returns (bool exactly) {
        assembly ("memory-safe") {
            exactly := iszero(or(lt(balanceAfter, amount), xor(sub(balanceAfter, amount), balanceBefore)))
        }
    }
}
