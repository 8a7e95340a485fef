// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWrappedSalt} from "../../../contracts/interfaces/IWrappedSalt.sol";
import {WrappedSaltTest} from "./WrappedSaltTest.sol";

contract WrappedSalt_cancelAuthorization is WrappedSaltTest {
    bytes32 private constant NONCE = keccak256("nonce");

    function test_cancelAuthorization_spendsTheNonce() external {
        Signature memory signature = signed(NONCE);

        vm.expectEmit(address(token));
        emit IWrappedSalt.AuthorizationCanceled(holder.addr, NONCE);
        cancel(signature);

        assertTrue(token.authorizationState(holder.addr, NONCE));
    }

    function test_cancelAuthorization_leavesOtherNoncesAlone() external {
        cancel(signed(NONCE));

        assertFalse(token.authorizationState(holder.addr, keccak256("another nonce")));
        assertFalse(token.authorizationState(payee, NONCE));
    }

    function test_cancelAuthorization_reverts_whenCanceled() external {
        Signature memory signature = signed(NONCE);
        cancel(signature);

        vm.expectRevert(abi.encodeWithSelector(IWrappedSalt.AuthorizationSpent.selector, holder.addr, NONCE));
        cancel(signature);
    }

    function test_cancelAuthorization_reverts_whenSignatureIsMalleated() external {
        expectInvalidSignature(malleated(signed(NONCE)));
    }

    function test_cancelAuthorization_reverts_whenSignedForAnotherChain() external {
        Signature memory signature = signed(NONCE);
        vm.chainId(block.chainid + 1);

        expectInvalidSignature(signature);
    }

    function testFuzz_cancelAuthorization_reverts_whenSignedForAnotherNonce(bytes32 nonce) external {
        vm.assume(nonce != NONCE);

        expectInvalidSignature(signed(nonce));
    }

    function signed(bytes32 nonce) private view returns (Signature memory) {
        return sign(
            holder.privateKey,
            domainSeparator(address(token), block.chainid),
            keccak256(
                abi.encode(keccak256("CancelAuthorization(address authorizer,bytes32 nonce)"), holder.addr, nonce)
            )
        );
    }

    function cancel(Signature memory signature) private {
        vm.prank(relayer);
        token.cancelAuthorization(holder.addr, NONCE, signature.v, signature.r, signature.s);
    }

    function expectInvalidSignature(Signature memory signature) private {
        vm.expectRevert(abi.encodeWithSelector(IWrappedSalt.InvalidSignature.selector, holder.addr));
        cancel(signature);
    }
}
