// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {
    IX402ExactPermit2Proxy,
    IX402Permit2Proxy,
    IX402UptoPermit2Proxy
} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {PlainX402ExactProxy, PlainX402UptoProxy} from "../foreign/PlainX402Proxies.sol";
import {newX402ExactPermit2Proxy, newX402UptoPermit2Proxy} from "../support/Contracts.sol";
import {DifferentialTest} from "./DifferentialTest.sol";

abstract contract ExactMutations is DifferentialTest {
    function setUp() public virtual override {
        super.setUp();
        ours = address(newX402ExactPermit2Proxy(permit2)).code;
        plain = address(new PlainX402ExactProxy()).code;
    }

    function digestOf(Payment memory payment) internal view override returns (bytes32) {
        return exactDigestOf(payment, proxy);
    }
}

abstract contract UptoMutations is DifferentialTest {
    function setUp() public virtual override {
        super.setUp();
        ours = address(newX402UptoPermit2Proxy(permit2)).code;
        plain = address(new PlainX402UptoProxy()).code;
        expected.push("AmountExceedsPermitted()");
        expected.push("UnauthorizedFacilitator()");
    }

    function digestOf(Payment memory payment) internal view override returns (bytes32) {
        return uptoDigestOf(payment, proxy);
    }
}

contract X402ExactPermit2Proxy_settle_mutations is ExactMutations {
    function callOf(IX402Permit2Proxy.EIP2612Permit memory, Payment memory payment, bytes memory signature)
        internal
        pure
        override
        returns (bytes memory)
    {
        return abi.encodeCall(
            IX402ExactPermit2Proxy.settle, (permitOf(payment), payment.owner, exactWitnessOf(payment), signature)
        );
    }

    function signatureWord() internal pure override returns (uint256) {
        return 7;
    }
}

contract X402ExactPermit2Proxy_settleWithPermit_mutations is ExactMutations {
    function setUp() public override {
        super.setUp();
        expectPermitsEnds();
    }

    function callOf(IX402Permit2Proxy.EIP2612Permit memory permit, Payment memory payment, bytes memory signature)
        internal
        pure
        override
        returns (bytes memory)
    {
        return abi.encodeCall(
            IX402ExactPermit2Proxy.settleWithPermit,
            (permit, permitOf(payment), payment.owner, exactWitnessOf(payment), signature)
        );
    }

    function signatureWord() internal pure override returns (uint256) {
        return 12;
    }
}

contract X402UptoPermit2Proxy_settle_mutations is UptoMutations {
    function callOf(IX402Permit2Proxy.EIP2612Permit memory, Payment memory payment, bytes memory signature)
        internal
        pure
        override
        returns (bytes memory)
    {
        return abi.encodeCall(
            IX402UptoPermit2Proxy.settle,
            (permitOf(payment), payment.amount, payment.owner, uptoWitnessOf(payment), signature)
        );
    }

    function signatureWord() internal pure override returns (uint256) {
        return 9;
    }
}

contract X402UptoPermit2Proxy_settleWithPermit_mutations is UptoMutations {
    function setUp() public override {
        super.setUp();
        expectPermitsEnds();
    }

    function callOf(IX402Permit2Proxy.EIP2612Permit memory permit, Payment memory payment, bytes memory signature)
        internal
        pure
        override
        returns (bytes memory)
    {
        return abi.encodeCall(
            IX402UptoPermit2Proxy.settleWithPermit,
            (permit, permitOf(payment), payment.amount, payment.owner, uptoWitnessOf(payment), signature)
        );
    }

    function signatureWord() internal pure override returns (uint256) {
        return 14;
    }
}
