// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {X402ExactPermit2Proxy} from "../../../contracts/X402ExactPermit2Proxy.sol";
import {X402UptoPermit2Proxy} from "../../../contracts/X402UptoPermit2Proxy.sol";
import {IX402Permit2Proxy} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {X402Test} from "../X402/X402Test.sol";

/// @notice What settling costs in Salt through the real Permit2, as whole transactions. The figures are kept in
/// `snapshots/`.
contract X402Gas is X402Test {
    X402ExactPermit2Proxy private exact;
    X402UptoPermit2Proxy private upto;

    function setUp() public override {
        super.setUp();
        exact = new X402ExactPermit2Proxy(permit2);
        upto = new X402UptoPermit2Proxy(permit2);
        vm.prank(payer.addr);
        assertTrue(token.transfer(payee, 1 ether));
    }

    function test_gas_exact_randomNonce() external {
        settleExact(paymentOf(address(token), AMOUNT));
        vm.snapshotGasLastCall("X402", "exact, random nonce");
    }

    function test_gas_exact_nonceInAUsedWord() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        settleExact(payment);
        payment.nonce ^= 1;
        settleExact(payment);
        vm.snapshotGasLastCall("X402", "exact, nonce in a used word");
    }

    function test_gas_exact_withPermit() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        vm.prank(payer.addr);
        token.approve(permit2, 0);
        bytes memory signature = packed(payer.privateKey, exactDigestOf(payment, address(exact)));
        IX402Permit2Proxy.EIP2612Permit memory permit = permit2612Of(AMOUNT, NOW + 60);

        vm.prank(facilitator);
        exact.settleWithPermit(permit, permitOf(payment), payer.addr, exactWitnessOf(payment), signature);
        vm.snapshotGasLastCall("X402", "exact, random nonce, first EIP-2612 permit");
    }

    function test_gas_upto_randomNonce() external {
        settleUpto(paymentOf(address(token), AMOUNT));
        vm.snapshotGasLastCall("X402", "upto, random nonce");
    }

    function test_gas_upto_nonceInAUsedWord() external {
        Payment memory payment = paymentOf(address(token), AMOUNT);
        settleUpto(payment);
        payment.nonce ^= 1;
        settleUpto(payment);
        vm.snapshotGasLastCall("X402", "upto, nonce in a used word");
    }

    function settleExact(Payment memory payment) private {
        bytes memory signature = packed(payer.privateKey, exactDigestOf(payment, address(exact)));
        vm.prank(facilitator);
        exact.settle(permitOf(payment), payer.addr, exactWitnessOf(payment), signature);
    }

    function settleUpto(Payment memory payment) private {
        bytes memory signature = packed(payer.privateKey, uptoDigestOf(payment, address(upto)));
        vm.prank(facilitator);
        upto.settle(permitOf(payment), AMOUNT / 3, payer.addr, uptoWitnessOf(payment), signature);
    }
}
