// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IX402Permit2Proxy, IX402UptoPermit2Proxy} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {X402UptoPermit2Proxy, newX402UptoPermit2Proxy} from "../support/Contracts.sol";
import {SettleTest} from "./SettleTest.sol";

contract X402UptoPermit2Proxy_settle is SettleTest {
    X402UptoPermit2Proxy private upto;

    function setUp() public override {
        super.setUp();
        upto = newX402UptoPermit2Proxy(permit2);
    }

    function testFuzz_settle_movesAnyAmountUpToThePermittedOne_once(uint256 permitted, uint256 amount) external {
        Payment memory payment = paymentOf(address(token), bound(permitted, 1, type(uint256).max));
        payment.amount = bound(amount, 1, payment.permitted < FUNDS ? payment.permitted : FUNDS);

        vm.expectEmit(address(upto));
        emit IX402Permit2Proxy.PaymentSettled(payer.addr, payee, address(token), payment.amount, payment.nonce);
        settle(payment);

        assertEq(token.balanceOf(payee), payment.amount);
        payment.amount = 1;
        expectRefusal(payment, abi.encodePacked(INVALID_NONCE));
    }

    function test_settle_reverts_whenAmountIsMoreThanPermitted() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        payment.amount = AMOUNT + 1;

        expectRefusal(payment, abi.encodePacked(IX402UptoPermit2Proxy.AmountExceedsPermitted.selector));
    }

    function testFuzz_settle_reverts_whenCallerIsNotTheFacilitator(address caller) external {
        vm.assume(caller != facilitator);
        Payment memory payment = paymentOf(address(token), AMOUNT);
        bytes memory signature = sign(payment);

        vm.expectRevert(IX402UptoPermit2Proxy.UnauthorizedFacilitator.selector);
        vm.prank(caller);
        upto.settle(permitOf(payment), AMOUNT, payer.addr, uptoWitnessOf(payment), signature);
    }

    /// @dev Who names itself the facilitator has no signature for it.
    function test_settle_reverts_whenTheFacilitatorIsChanged() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        bytes memory signature = sign(payment);
        payment.facilitator = payee;

        vm.expectRevert(INVALID_SIGNER);
        vm.prank(payee);
        upto.settle(permitOf(payment), AMOUNT, payer.addr, uptoWitnessOf(payment), signature);
    }

    function test_settle_looksAtTheCeilingAndTheFacilitatorFirst() external {
        Payment memory payment = paymentOf(address(token), 0);
        payment.owner = address(0);
        payment.facilitator = payee;
        payment.amount = 1;
        expectRefusal(payment, abi.encodePacked(IX402UptoPermit2Proxy.AmountExceedsPermitted.selector));
        payment.amount = 0;
        expectRefusal(payment, abi.encodePacked(IX402UptoPermit2Proxy.UnauthorizedFacilitator.selector));
        payment.facilitator = facilitator;
        expectRefusal(payment, abi.encodePacked(IX402Permit2Proxy.InvalidAmount.selector));
    }

    function proxy() internal view override returns (address) {
        return address(upto);
    }

    function digestOf(Payment memory payment) internal view override returns (bytes32) {
        return uptoDigestOf(payment, address(upto));
    }

    function callOf(Payment memory payment, bytes memory signature) internal pure override returns (bytes memory) {
        return abi.encodeCall(
            IX402UptoPermit2Proxy.settle,
            (permitOf(payment), payment.amount, payment.owner, uptoWitnessOf(payment), signature)
        );
    }

    function plainEvent() internal pure override returns (bytes32) {
        return 0x97088ec3606cfe8cc112180570d03fcde05f9b8e1bfef8e27784eaf5dd5691b6;
    }
}
