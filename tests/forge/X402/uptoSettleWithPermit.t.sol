// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IX402Permit2Proxy, IX402UptoPermit2Proxy} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {X402UptoPermit2Proxy, newX402UptoPermit2Proxy} from "../support/Contracts.sol";
import {SettleWithPermitTest} from "./SettleWithPermitTest.sol";

contract X402UptoPermit2Proxy_settleWithPermit is SettleWithPermitTest {
    X402UptoPermit2Proxy private upto;

    function setUp() public override {
        super.setUp();
        upto = newX402UptoPermit2Proxy(permit2);
    }

    /// @dev The permit covers what may be charged; what is charged may be less, and the rest of the allowance stays.
    function test_settleWithPermit_movesLessThanThePermitGives() external {
        revoke();
        Payment memory payment = paymentOf(address(token), AMOUNT);
        payment.amount = AMOUNT / 3;

        settle(payment, permit2612Of(AMOUNT, NOW));

        assertEq(token.balanceOf(payee), AMOUNT / 3);
        assertEq(token.allowance(payer.addr, permit2), AMOUNT - AMOUNT / 3);
    }

    /// @dev Otherwise anybody could use up a payer's permits.
    function test_settleWithPermit_looksAtTheFacilitatorBeforeThePermit() external {
        revoke();
        Payment memory payment = paymentOf(address(token), AMOUNT);
        payment.facilitator = payee;
        IX402Permit2Proxy.EIP2612Permit memory permit = permit2612Of(AMOUNT + 1, NOW);

        vm.expectRevert(IX402UptoPermit2Proxy.UnauthorizedFacilitator.selector);
        settle(payment, permit);
        payment.amount = AMOUNT + 1;
        vm.expectRevert(IX402UptoPermit2Proxy.AmountExceedsPermitted.selector);
        settle(payment, permit);
    }

    function proxy() internal view override returns (address) {
        return address(upto);
    }

    function digestOf(Payment memory payment) internal view override returns (bytes32) {
        return uptoDigestOf(payment, address(upto));
    }

    function callOf(IX402Permit2Proxy.EIP2612Permit memory permit2612, Payment memory payment, bytes memory signature)
        internal
        pure
        override
        returns (bytes memory)
    {
        return abi.encodeCall(
            IX402UptoPermit2Proxy.settleWithPermit,
            (permit2612, permitOf(payment), payment.amount, payment.owner, uptoWitnessOf(payment), signature)
        );
    }
}
