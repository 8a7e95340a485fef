// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";
import {FeeOnTransferToken} from "../mocks/FeeOnTransferToken.sol";
import {GreedyReceiver} from "../mocks/GreedyReceiver.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {ReentrantReceiver} from "../mocks/ReentrantReceiver.sol";
import {ReentrantToken} from "../mocks/ReentrantToken.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {ReturnBombReceiver} from "../mocks/ReturnBombReceiver.sol";
import {SaltPayTest} from "./SaltPayTest.sol";
import {Vm} from "forge-std/Vm.sol";

contract SaltPay_payMany is SaltPayTest {
    uint256 private constant FUNDS = 100 ether;

    PlainToken private token;
    address private second = makeAddr("second");

    function setUp() public override {
        super.setUp();
        token = fund(new PlainToken());
    }

    function test_payMany_paysEach() external {
        ISaltPay.Order[] memory orders = three();

        vm.prank(payer);
        saltPay.payMany{value: 3 ether}(orders);

        assertEq(payee.balance, 1 ether);
        assertEq(second.balance, 2 ether);
        assertEq(token.balanceOf(second), 5 ether);
        assertEq(payer.balance, 97 ether);
        assertEq(address(saltPay).balance, 0);
        assertEq(token.balanceOf(address(saltPay)), 0);
    }

    function test_payMany_saysEachInAnEventOfItsOwn_inOrder() external {
        ISaltPay.Order[] memory orders = three();

        vm.recordLogs();
        vm.prank(payer);
        saltPay.payMany{value: 3 ether}(orders);

        Vm.Log[] memory logs = vm.getRecordedLogs();
        // One is the token's.
        assertEq(logs.length, 4);
        uint256 next = 0;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(saltPay)) continue;
            assertEq(logs[i].topics[0], keccak256("Payment(bytes32,address,address,address,uint256)"));
            assertEq(logs[i].topics[1], orders[next].paymentReference);
            assertEq(logs[i].topics[2], bytes32(uint256(uint160(payer))));
            assertEq(logs[i].topics[3], bytes32(uint256(uint160(orders[next].payee))));
            assertEq(logs[i].data, abi.encode(orders[next].asset, orders[next].amount));
            ++next;
        }
        assertEq(next, 3);
    }

    function test_payMany_paysTheSameOrderTwice() external {
        ISaltPay.Order[] memory orders = new ISaltPay.Order[](2);
        orders[0] = orders[1] = native(payee, 1 ether);

        vm.prank(payer);
        saltPay.payMany{value: 2 ether}(orders);

        assertEq(payee.balance, 2 ether);
    }

    function test_payMany_paysInTokensAlone_withoutValue() external {
        ISaltPay.Order[] memory orders = new ISaltPay.Order[](2);
        orders[0] = inToken(payee, 1 ether);
        orders[1] = inToken(second, 2 ether);

        vm.prank(payer);
        saltPay.payMany(orders);

        assertEq(token.balanceOf(payee), 1 ether);
        assertEq(token.balanceOf(second), 2 ether);
    }

    function test_payMany_reverts_withoutOrders() external {
        vm.expectRevert(ISaltPay.NoOrders.selector);
        vm.prank(payer);
        saltPay.payMany{value: 1 ether}(new ISaltPay.Order[](0));
    }

    function test_payMany_reverts_whenValueIsTooSmall() external {
        expectRevertOf(
            three(), 3 ether - 1, abi.encodeWithSelector(ISaltPay.ValueTooSmall.selector, 2 ether - 1, 2 ether)
        );
    }

    /// @dev The same value must not pay twice.
    function test_payMany_reverts_whenOrdersShareTheValue() external {
        ISaltPay.Order[] memory orders = new ISaltPay.Order[](2);
        orders[0] = orders[1] = native(payee, 1 ether);

        expectRevertOf(orders, 1 ether, abi.encodeWithSelector(ISaltPay.ValueTooSmall.selector, 0, 1 ether));
    }

    function test_payMany_reverts_whenValueIsTooLarge() external {
        expectRevertOf(three(), 3 ether + 1, abi.encodeWithSelector(ISaltPay.ValueTooLarge.selector, 1));
    }

    function test_payMany_reverts_whenTokensComeWithValue() external {
        ISaltPay.Order[] memory orders = new ISaltPay.Order[](1);
        orders[0] = inToken(payee, 1 ether);

        expectRevertOf(orders, 1 ether, abi.encodeWithSelector(ISaltPay.ValueTooLarge.selector, 1 ether));
    }

    function test_payMany_reverts_whenTheSumOverflows() external {
        ISaltPay.Order[] memory orders = new ISaltPay.Order[](2);
        orders[0] = native(payee, 1 ether);
        orders[1] = native(payee, type(uint256).max);

        expectRevertOf(orders, 1 ether, abi.encodeWithSelector(ISaltPay.ValueTooSmall.selector, 0, type(uint256).max));
    }

    function test_payMany_reverts_whenAReferenceIsZero() external {
        ISaltPay.Order[] memory orders = three();
        orders[1].paymentReference = bytes32(0);

        expectRevertOf(orders, 3 ether, abi.encodePacked(ISaltPay.ZeroReference.selector));
    }

    function test_payMany_reverts_whenAnAmountIsZero() external {
        ISaltPay.Order[] memory orders = three();
        orders[0].amount = 0;

        expectRevertOf(orders, 2 ether, abi.encodePacked(ISaltPay.ZeroAmount.selector));
    }

    function test_payMany_reverts_whenAPayeeIsInvalid() external {
        address[3] memory invalid = [address(0), address(saltPay), payer];
        for (uint256 i = 0; i < invalid.length; ++i) {
            ISaltPay.Order[] memory orders = three();
            orders[2].payee = invalid[i];
            expectRevertOf(orders, 3 ether, abi.encodeWithSelector(ISaltPay.InvalidPayee.selector, invalid[i]));
        }
    }

    function test_payMany_paysNobody_whenOneRefuses() external {
        ISaltPay.Order[] memory orders = three();
        orders[1].payee = address(new RefusingReceiver());

        expectRevertOf(
            orders, 3 ether, abi.encodeWithSelector(ISaltPay.PayeeRefused.selector, orders[1].payee, orders[1].amount)
        );
        assertEq(payee.balance, 0);
        assertEq(token.balanceOf(second), 0);
    }

    function test_payMany_paysNobody_whenATokenTakesAFee() external {
        ISaltPay.Order[] memory orders = three();
        orders[2].asset = address(fund(new FeeOnTransferToken()));

        vm.expectPartialRevert(ISaltPay.InexactTransfer.selector);
        vm.prank(payer);
        saltPay.payMany{value: 3 ether}(orders);
    }

    function test_payMany_reverts_whenATokenMakesTwoPaymentsOfOneTransfer() external {
        ReentrantToken reentrant = new ReentrantToken(saltPay, OTHER_REFERENCE);
        fund(reentrant);
        reentrant.mint(address(reentrant), FUNDS);
        ISaltPay.Order[] memory orders = three();
        orders[2].asset = address(reentrant);

        expectRevertOf(
            orders,
            3 ether,
            abi.encodeWithSelector(ISaltPay.TransferRefused.selector, reentrant, payer, orders[2].amount)
        );
    }

    /// @dev What waits in the contract for the next payee is not for whoever asks first.
    function test_payMany_givesAGreedyPayeeNothingOfTheOthers() external {
        GreedyReceiver greedy = new GreedyReceiver(saltPay, makeAddr("accomplice"));
        ISaltPay.Order[] memory orders = three();
        orders[0].payee = address(greedy);

        vm.prank(payer);
        saltPay.payMany{value: 3 ether}(orders);

        assertTrue(greedy.asked());
        assertFalse(greedy.served());
        assertEq(address(greedy).balance, 1 ether);
        assertEq(second.balance, 2 ether);
    }

    function test_payMany_letsAPayeePayAgain_whileItIsPaid() external {
        address receiver = address(new ReentrantReceiver(saltPay, OTHER_REFERENCE, second));
        ISaltPay.Order[] memory orders = three();
        orders[0].payee = receiver;

        vm.prank(payer);
        saltPay.payMany{value: 3 ether}(orders);

        assertEq(receiver.balance, 0.5 ether);
        assertEq(second.balance, 2.5 ether);
        assertEq(address(saltPay).balance, 0);
    }

    function test_payMany_copiesNothing_whenAPayeeReturnsABomb() external {
        ISaltPay.Order[] memory orders = three();
        orders[0].payee = address(new ReturnBombReceiver(false));

        vm.prank(payer);
        saltPay.payMany{value: 3 ether, gas: 2_500_000}(orders);

        assertEq(orders[0].payee.balance, 1 ether);
    }

    function testFuzz_payMany_movesExactlyWhatIsOrdered(uint256 seed, uint256 count, int8 tooMuch) external {
        count = bound(count, 1, 20);
        ISaltPay.Order[] memory orders = new ISaltPay.Order[](count);
        uint256[2] memory sums;
        for (uint256 i = 0; i < count; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            uint256 which = random & 1;
            address to = (random >> 1) & 1 == 0 ? payee : second;
            uint256 amount = 1 + ((random >> 8) % (FUNDS / 20));
            orders[i] = which == 0 ? native(to, amount) : inToken(to, amount);
            orders[i].paymentReference = bytes32(random | 1);
            sums[which] += amount;
        }
        vm.deal(payer, sums[0] + 128);
        uint256 value = uint256(int256(sums[0]) + (sums[0] > 128 ? int256(tooMuch) : int256(0)));

        vm.prank(payer);
        (bool done,) = address(saltPay).call{value: value}(abi.encodeCall(ISaltPay.payMany, (orders)));

        assertEq(done, value == sums[0]);
        if (!done) sums = [uint256(0), 0];
        assertEq(payee.balance + second.balance, sums[0]);
        assertEq(token.balanceOf(payee) + token.balanceOf(second), sums[1]);
        assertEq(address(saltPay).balance, 0);
    }

    function three() private view returns (ISaltPay.Order[] memory orders) {
        orders = new ISaltPay.Order[](3);
        orders[0] = native(payee, 1 ether);
        orders[1] = native(second, 2 ether);
        orders[1].paymentReference = OTHER_REFERENCE;
        orders[2] = inToken(second, 5 ether);
    }

    function native(address to, uint256 amount) private pure returns (ISaltPay.Order memory) {
        return ISaltPay.Order({paymentReference: REFERENCE, payee: to, asset: NATIVE, amount: amount});
    }

    function inToken(address to, uint256 amount) private view returns (ISaltPay.Order memory) {
        return ISaltPay.Order({paymentReference: REFERENCE, payee: to, asset: address(token), amount: amount});
    }

    function expectRevertOf(ISaltPay.Order[] memory orders, uint256 value, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(payer);
        saltPay.payMany{value: value}(orders);
        assertEq(payer.balance, 100 ether);
    }

    function fund(PlainToken asset) private returns (PlainToken) {
        asset.mint(payer, FUNDS);
        vm.prank(payer);
        asset.approve(address(saltPay), type(uint256).max);
        return asset;
    }
}
