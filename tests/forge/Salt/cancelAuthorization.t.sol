// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISalt} from "../../../contracts/interfaces/ISalt.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {SaltTest} from "./SaltTest.sol";

contract Salt_cancelAuthorization is SaltTest {
    bytes32 private constant NONCE = keccak256("nonce");

    function test_cancelAuthorization_marksTheNonce() external {
        (uint8 v, bytes32 r, bytes32 s) = split(signed(holder.addr));

        vm.expectEmit(address(token));
        emit ISalt.AuthorizationCanceled(holder.addr, NONCE);
        token.cancelAuthorization(holder.addr, NONCE, v, r, s);

        assertTrue(token.authorizationState(holder.addr, NONCE));
    }

    function test_cancelAuthorization_marksTheNonce_bytes() external {
        bytes memory signature = signed(holder.addr);

        vm.expectEmit(address(token));
        emit ISalt.AuthorizationCanceled(holder.addr, NONCE);
        token.cancelAuthorization(holder.addr, NONCE, signature);

        assertTrue(token.authorizationState(holder.addr, NONCE));
    }

    function test_cancelAuthorization_isAcceptedFromAWallet() external {
        address wallet = address(new ContractWallet(holder.addr));

        token.cancelAuthorization(wallet, NONCE, signed(wallet));

        assertTrue(token.authorizationState(wallet, NONCE));
    }

    function test_cancelAuthorization_reverts_whenCanceledBefore() external {
        bytes memory signature = signed(holder.addr);
        (uint8 v, bytes32 r, bytes32 s) = split(signature);
        token.cancelAuthorization(holder.addr, NONCE, signature);

        vm.expectRevert("Salt: authorization is used or canceled");
        token.cancelAuthorization(holder.addr, NONCE, signature);
        vm.expectRevert("Salt: authorization is used or canceled");
        token.cancelAuthorization(holder.addr, NONCE, v, r, s);
    }

    function testFuzz_cancelAuthorization_reverts_whenItIsNotWhatWasSigned(address authorizer, bytes32 nonce) external {
        vm.assume((authorizer != holder.addr || nonce != NONCE) && authorizer.code.length == 0);
        assumeNotPrecompile(authorizer);
        bytes memory signature = signed(holder.addr);
        (uint8 v, bytes32 r, bytes32 s) = split(signature);

        vm.expectRevert("Salt: invalid signature");
        token.cancelAuthorization(authorizer, nonce, signature);
        vm.expectRevert("Salt: invalid signature");
        token.cancelAuthorization(authorizer, nonce, v, r, s);
    }

    function signed(address authorizer) private view returns (bytes memory) {
        return sign(
            holder.privateKey,
            domainSeparator(address(token), block.chainid),
            keccak256(abi.encode(keccak256("CancelAuthorization(address authorizer,bytes32 nonce)"), authorizer, NONCE))
        );
    }
}
