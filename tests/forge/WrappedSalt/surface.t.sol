// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {WrappedSaltTest} from "./WrappedSaltTest.sol";

/// @notice What callers may count on because Citrate's wSALT has it, and what they must not because it has not.
contract WrappedSalt_surface is WrappedSaltTest {
    function test_surface_hasTheMetadataOfCitratesToken() external view {
        assertEq(token.name(), "Wrapped SALT");
        assertEq(token.symbol(), "wSALT");
        assertEq(token.decimals(), 18);
    }

    function test_surface_showsTheHashesThatAreSigned() external view {
        assertEq(
            token.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(),
            0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267
        );
        assertEq(
            token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(),
            0xd099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8
        );
        assertEq(
            token.CANCEL_AUTHORIZATION_TYPEHASH(), 0x158b0a9edf7a828aad02f63cd515c68ef2f50ba807396f6d12842833a1597429
        );
        assertEq(
            token.TRANSFER_WITH_FEE_AUTHORIZATION_TYPEHASH(),
            keccak256(
                "TransferWithFeeAuthorization(address from,address to,uint256 value,address treasury,uint256 fee,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
            )
        );
    }

    function testFuzz_surface_domainFollowsTheChainId(uint64 chainId) external {
        vm.assume(chainId != 0);
        vm.chainId(chainId);

        assertEq(token.DOMAIN_SEPARATOR(), domainSeparator(address(token), chainId));
    }

    function test_surface_hasNothingThatCitratesTokenHasNot() external {
        expectMissing("eip712Domain()", "");
        expectMissing("nonces(address)", abi.encode(holder.addr));
        expectMissing(
            "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
            abi.encode(holder.addr, payee, 1, NOW + 1, 27, bytes32(0), bytes32(0))
        );
        bytes memory withSignature = abi.encode(holder.addr, payee, 1, 0, NOW + 1, bytes32(0), new bytes(65));
        expectMissing("transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)", withSignature);
        expectMissing("receiveWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)", withSignature);
    }

    /// @dev A call of a function that does not exist reverts with nothing to say.
    function expectMissing(string memory signature, bytes memory arguments) private {
        (bool success, bytes memory answer) =
            address(token).call(bytes.concat(bytes4(keccak256(bytes(signature))), arguments));

        assertFalse(success, signature);
        assertEq(answer.length, 0, signature);
    }
}
