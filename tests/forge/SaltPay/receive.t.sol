// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {SaltPayTest} from "./SaltPayTest.sol";

/// @notice SaltPay has no receive and no fallback: what names no reference and no payee is refused.
contract SaltPay_receive is SaltPayTest {
    function test_receive_refusesPlainCoins() external {
        vm.prank(payer);
        (bool accepted,) = address(saltPay).call{value: 1 ether}("");

        assertFalse(accepted);
        assertEq(payer.balance, 100 ether);
    }

    function testFuzz_fallback_refusesUnknownCalls(bytes4 selector, bytes calldata data, bool withValue) external {
        vm.assume(selector != saltPay.pay.selector && selector != saltPay.payToken.selector);
        vm.assume(selector != saltPay.payWithPermit.selector && selector != saltPay.payMany.selector);
        vm.assume(selector != saltPay.payOnTime.selector && selector != saltPay.payTokenOnTime.selector);
        vm.assume(selector != saltPay.payManyOnTime.selector);
        vm.assume(selector != saltPay.refund.selector && selector != saltPay.refundToken.selector);

        vm.prank(payer);
        (bool accepted,) = address(saltPay).call{value: withValue ? 1 : 0}(bytes.concat(selector, data));

        assertFalse(accepted);
    }

    function test_payToken_refusesCoins() external {
        refusesCoins(abi.encodeCall(saltPay.payToken, (REFERENCE, payee, makeAddr("asset"), 1)));
    }

    function test_payTokenOnTime_refusesCoins() external {
        refusesCoins(abi.encodeCall(saltPay.payTokenOnTime, (makeAddr("asset"), 1, uint160(payee), REFERENCE)));
    }

    function test_refundToken_refusesCoins() external {
        refusesCoins(abi.encodeCall(saltPay.refundToken, (REFERENCE, payee, makeAddr("asset"), 1)));
    }

    function test_payWithPermit_refusesCoins() external {
        refusesCoins(
            abi.encodeCall(
                saltPay.payWithPermit, (REFERENCE, payee, makeAddr("asset"), 1, 0, 27, bytes32(0), bytes32(0))
            )
        );
    }

    function refusesCoins(bytes memory call) private {
        vm.prank(payer);
        (bool accepted,) = address(saltPay).call{value: 1}(call);

        assertFalse(accepted);
        assertEq(address(saltPay).balance, 0);
    }
}
