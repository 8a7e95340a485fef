// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWrappedSalt} from "../../../contracts/interfaces/IWrappedSalt.sol";
import {WrappedSalt} from "../support/Contracts.sol";
import {AuthorizationTest} from "./AuthorizationTest.sol";

contract WrappedSalt_transferWithAuthorization is AuthorizationTest {
    /// @dev The two kinds differ in their type alone: one must not pass for the other.
    function test_transferWithAuthorization_reverts_whenSignedToBeReceived() external {
        Authorization memory authorization = authorize(10 ether);
        Signature memory signature = sign(
            holder.privateKey,
            domainSeparator(address(token), block.chainid),
            keccak256(
                abi.encode(
                    token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(),
                    authorization.from,
                    authorization.to,
                    authorization.value,
                    authorization.validAfter,
                    authorization.validBefore,
                    authorization.nonce
                )
            )
        );

        vm.expectRevert(invalidSignature(holder.addr));
        submit(token, authorization, signature);
    }

    function test_transferWithAuthorization_movesNothingWithinOneAccount() external {
        Authorization memory authorization = authorize(10 ether);
        authorization.to = holder.addr;

        submit(token, authorization, signed(authorization));

        assertEq(token.balanceOf(holder.addr), FUNDS);
        assertTrue(token.authorizationState(holder.addr, authorization.nonce));
    }

    function structHashOf(Authorization memory authorization) internal pure override returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
                ),
                authorization.from,
                authorization.to,
                authorization.value,
                authorization.validAfter,
                authorization.validBefore,
                authorization.nonce
            )
        );
    }

    function submit(WrappedSalt to, Authorization memory authorization, Signature memory signature) internal override {
        vm.prank(relayer);
        to.transferWithAuthorization(
            authorization.from,
            authorization.to,
            authorization.value,
            authorization.validAfter,
            authorization.validBefore,
            authorization.nonce,
            signature.v,
            signature.r,
            signature.s
        );
    }

    function invalidSignature(address from) internal pure override returns (bytes memory) {
        return abi.encodeWithSelector(IWrappedSalt.InvalidSignature.selector, from);
    }

    function feeOf(uint256) internal pure override returns (uint256) {
        return 0;
    }
}
