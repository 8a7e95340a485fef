// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "./interfaces/ISaltPay.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

/// @title SaltPay
/// @notice Pays a payee for a reference and says so in one event. {ISaltPay} is the documentation.
contract SaltPay is ISaltPay {
    /// @dev How events name the native coin.
    address private constant NATIVE = address(0);

    /// @dev The topics of the events.
    bytes32 private constant PAYMENT = keccak256("Payment(bytes32,address,address,address,uint256)");
    bytes32 private constant REFUND = keccak256("Refund(bytes32,address,address,address,uint256)");

    /// @dev The deadline of what has none.
    uint256 private constant NEVER = type(uint256).max;

    /// @dev 1 while a token is transferring, so that one that calls back cannot have one transfer measured, and
    /// reported, by two payments. A whole word: a bool would have to be read before it is written.
    uint256 private transient transferring;

    /// @dev Passes on `amount` of what came with the call, and says so in an event with the topic `what`.
    ///
    /// A modifier, so that every function has it in itself: a jump to shared code, and back, costs more than the checks.
    /// What is missing is looked for only if something is. The event's words are on the stack, and need no encoder.
    modifier sendsNative(bytes32 what, bytes32 paymentReference, address to, uint256 amount, uint256 deadline) {
        bool sent;
        assembly ("memory-safe") {
            if iszero(
                or(
                    or(iszero(paymentReference), or(iszero(amount), lt(deadline, timestamp()))),
                    or(iszero(to), eq(to, caller()))
                )
            ) {
                // With all the gas that is left. Copies nothing that the recipient returns. This contract refuses coins.
                sent := call(gas(), to, amount, 0x00, 0x00, 0x00, 0x00)
            }
        }
        if (!sent) {
            requireComplete(paymentReference, to, amount, deadline);
            revert PayeeRefused(to, amount);
        }
        assembly ("memory-safe") {
            // The asset is the native coin.
            mstore(0x00, 0)
            mstore(0x20, amount)
            log4(0x00, 0x40, what, paymentReference, caller(), to)
        }
        _;
    }

    /// @dev Moves `amount` of a token from the caller, who let this contract do so, and says so in an event with the
    /// topic `what`. A modifier for the same reason.
    modifier sendsToken(
        bytes32 what,
        bytes32 paymentReference,
        address to,
        address asset,
        uint256 amount,
        uint256 deadline
    ) {
        bool refused;
        assembly ("memory-safe") {
            refused := or(
                or(iszero(paymentReference), or(iszero(amount), lt(deadline, timestamp()))),
                or(iszero(to), or(eq(to, caller()), eq(to, address())))
            )
        }
        if (refused) requireComplete(paymentReference, to, amount, deadline);

        if (transferring != 0) revert Reentered();
        transferring = 1;

        assembly ("memory-safe") {
            // The calls are written over the free memory pointer and the zero after it, which are put back at the end.
            let free := mload(0x40)
            mstore(0x40, to)

            // balanceOf(to). An event that named the zero address would speak of the native coin.
            // Arguments are evaluated from the last to the first, here and below.
            mstore(0x20, 0x70a08231)
            if iszero(mul(asset, and(gt(returndatasize(), 0x1f), staticcall(gas(), asset, 0x3c, 0x24, 0x00, 0x20)))) {
                mstore(0x00, 0x6f79c78a) // InvalidAsset(address)
                mstore(0x20, asset)
                revert(0x1c, 0x24)
            }
            let balanceBefore := mload(0x00)

            // transferFrom(caller, to, amount). An asset that has answered a balance has code, so that nothing at all is
            // an answer too. Less than a word over the selector does not read as one.
            mstore(0x00, 0x23b872dd)
            mstore(0x20, caller())
            mstore(0x60, amount)
            if iszero(
                and(or(iszero(returndatasize()), eq(mload(0x00), 1)), call(gas(), asset, 0, 0x1c, 0x64, 0x00, 0x20))
            ) {
                mstore(0x00, 0xd386b289) // TransferRefused(address,address,uint256)
                mstore(0x20, asset)
                mstore(0x40, caller())
                revert(0x1c, 0x64)
            }

            // A balance that can no longer be read counts as zero.
            mstore(0x20, 0x70a08231)
            let balanceAfter :=
                mul(mload(0x00), and(gt(returndatasize(), 0x1f), staticcall(gas(), asset, 0x3c, 0x24, 0x00, 0x20)))
            // So it is refused, unless the balance before was near 2^256, from where this passes over it: a token that says
            // so could as well say anything.
            if xor(sub(balanceAfter, balanceBefore), amount) {
                mstore(free, 0x395668ed) // InexactTransfer(address,uint256,uint256,uint256)
                mstore(add(free, 0x20), asset)
                mstore(add(free, 0x40), amount)
                mstore(add(free, 0x60), balanceBefore)
                mstore(add(free, 0x80), balanceAfter)
                revert(add(free, 0x1c), 0x84)
            }
            mstore(0x40, free)
            mstore(0x60, 0)

            mstore(0x00, asset)
            mstore(0x20, amount)
            log4(0x00, 0x40, what, paymentReference, caller(), to)
        }
        transferring = 0;
        _;
    }

    /// @inheritdoc ISaltPay
    function pay(bytes32 paymentReference, address payee)
        external
        payable
        sendsNative(PAYMENT, paymentReference, payee, msg.value, NEVER)
    {}

    /// @inheritdoc ISaltPay
    function payOnTime(bytes32 paymentReference, uint256 deadlineAndPayee)
        external
        payable
        sendsNative(PAYMENT, paymentReference, payeeIn(deadlineAndPayee), msg.value, deadlineIn(deadlineAndPayee))
    {}

    /// @inheritdoc ISaltPay
    function payToken(bytes32 paymentReference, address payee, address asset, uint256 amount)
        external
        sendsToken(PAYMENT, paymentReference, payee, asset, amount, NEVER)
    {}

    /// @inheritdoc ISaltPay
    function payTokenOnTime(address asset, uint256 amount, uint256 deadlineAndPayee, bytes32 paymentReference)
        external
        sendsToken(PAYMENT, paymentReference, payeeIn(deadlineAndPayee), asset, amount, deadlineIn(deadlineAndPayee))
    {}

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

        sendToken(paymentReference, payee, asset, amount, deadline);
    }

    /// @inheritdoc ISaltPay
    function payMany(Order[] calldata orders) external payable {
        payOrders(orders, NEVER);
    }

    /// @inheritdoc ISaltPay
    function payManyOnTime(Order[] calldata orders, uint256 deadline) external payable {
        payOrders(orders, deadline);
    }

    /// @inheritdoc ISaltPay
    function refund(bytes32 paymentReference, address payer)
        external
        payable
        sendsNative(REFUND, paymentReference, payer, msg.value, NEVER)
    {}

    /// @inheritdoc ISaltPay
    function refundToken(bytes32 paymentReference, address payer, address asset, uint256 amount)
        external
        sendsToken(REFUND, paymentReference, payer, asset, amount, NEVER)
    {}

    /// @dev While a payee runs, the contract holds what the orders after it will send. Nobody else can have it sent:
    /// every call sends what came with it, counted down in a variable of its own.
    function payOrders(Order[] calldata orders, uint256 deadline) private {
        if (orders.length == 0) revert NoOrders();

        uint256 left = msg.value;
        for (uint256 i = 0; i < orders.length; ++i) {
            Order calldata order = orders[i];
            if (order.asset == NATIVE) {
                if (order.amount > left) revert ValueTooSmall(left, order.amount);
                left -= order.amount;
                sendNative(order.paymentReference, order.payee, order.amount, deadline);
            } else {
                sendToken(order.paymentReference, order.payee, order.asset, order.amount, deadline);
            }
        }
        if (left != 0) revert ValueTooLarge(left);
    }

    function sendNative(bytes32 paymentReference, address payee, uint256 amount, uint256 deadline)
        private
        sendsNative(PAYMENT, paymentReference, payee, amount, deadline)
    {}

    function sendToken(bytes32 paymentReference, address payee, address asset, uint256 amount, uint256 deadline)
        private
        sendsToken(PAYMENT, paymentReference, payee, asset, amount, deadline)
    {}

    /// @dev What every payment and refund needs, whatever it is in.
    /// A block producer can move the time by seconds, and the end of a quote is no finer than that.
    // forge-lint: disable-next-item(block-timestamp)
    function requireComplete(bytes32 paymentReference, address to, uint256 amount, uint256 deadline) private view {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, block.timestamp);
        if (paymentReference == bytes32(0)) revert ZeroReference();
        if (amount == 0) revert ZeroAmount();
        if (to == address(0) || to == msg.sender || to == address(this)) revert InvalidPayee(to);
    }

    function payeeIn(uint256 deadlineAndPayee) private pure returns (address payee) {
        assembly ("memory-safe") {
            payee := shr(96, shl(96, deadlineAndPayee))
        }
    }

    function deadlineIn(uint256 deadlineAndPayee) private pure returns (uint256) {
        return deadlineAndPayee >> 160;
    }
}
