// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWrappedSalt} from "../../../contracts/interfaces/IWrappedSalt.sol";
import {WrappedSalt} from "../support/Contracts.sol";
import {AuthorizationTest} from "./AuthorizationTest.sol";

contract WrappedSalt_receiveWithAuthorization is AuthorizationTest {
    function test_receiveWithAuthorization_reverts_whenCallerIsNotThePayee() external {
        Authorization memory authorization = authorize(10 ether);
        Signature memory signature = signed(authorization);

        vm.expectRevert(abi.encodeWithSelector(IWrappedSalt.CallerNotPayee.selector, relayer, payee));
        vm.prank(relayer);
        token.receiveWithAuthorization(
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

    function structHashOf(Authorization memory authorization) internal pure override returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
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
        vm.prank(authorization.to);
        to.receiveWithAuthorization(
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
