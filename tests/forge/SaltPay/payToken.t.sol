// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";
import {BlindToken} from "../mocks/BlindToken.sol";
import {FalseReturnToken} from "../mocks/FalseReturnToken.sol";
import {FeeOnTransferToken} from "../mocks/FeeOnTransferToken.sol";
import {NoReturnToken} from "../mocks/NoReturnToken.sol";
import {OddReturnToken} from "../mocks/OddReturnToken.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {QuietToken} from "../mocks/QuietToken.sol";
import {RebasingToken} from "../mocks/RebasingToken.sol";
import {ReenteringToken} from "../mocks/ReenteringToken.sol";
import {ReentrantToken} from "../mocks/ReentrantToken.sol";
import {RevertingToken} from "../mocks/RevertingToken.sol";
import {SaltPayTest} from "./SaltPayTest.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm} from "forge-std/Vm.sol";

contract SaltPay_payToken is SaltPayTest {
    uint256 private constant AMOUNT = 1_000_000;
    uint256 private constant FUNDS = 10 * AMOUNT;

    PlainToken private token;

    function setUp() public override {
        super.setUp();
        token = fund(new PlainToken());
    }

    function test_payToken_movesTheAmountToThePayee() external {
        pay(token);

        assertEq(token.balanceOf(payee), AMOUNT);
        assertEq(token.balanceOf(payer), FUNDS - AMOUNT);
        assertEq(token.balanceOf(address(saltPay)), 0);
    }

    function test_payToken_saysEverythingInOneEvent_afterTheTransfer() external {
        vm.recordLogs();
        pay(token);

        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 2);
        assertEq(logs[0].emitter, address(token));
        assertEq(logs[0].topics[0], IERC20.Transfer.selector);
        assertEq(logs[1].emitter, address(saltPay));
        assertEq(logs[1].topics.length, 4);
        assertEq(logs[1].topics[0], keccak256("Payment(bytes32,address,address,address,uint256)"));
        assertEq(logs[1].topics[1], REFERENCE);
        assertEq(logs[1].topics[2], bytes32(uint256(uint160(payer))));
        assertEq(logs[1].topics[3], bytes32(uint256(uint160(payee))));
        assertEq(logs[1].data, abi.encode(address(token), AMOUNT));
    }

    function test_payToken_paysTwiceInOneTransaction() external {
        TwoPayments twice = new TwoPayments();
        token.mint(address(twice), 2 * AMOUNT);

        expectPayment(REFERENCE, address(twice), payee, address(token), AMOUNT);
        expectPayment(OTHER_REFERENCE, address(twice), payee, address(token), AMOUNT);
        twice.pay(saltPay, REFERENCE, OTHER_REFERENCE, payee, token, AMOUNT);

        assertEq(token.balanceOf(payee), 2 * AMOUNT);
    }

    function test_payToken_acceptsATokenThatReturnsNothing() external {
        NoReturnToken noReturn = new NoReturnToken();
        noReturn.mint(payer, FUNDS);
        vm.startPrank(payer);
        noReturn.approve(address(saltPay), AMOUNT);

        expectPayment(REFERENCE, payer, payee, address(noReturn), AMOUNT);
        saltPay.payToken(REFERENCE, payee, address(noReturn), AMOUNT);

        assertEq(noReturn.balanceOf(payee), AMOUNT);
    }

    function test_payToken_reverts_whenReferenceIsZero() external {
        vm.expectRevert(ISaltPay.ZeroReference.selector);
        vm.prank(payer);
        saltPay.payToken(bytes32(0), payee, address(token), AMOUNT);
    }

    function test_payToken_reverts_whenAmountIsZero() external {
        vm.expectRevert(ISaltPay.ZeroAmount.selector);
        vm.prank(payer);
        saltPay.payToken(REFERENCE, payee, address(token), 0);
    }

    function test_payToken_reverts_whenPayeeIsZero() external {
        expectInvalidPayee(address(0));
    }

    function test_payToken_reverts_whenPayeeIsTheContract() external {
        expectInvalidPayee(address(saltPay));
    }

    function test_payToken_reverts_whenPayeeIsThePayer() external {
        expectInvalidPayee(payer);
    }

    function test_payToken_reverts_whenAssetIsTheNativeCoin() external {
        expectInvalidAsset(NATIVE);
    }

    /// @dev No chain has code there. An event that names it would speak of the native coin all the same.
    function test_payToken_reverts_whenAssetIsTheNativeCoin_evenWithCode() external {
        vm.etch(NATIVE, address(new NoReturnToken()).code);
        NoReturnToken(NATIVE).mint(payer, FUNDS);
        vm.prank(payer);
        NoReturnToken(NATIVE).approve(address(saltPay), FUNDS);

        expectInvalidAsset(NATIVE);
    }

    function test_payToken_reverts_whenAssetHasNoCode() external {
        expectInvalidAsset(makeAddr("no code"));
    }

    function test_payToken_reverts_whenAssetIsAPrecompile() external {
        // identity returns what it is given: 36 bytes, which read as a balance.
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.TransferRefused.selector, address(0x04), payer, AMOUNT));
        vm.prank(payer);
        saltPay.payToken(REFERENCE, payee, address(0x04), AMOUNT);
    }

    function test_payToken_reverts_whenAssetAnswersNoBalance() external {
        BlindToken blind = new BlindToken();
        fund(blind);
        blind.setBlind();

        expectInvalidAsset(address(blind));
    }

    function test_payToken_reverts_whenAssetStopsAnsweringBalances() external {
        PlainToken blind = fund(new BlindToken());
        blind.mint(payee, FUNDS);

        expectInexactTransfer(blind, FUNDS, 0);
    }

    function test_payToken_reverts_whenAllowanceIsTooSmall() external {
        vm.prank(payer);
        token.approve(address(saltPay), AMOUNT - 1);

        expectTransferRefused(token);
    }

    function test_payToken_reverts_whenBalanceIsTooSmall() external {
        vm.prank(payer);
        assertTrue(token.transfer(makeAddr("elsewhere"), FUNDS - AMOUNT + 1));

        expectTransferRefused(token);
    }

    function test_payToken_reverts_whenTokenReverts() external {
        expectTransferRefused(fund(new RevertingToken()));
    }

    function test_payToken_reverts_whenTokenReturnsFalse() external {
        expectTransferRefused(fund(new FalseReturnToken()));
    }

    function test_payToken_reverts_whenTokenReturnsNeitherTrueNorFalse() external {
        expectTransferRefused(fund(new OddReturnToken()));
    }

    function test_payToken_reverts_whenTokenTakesAFee() external {
        expectInexactTransfer(fund(new FeeOnTransferToken()), 0, AMOUNT - 1);
    }

    function test_payToken_reverts_whenTokenMovesNothing() external {
        expectInexactTransfer(fund(new QuietToken()), 0, 0);
    }

    function test_payToken_reverts_whenTokenRebasesUp() external {
        RebasingToken rebasing = new RebasingToken();
        fund(rebasing);
        rebasing.setRebase(1);

        expectInexactTransfer(rebasing, 0, AMOUNT + 1);
    }

    function test_payToken_reverts_whenTokenRebasesDown() external {
        RebasingToken rebasing = new RebasingToken();
        fund(rebasing);
        rebasing.mint(payee, FUNDS);
        rebasing.setRebase(-1_000_001);

        // The payee ends with less than before: a difference that wraps around must not be taken for an amount.
        expectInexactTransfer(rebasing, FUNDS, FUNDS - 1);
    }

    function test_payToken_reverts_whenTokenMakesTwoPaymentsOfOneTransfer() external {
        ReentrantToken reentrant = new ReentrantToken(saltPay, OTHER_REFERENCE);
        fund(reentrant);
        reentrant.mint(address(reentrant), FUNDS);

        // The inner payment is refused as Reentered, and the token passes that on.
        expectTransferRefused(reentrant);
    }

    /// @dev Whichever way the outer and the inner payment are made: one movement of balances is measured once.
    function test_payToken_cannotBeReentered_inAnyWay() external {
        ReenteringToken reentering = new ReenteringToken();
        fund(reentering);
        reentering.mint(payer, 36 * AMOUNT);
        vm.prank(payer);
        reentering.approve(address(saltPay), type(uint256).max);
        ISaltPay.Order[] memory orders = new ISaltPay.Order[](1);
        orders[0] =
            ISaltPay.Order({paymentReference: REFERENCE, payee: payee, asset: address(reentering), amount: AMOUNT});
        uint256 until = (block.timestamp << 160) | uint160(payee);
        bytes[] memory calls = new bytes[](6);
        calls[0] = abi.encodeCall(ISaltPay.payToken, (REFERENCE, payee, address(reentering), AMOUNT));
        calls[1] = abi.encodeCall(ISaltPay.payTokenOnTime, (address(reentering), AMOUNT, until, REFERENCE));
        calls[2] = abi.encodeCall(ISaltPay.refundToken, (REFERENCE, payee, address(reentering), AMOUNT));
        calls[3] = abi.encodeCall(ISaltPay.payMany, (orders));
        calls[4] = abi.encodeCall(ISaltPay.payManyOnTime, (orders, block.timestamp));
        calls[5] = abi.encodeCall(
            ISaltPay.payWithPermit, (REFERENCE, payee, address(reentering), AMOUNT, block.timestamp, 27, 0, 0)
        );

        for (uint256 outer = 0; outer < calls.length; ++outer) {
            for (uint256 inner = 0; inner < calls.length; ++inner) {
                reentering.reenter(address(saltPay), calls[inner]);
                uint256 before = reentering.balanceOf(payee);
                vm.prank(payer);
                (bool paid,) = address(saltPay).call(calls[outer]);

                assertTrue(paid);
                assertFalse(reentering.called());
                assertEq(reentering.answer(), abi.encodePacked(ISaltPay.Reentered.selector));
                assertEq(reentering.balanceOf(payee), before + AMOUNT);
            }
        }
    }

    function testFuzz_payToken_givesThePayeeExactlyTheAmount(
        bytes32 paymentReference,
        address to,
        uint256 amount,
        uint256 balanceBefore
    ) external {
        assumePayee(to);
        vm.assume(to != address(saltPay) && paymentReference != bytes32(0));
        amount = bound(amount, 1, type(uint256).max - FUNDS);
        balanceBefore = bound(balanceBefore, 0, type(uint256).max - FUNDS - amount);
        token.mint(payer, amount);
        token.mint(to, balanceBefore);

        expectPayment(paymentReference, payer, to, address(token), amount);
        vm.prank(payer);
        saltPay.payToken(paymentReference, to, address(token), amount);

        assertEq(token.balanceOf(to), balanceBefore + amount);
        assertEq(token.balanceOf(payer), FUNDS);
        assertEq(token.balanceOf(address(saltPay)), 0);
    }

    function testFuzz_payToken_reverts_whenTokenRebasesByAnything(uint256 amount, int256 rebase) external {
        RebasingToken rebasing = new RebasingToken();
        fund(rebasing);
        amount = bound(amount, 1, type(uint128).max);
        rebase = bound(rebase, -int256(uint256(type(uint128).max)), int256(uint256(type(uint128).max)));
        vm.assume(rebase != 0);
        rebasing.mint(payer, amount);
        rebasing.mint(payee, type(uint128).max);
        rebasing.setRebase(rebase);

        vm.expectPartialRevert(ISaltPay.InexactTransfer.selector);
        vm.prank(payer);
        saltPay.payToken(REFERENCE, payee, address(rebasing), amount);
    }

    /// @dev Gives the payer funds of a token and lets SaltPay spend them.
    function fund(PlainToken asset) private returns (PlainToken) {
        asset.mint(payer, FUNDS);
        vm.prank(payer);
        asset.approve(address(saltPay), type(uint256).max);
        return asset;
    }

    function pay(PlainToken asset) private {
        vm.prank(payer);
        saltPay.payToken(REFERENCE, payee, address(asset), AMOUNT);
    }

    function expectInvalidPayee(address to) private {
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidPayee.selector, to));
        vm.prank(payer);
        saltPay.payToken(REFERENCE, to, address(token), AMOUNT);
    }

    function expectInvalidAsset(address asset) private {
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.InvalidAsset.selector, asset));
        vm.prank(payer);
        saltPay.payToken(REFERENCE, payee, asset, AMOUNT);
    }

    function expectTransferRefused(PlainToken asset) private {
        vm.expectRevert(abi.encodeWithSelector(ISaltPay.TransferRefused.selector, asset, payer, AMOUNT));
        pay(asset);
    }

    function expectInexactTransfer(PlainToken asset, uint256 balanceBefore, uint256 balanceAfter) private {
        vm.expectRevert(
            abi.encodeWithSelector(ISaltPay.InexactTransfer.selector, asset, AMOUNT, balanceBefore, balanceAfter)
        );
        pay(asset);
    }
}

/// @notice A payer that makes two payments in one transaction.
contract TwoPayments {
    function pay(ISaltPay saltPay, bytes32 first, bytes32 second, address payee, IERC20 token, uint256 amount)
        external
    {
        token.approve(address(saltPay), 2 * amount);
        saltPay.payToken(first, payee, address(token), amount);
        saltPay.payToken(second, payee, address(token), amount);
    }
}
