// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IX402Permit2Proxy} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {PermitRefusingToken} from "../mocks/PermitRefusingToken.sol";
import {ReenteringToken} from "../mocks/ReenteringToken.sol";
import {SettleTest} from "./SettleTest.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @notice What settling with an EIP-2612 permit does beyond settling, in both kinds.
abstract contract SettleWithPermitTest is SettleTest {
    /// @dev The call that settles with this permit.
    function callOf(IX402Permit2Proxy.EIP2612Permit memory permit2612, Payment memory payment, bytes memory signature)
        internal
        pure
        virtual
        returns (bytes memory);

    /// @dev With a permit that the token refuses.
    function callOf(Payment memory payment, bytes memory signature) internal pure override returns (bytes memory) {
        IX402Permit2Proxy.EIP2612Permit memory refused;
        refused.value = payment.permitted;
        return callOf(refused, payment, signature);
    }

    function test_settleWithPermit_needsNoAllowanceBefore() external {
        revoke();
        Payment memory payment = paymentOf(address(token), AMOUNT);

        settle(payment, permit2612Of(AMOUNT, NOW));

        assertEq(token.balanceOf(payee), AMOUNT);
        assertEq(token.allowance(payer.addr, permit2), 0);
    }

    /// @dev Whoever sees the permit can submit it alone. The payment must not fail for it.
    function test_settleWithPermit_survivesThatThePermitWasSubmittedBefore() external {
        revoke();
        Payment memory payment = paymentOf(address(token), AMOUNT);
        IX402Permit2Proxy.EIP2612Permit memory permit = permit2612Of(AMOUNT, NOW);
        token.permit(payer.addr, permit2, AMOUNT, NOW, permit.v, permit.r, permit.s);

        vm.expectEmit(true, true, false, false, proxy());
        emit IX402Permit2Proxy.EIP2612PermitFailedWithData(address(token), payer.addr, "");
        settle(payment, permit);

        assertEq(token.balanceOf(payee), AMOUNT);
    }

    function test_settleWithPermit_reverts_whenThePermitFailsAndThereIsNoAllowance() external {
        revoke();
        Payment memory payment = paymentOf(address(token), AMOUNT);

        expectRefusal(payment, transferFailed());
    }

    function testFuzz_settleWithPermit_reverts_whenThePermitIsForAnotherAmount(uint256 value) external {
        vm.assume(value != AMOUNT);
        Payment memory payment = paymentOf(address(token), AMOUNT);
        IX402Permit2Proxy.EIP2612Permit memory permit = permit2612Of(value, NOW);

        vm.expectRevert(IX402Permit2Proxy.Permit2612AmountMismatch.selector);
        settle(payment, permit);
    }

    function test_settleWithPermit_looksAtThePermitsAmountBeforeTheRest() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        payment.owner = address(0);
        IX402Permit2Proxy.EIP2612Permit memory permit = permit2612Of(1, NOW);

        vm.expectRevert(IX402Permit2Proxy.Permit2612AmountMismatch.selector);
        settle(payment, permit);
    }

    function test_settleWithPermit_saysWithWhatTextThePermitFailed() external {
        address refusing = refusingIn(PermitRefusingToken.Way.Text);

        vm.expectEmit(proxy());
        emit IX402Permit2Proxy.EIP2612PermitFailedWithReason(refusing, payer.addr, "not today");
        settle(paymentOf(refusing, AMOUNT));
    }

    function test_settleWithPermit_saysWithWhatPanicThePermitFailed() external {
        address refusing = refusingIn(PermitRefusingToken.Way.Panic);

        vm.expectEmit(proxy());
        emit IX402Permit2Proxy.EIP2612PermitFailedWithPanic(refusing, payer.addr, 1);
        settle(paymentOf(refusing, AMOUNT));
    }

    function test_settleWithPermit_saysWithWhatErrorThePermitFailed() external {
        address refusing = refusingIn(PermitRefusingToken.Way.Error);

        vm.expectEmit(proxy());
        emit IX402Permit2Proxy.EIP2612PermitFailedWithData(
            refusing, payer.addr, abi.encodeWithSelector(PermitRefusingToken.Refused.selector, 7)
        );
        settle(paymentOf(refusing, AMOUNT));
    }

    function test_settleWithPermit_saysThatThePermitFailedWithNothing() external {
        address refusing = refusingIn(PermitRefusingToken.Way.Nothing);

        vm.expectEmit(proxy());
        emit IX402Permit2Proxy.EIP2612PermitFailedWithData(refusing, payer.addr, "");
        settle(paymentOf(refusing, AMOUNT));
    }

    function test_settleWithPermit_cannotBeReentered_whileThePermitIsGiven() external {
        ReenteringToken reentering = new ReenteringToken();
        fund(reentering);
        Payment memory inner = paymentOf(address(token), AMOUNT);
        inner.facilitator = address(reentering);
        reentering.reenter(proxy(), callOf(inner, sign(inner)));
        Payment memory outer = paymentOf(address(reentering), AMOUNT);
        outer.nonce = 1;

        settle(outer);

        assertEq(reentering.answer(), abi.encodePacked(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector));
    }

    /// @dev A permit is called with the compiler's check for code, which cannot be caught.
    function test_settle_believesAnAddressWithoutCode_andLogsNoTransfer() external override {
        expectRefusal(paymentOf(makeAddr("no code"), AMOUNT), "");
    }

    function settle(Payment memory payment, IX402Permit2Proxy.EIP2612Permit memory permit) internal {
        bytes memory call = callOf(permit, payment, sign(payment));
        vm.prank(facilitator);
        (bool done, bytes memory answer) = proxy().call(call);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }

    function revoke() internal {
        vm.prank(payer.addr);
        token.approve(permit2, 0);
    }

    function refusingIn(PermitRefusingToken.Way way) private returns (address) {
        PermitRefusingToken refusing = new PermitRefusingToken();
        refusing.setWay(way);
        return address(fund(refusing));
    }

    function plainEvent() internal pure override returns (bytes32) {
        return 0xde5b89d10fc800c459329c382fabfcad0be0ed7e5328e01fae04e507b09ef5d8;
    }
}
