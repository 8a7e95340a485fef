// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {AuthorizationTest} from "./AuthorizationTest.sol";

contract Salt_receiveWithAuthorization is AuthorizationTest {
    /// @dev The two kinds differ in their type alone: one must not pass for the other.
    function test_receiveWithAuthorization_reverts_whenSignedAsTheOtherKind() external {
        Authorization memory authorization = authorize(10 ether);
        bytes32 structHash = keccak256(bytes.concat(transferTypeHash(), encoded(authorization)));

        expectRefusal(authorization, sign(holder.privateKey, here(), structHash), "Salt: invalid signature");
    }

    function testFuzz_receiveWithAuthorization_reverts_whenCallerIsNotThePayee(address caller) external {
        vm.assume(caller != payee);
        Authorization memory authorization = authorize(10 ether);
        bytes memory call = callOf(authorization, signed(authorization));

        vm.expectRevert("Salt: caller is not the payee");
        vm.prank(caller);
        (bool reverted,) = address(token).call(call);
        assertTrue(reverted);
    }

    function typeHash() internal pure override returns (bytes32) {
        return receiveTypeHash();
    }

    function submitter() internal view override returns (address) {
        return payee;
    }

    function callOf(Authorization memory authorization, bytes memory signature)
        internal
        pure
        override
        returns (bytes memory)
    {
        return callWithParts("receiveWithAuthorization", authorization, signature);
    }
}
