// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IX402ExactPermit2Proxy} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {X402ExactPermit2Proxy, newX402ExactPermit2Proxy} from "../support/Contracts.sol";
import {SettleTest} from "./SettleTest.sol";

contract X402ExactPermit2Proxy_settle is SettleTest {
    X402ExactPermit2Proxy private exact;

    function setUp() public override {
        super.setUp();
        exact = newX402ExactPermit2Proxy(permit2);
    }

    function testFuzz_settle_isOpenToAnyone(address caller) external {
        vm.assume(caller != address(0));
        Payment memory payment = paymentOf(address(token), AMOUNT);
        bytes memory signature = sign(payment);

        vm.prank(caller);
        exact.settle(permitOf(payment), payer.addr, exactWitnessOf(payment), signature);

        assertEq(token.balanceOf(payee), AMOUNT);
    }

    function proxy() internal view override returns (address) {
        return address(exact);
    }

    function digestOf(Payment memory payment) internal view override returns (bytes32) {
        return exactDigestOf(payment, address(exact));
    }

    function callOf(Payment memory payment, bytes memory signature) internal pure override returns (bytes memory) {
        return abi.encodeCall(
            IX402ExactPermit2Proxy.settle, (permitOf(payment), payment.owner, exactWitnessOf(payment), signature)
        );
    }

    function plainEvent() internal pure override returns (bytes32) {
        return 0x97088ec3606cfe8cc112180570d03fcde05f9b8e1bfef8e27784eaf5dd5691b6;
    }
}
