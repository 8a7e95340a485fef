// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";
import {GasBurningReceiver} from "../mocks/GasBurningReceiver.sol";
import {ReentrantReceiver} from "../mocks/ReentrantReceiver.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {ReturnBombReceiver} from "../mocks/ReturnBombReceiver.sol";
import {WalletReceiver} from "../mocks/WalletReceiver.sol";
import {SaltPayTest} from "./SaltPayTest.sol";
import {Vm} from "forge-std/Vm.sol";

contract SaltPay_pay is SaltPayTest {
    function test_pay_movesTheWholeValueToThePayee() external {
        vm.prank(payer);
        saltPay.pay{value: 1 ether}(REFERENCE, payee);

        assertEq(payee.balance, 1 ether);
        assertEq(payer.balance, 99 ether);
        assertEq(address(saltPay).balance, 0);
    }

    function test_pay_saysEverythingInOneEvent() external {
        vm.recordLogs();
        vm.prank(payer);
        saltPay.pay{value: 1 ether}(REFERENCE, payee);

        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 1);
        assertEq(logs[0].emitter, address(saltPay));
        assertEq(logs[0].topics.length, 4);
        assertEq(logs[0].topics[0], keccak256("Payment(bytes32,address,address,address,uint256)"));
        assertEq(logs[0].topics[1], REFERENCE);
        assertEq(logs[0].topics[2], bytes32(uint256(uint160(payer))));
        assertEq(logs[0].topics[3], bytes32(uint256(uint160(payee))));
        assertEq(logs[0].data, abi.encode(NATIVE, 1 ether));
    }

    function test_pay_paysTheSameReferenceTwice() external {
        vm.startPrank(payer);
        saltPay.pay{value: 1 ether}(REFERENCE, payee);
        expectPayment(REFERENCE, payer, payee, NATIVE, 2 ether);
        saltPay.pay{value: 2 ether}(REFERENCE, payee);

        assertEq(payee.balance, 3 ether);
    }

    function test_pay_paysAContractThatWritesToStorage() external {
        WalletReceiver wallet = new WalletReceiver();

        expectPayment(REFERENCE, payer, address(wallet), NATIVE, 1 ether);
        vm.prank(payer);
        saltPay.pay{value: 1 ether}(REFERENCE, address(wallet));

        assertEq(wallet.received(), 1 ether);
    }

    function test_pay_reverts_whenReferenceIsZero() external {
        vm.expectRevert(ISaltPay.ZeroReference.selector);
        vm.prank(payer);
        saltPay.pay{value: 1 ether}(bytes32(0), payee);
    }

    function test_pay_reverts_whenValueIsZero() external {
        vm.expectRevert(ISaltPay.ZeroAmount.selector);
        vm.prank(payer);
        saltPay.pay(REFERENCE, payee);
    }

    function test_pay_reverts_whenPayeeIsZero() external {
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidPayee.selector, address(0)));
        vm.prank(payer);
        saltPay.pay{value: 1 ether}(REFERENCE, address(0));
    }

    function test_pay_reverts_whenPayeeIsTheContract() external {
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidPayee.selector, address(saltPay)));
        vm.prank(payer);
        saltPay.pay{value: 1 ether}(REFERENCE, address(saltPay));
    }

    function test_pay_reverts_whenPayeeIsThePayer() external {
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidPayee.selector, payer));
        vm.prank(payer);
        saltPay.pay{value: 1 ether}(REFERENCE, payer);
    }

    function test_pay_reverts_whenPayeeRefuses() external {
        address refusing = address(new RefusingReceiver());

        vm.expectRevert(abi.encodeWithSelector(ISaltPay.PayeeRefused.selector, refusing, 1 ether));
        vm.prank(payer);
        saltPay.pay{value: 1 ether}(REFERENCE, refusing);

        assertEq(payer.balance, 100 ether);
        assertEq(refusing.balance, 0);
    }

    function test_pay_reverts_whenPayeeBurnsItsGas() external {
        address burning = address(new GasBurningReceiver());

        vm.expectRevert(abi.encodeWithSelector(ISaltPay.PayeeRefused.selector, burning, 1 ether));
        vm.prank(payer);
        saltPay.pay{value: 1 ether, gas: 200_000}(REFERENCE, burning);
    }

    /// @dev A million bytes of memory cost two million gas. The payee pays them once; a caller that copied the return
    /// data would pay them again, and the gas given here would not be enough.
    function test_pay_copiesNothing_whenPayeeReturnsABomb() external {
        address bomb = address(new ReturnBombReceiver(false));

        vm.prank(payer);
        saltPay.pay{value: 1 ether, gas: 2_400_000}(REFERENCE, bomb);

        assertEq(bomb.balance, 1 ether);
    }

    /// @dev As above, with a revert: a caller that copied would run out of gas and have no error to show.
    function test_pay_reverts_whenPayeeRevertsWithABomb() external {
        address bomb = address(new ReturnBombReceiver(true));

        vm.expectRevert(abi.encodeWithSelector(ISaltPay.PayeeRefused.selector, bomb, 1 ether));
        vm.prank(payer);
        saltPay.pay{value: 1 ether, gas: 2_400_000}(REFERENCE, bomb);
    }

    function test_pay_letsThePayeePayAgain_whileItIsPaid() external {
        address receiver = address(new ReentrantReceiver(saltPay, OTHER_REFERENCE, payee));

        expectPayment(OTHER_REFERENCE, receiver, payee, NATIVE, 0.5 ether);
        expectPayment(REFERENCE, payer, receiver, NATIVE, 1 ether);
        vm.prank(payer);
        saltPay.pay{value: 1 ether}(REFERENCE, receiver);

        assertEq(receiver.balance, 0.5 ether);
        assertEq(payee.balance, 0.5 ether);
        assertEq(address(saltPay).balance, 0);
    }

    function testFuzz_pay_givesThePayeeExactlyTheValue(bytes32 paymentReference, address to, uint256 value) external {
        assumePayee(to);
        vm.assume(paymentReference != bytes32(0));
        value = bound(value, 1, type(uint128).max);
        vm.deal(payer, value);
        uint256 balanceBefore = to.balance;

        expectPayment(paymentReference, payer, to, NATIVE, value);
        vm.prank(payer);
        saltPay.pay{value: value}(paymentReference, to);

        assertEq(to.balance, balanceBefore + value);
        assertEq(payer.balance, 0);
        assertEq(address(saltPay).balance, 0);
    }
}
