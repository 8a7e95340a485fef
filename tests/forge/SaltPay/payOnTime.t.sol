// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {SaltPayTest} from "./SaltPayTest.sol";

/// @notice `payOnTime`, `payTokenOnTime` and `payManyOnTime`: as the functions without a deadline, or not at all.
contract SaltPay_payOnTime is SaltPayTest {
    uint256 private constant DEADLINE = 1_800_000_000;
    uint256 private constant AMOUNT = 1 ether;

    PlainToken private token;

    function setUp() public override {
        super.setUp();
        vm.warp(DEADLINE);
        token = new PlainToken();
        token.mint(payer, 10 * AMOUNT);
        vm.prank(payer);
        token.approve(address(saltPay), type(uint256).max);
    }

    function test_payOnTime_pays_untilTheLastSecond() external {
        expectPayment(REFERENCE, payer, payee, NATIVE, AMOUNT);
        vm.prank(payer);
        saltPay.payOnTime{value: AMOUNT}(REFERENCE, by(DEADLINE, payee));

        assertEq(payee.balance, AMOUNT);
        assertEq(address(saltPay).balance, 0);
    }

    function test_payOnTime_reverts_whenTheDeadlineHasPassed() external {
        expectPassed(DEADLINE - 1);
        saltPay.payOnTime{value: AMOUNT}(REFERENCE, by(DEADLINE - 1, payee));

        assertEq(payer.balance, 100 ether);
    }

    function test_payOnTime_reverts_whenItIsGivenABareAddress() external {
        expectPassed(0);
        saltPay.payOnTime{value: AMOUNT}(REFERENCE, uint160(payee));
    }

    function test_payOnTime_reverts_asPayDoes() external {
        address refusing = address(new RefusingReceiver());
        vm.startPrank(payer);

        vm.expectRevert(ISaltPay.ZeroReference.selector);
        saltPay.payOnTime{value: AMOUNT}(bytes32(0), by(DEADLINE, payee));
        vm.expectRevert(ISaltPay.ZeroAmount.selector);
        saltPay.payOnTime(REFERENCE, by(DEADLINE, payee));
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidPayee.selector, address(0)));
        saltPay.payOnTime{value: AMOUNT}(REFERENCE, by(DEADLINE, address(0)));
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidPayee.selector, payer));
        saltPay.payOnTime{value: AMOUNT}(REFERENCE, by(DEADLINE, payer));
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidPayee.selector, address(saltPay)));
        saltPay.payOnTime{value: AMOUNT}(REFERENCE, by(DEADLINE, address(saltPay)));
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.PayeeRefused.selector, refusing, AMOUNT));
        saltPay.payOnTime{value: AMOUNT}(REFERENCE, by(DEADLINE, refusing));
    }

    function testFuzz_payOnTime_readsBothOfTheWord(uint96 deadline, address to, uint96 time, uint128 value) external {
        assumePayee(to);
        vm.assume(value != 0);
        vm.warp(time);
        vm.deal(payer, value);
        uint256 before = to.balance;

        if (time > deadline) expectPassed(deadline);
        else vm.prank(payer);
        saltPay.payOnTime{value: value}(REFERENCE, by(deadline, to));

        assertEq(to.balance, time > deadline ? before : before + value);
    }

    function test_payTokenOnTime_pays_untilTheLastSecond() external {
        expectPayment(REFERENCE, payer, payee, address(token), AMOUNT);
        vm.prank(payer);
        saltPay.payTokenOnTime(address(token), AMOUNT, by(DEADLINE, payee), REFERENCE);

        assertEq(token.balanceOf(payee), AMOUNT);
    }

    function test_payTokenOnTime_reverts_whenTheDeadlineHasPassed() external {
        expectPassed(DEADLINE - 1);
        saltPay.payTokenOnTime(address(token), AMOUNT, by(DEADLINE - 1, payee), REFERENCE);
    }

    function test_payTokenOnTime_reverts_asPayTokenDoes() external {
        vm.startPrank(payer);

        vm.expectRevert(ISaltPay.ZeroReference.selector);
        saltPay.payTokenOnTime(address(token), AMOUNT, by(DEADLINE, payee), bytes32(0));
        vm.expectRevert(ISaltPay.ZeroAmount.selector);
        saltPay.payTokenOnTime(address(token), 0, by(DEADLINE, payee), REFERENCE);
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidPayee.selector, address(saltPay)));
        saltPay.payTokenOnTime(address(token), AMOUNT, by(DEADLINE, address(saltPay)), REFERENCE);
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidAsset.selector, NATIVE));
        saltPay.payTokenOnTime(NATIVE, AMOUNT, by(DEADLINE, payee), REFERENCE);
        vm.expectRevert(
            abi.encodeWithSelector(ISaltPay.TransferRefused.selector, address(token), payer, 10 * AMOUNT + 1)
        );
        saltPay.payTokenOnTime(address(token), 10 * AMOUNT + 1, by(DEADLINE, payee), REFERENCE);
    }

    function test_payManyOnTime_paysBoth_orNeither() external {
        ISaltPay.Order[] memory orders = new ISaltPay.Order[](2);
        orders[0] = ISaltPay.Order({paymentReference: REFERENCE, payee: payee, asset: NATIVE, amount: AMOUNT});
        orders[1] =
            ISaltPay.Order({paymentReference: OTHER_REFERENCE, payee: payee, asset: address(token), amount: AMOUNT});

        expectPassed(DEADLINE - 1);
        saltPay.payManyOnTime{value: AMOUNT}(orders, DEADLINE - 1);
        assertEq(payee.balance, 0);

        expectPayment(REFERENCE, payer, payee, NATIVE, AMOUNT);
        expectPayment(OTHER_REFERENCE, payer, payee, address(token), AMOUNT);
        vm.prank(payer);
        saltPay.payManyOnTime{value: AMOUNT}(orders, DEADLINE);
    }

    function by(uint256 deadline, address to) private pure returns (uint256) {
        return deadline << 160 | uint160(to);
    }

    /// @dev The payer's next call must be refused as too late.
    function expectPassed(uint256 deadline) private {
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.DeadlinePassed.selector, deadline, block.timestamp));
        vm.prank(payer);
    }
}
