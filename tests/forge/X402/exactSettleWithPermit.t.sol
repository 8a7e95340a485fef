// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IX402ExactPermit2Proxy, IX402Permit2Proxy} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {X402ExactPermit2Proxy, newX402ExactPermit2Proxy} from "../support/Contracts.sol";
import {SettleWithPermitTest} from "./SettleWithPermitTest.sol";

contract X402ExactPermit2Proxy_settleWithPermit is SettleWithPermitTest {
    X402ExactPermit2Proxy private exact;

    function setUp() public override {
        super.setUp();
        exact = newX402ExactPermit2Proxy(permit2);
    }

    function proxy() internal view override returns (address) {
        return address(exact);
    }

    function digestOf(Payment memory payment) internal view override returns (bytes32) {
        return exactDigestOf(payment, address(exact));
    }

    function callOf(IX402Permit2Proxy.EIP2612Permit memory permit2612, Payment memory payment, bytes memory signature)
        internal
        pure
        override
        returns (bytes memory)
    {
        return abi.encodeCall(
            IX402ExactPermit2Proxy.settleWithPermit,
            (permit2612, permitOf(payment), payment.owner, exactWitnessOf(payment), signature)
        );
    }
}
