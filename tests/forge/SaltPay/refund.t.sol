// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";
import {FeeOnTransferToken} from "../mocks/FeeOnTransferToken.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {ReenteringToken} from "../mocks/ReenteringToken.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {SaltPayTest} from "./SaltPayTest.sol";
import {Vm} from "forge-std/Vm.sol";

/// @notice The payee gives back: `refund` in the native coin, `refundToken` in a token.
contract SaltPay_refund is SaltPayTest {
    uint256 private constant AMOUNT = 1 ether;

    PlainToken private token;

    function setUp() public override {
        super.setUp();
        vm.deal(payee, 10 * AMOUNT);
        token = fund(new PlainToken());
    }

    function test_refund_movesTheWholeValueToThePayer() external {
        expectRefund(NATIVE);
        vm.prank(payee);
        saltPay.refund{value: AMOUNT}(REFERENCE, payer);

        assertEq(payer.balance, 100 ether + AMOUNT);
        assertEq(payee.balance, 9 * AMOUNT);
        assertEq(address(saltPay).balance, 0);
    }

    /// @dev Whoever counts payments must not count it.
    function test_refund_isNoPayment() external {
        vm.recordLogs();
        vm.prank(payee);
        saltPay.refund{value: AMOUNT}(REFERENCE, payer);

        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 1);
        assertEq(logs[0].topics[0], keccak256("Refund(bytes32,address,address,address,uint256)"));
        assertEq(logs[0].topics[1], REFERENCE);
        assertEq(logs[0].topics[2], bytes32(uint256(uint160(payee))));
        assertEq(logs[0].topics[3], bytes32(uint256(uint160(payer))));
        assertEq(logs[0].data, abi.encode(NATIVE, AMOUNT));
    }

    function test_refund_reverts_whenItIsIncomplete() external {
        address refusing = address(new RefusingReceiver());
        vm.startPrank(payee);

        vm.expectRevert(ISaltPay.ZeroReference.selector);
        saltPay.refund{value: AMOUNT}(bytes32(0), payer);
        vm.expectRevert(ISaltPay.ZeroAmount.selector);
        saltPay.refund(REFERENCE, payer);
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidPayee.selector, payee));
        saltPay.refund{value: AMOUNT}(REFERENCE, payee);
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidPayee.selector, address(0)));
        saltPay.refund{value: AMOUNT}(REFERENCE, address(0));
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.PayeeRefused.selector, refusing, AMOUNT));
        saltPay.refund{value: AMOUNT}(REFERENCE, refusing);

        assertEq(payee.balance, 10 * AMOUNT);
    }

    function test_refundToken_movesTheAmountToThePayer() external {
        expectRefund(address(token));
        vm.prank(payee);
        saltPay.refundToken(REFERENCE, payer, address(token), AMOUNT);

        assertEq(token.balanceOf(payer), AMOUNT);
        assertEq(token.balanceOf(payee), 9 * AMOUNT);
        assertEq(token.balanceOf(address(saltPay)), 0);
    }

    function test_refundToken_reverts_whenItIsIncomplete() external {
        PlainToken fee = fund(new FeeOnTransferToken());
        vm.startPrank(payee);

        vm.expectRevert(ISaltPay.ZeroReference.selector);
        saltPay.refundToken(bytes32(0), payer, address(token), AMOUNT);
        vm.expectRevert(ISaltPay.ZeroAmount.selector);
        saltPay.refundToken(REFERENCE, payer, address(token), 0);
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidAsset.selector, NATIVE));
        saltPay.refundToken(REFERENCE, payer, NATIVE, AMOUNT);
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InexactTransfer.selector, fee, AMOUNT, 0, AMOUNT - 1));
        saltPay.refundToken(REFERENCE, payer, address(fee), AMOUNT);
    }

    /// @dev One movement of balances must not be told as a payment and as a refund.
    function test_refundToken_isRefused_whileATokenPays() external {
        ReenteringToken reentering = new ReenteringToken();
        fund(reentering);
        vm.prank(payee);
        reentering.approve(address(saltPay), type(uint256).max);
        reentering.mint(address(reentering), AMOUNT);
        reentering.reenter(
            address(saltPay), abi.encodeCall(ISaltPay.refundToken, (REFERENCE, payer, address(reentering), AMOUNT))
        );

        vm.prank(payee);
        saltPay.payToken(REFERENCE, payer, address(reentering), AMOUNT);

        assertFalse(reentering.called());
        assertEq(reentering.answer(), abi.encodePacked(ISaltPay.Reentered.selector));
    }

    function testFuzz_refund_givesExactlyTheValue(bytes32 paymentReference, address to, uint128 value) external {
        assumePayee(to);
        vm.assume(to != payee && paymentReference != bytes32(0) && value != 0);
        vm.deal(payee, value);
        uint256 before = to.balance;

        vm.prank(payee);
        saltPay.refund{value: value}(paymentReference, to);

        assertEq(to.balance, before + value);
        assertEq(payee.balance, 0);
    }

    function fund(PlainToken asset) private returns (PlainToken) {
        asset.mint(payee, 10 * AMOUNT);
        vm.prank(payee);
        asset.approve(address(saltPay), type(uint256).max);
        return asset;
    }

    function expectRefund(address asset) private {
        vm.expectEmit(address(saltPay));
        emit ISaltPay.Refund(REFERENCE, payee, payer, asset, AMOUNT);
    }
}
