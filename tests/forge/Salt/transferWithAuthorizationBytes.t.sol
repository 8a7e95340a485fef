// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {AuthorizationTest} from "./AuthorizationTest.sol";

contract Salt_transferWithAuthorization_bytes is AuthorizationTest {
    /// @dev The two kinds differ in their type alone: one must not pass for the other.
    function test_transferWithAuthorization_reverts_whenSignedAsTheOtherKind() external {
        Authorization memory authorization = authorize(10 ether);
        bytes32 structHash = keccak256(bytes.concat(receiveTypeHash(), encoded(authorization)));

        expectRefusal(authorization, sign(holder.privateKey, here(), structHash), "Salt: invalid signature");
    }

    function test_transferWithAuthorization_reverts_whenPayeeIsChanged() external {
        Authorization memory authorization = authorize(10 ether);
        bytes memory signature = signed(authorization);
        authorization.to = relayer;

        expectRefusal(authorization, signature, "Salt: invalid signature");
    }

    function test_transferWithAuthorization_movesNothingWithinOneAccount() external {
        Authorization memory authorization = authorize(10 ether);
        authorization.to = holder.addr;

        submit(authorization);

        assertEq(token.balanceOf(holder.addr), FUNDS);
    }

    function testFuzz_transferWithAuthorization_reverts_whenSignatureIsAnything(bytes calldata signature) external {
        Authorization memory authorization = authorize(10 ether);
        vm.assume(keccak256(signature) != keccak256(signed(authorization)));

        expectRefusal(authorization, signature, "Salt: invalid signature");
    }

    function typeHash() internal pure override returns (bytes32) {
        return transferTypeHash();
    }

    function submitter() internal view override returns (address) {
        return relayer;
    }

    function callOf(Authorization memory authorization, bytes memory signature)
        internal
        pure
        override
        returns (bytes memory)
    {
        return callWithBytes("transferWithAuthorization", authorization, signature);
    }
}
