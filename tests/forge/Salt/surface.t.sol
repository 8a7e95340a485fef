// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Salt, newSalt} from "../support/Contracts.sol";
import {SaltTest} from "./SaltTest.sol";

/// @notice What x402's clients and facilitators count on; and a payment that its JavaScript client (npm x402 evm
/// 2.27.0) made, executed as it is.
contract Salt_surface is SaltTest {
    function test_surface_isSalt() external view {
        assertEq(token.name(), "Salt");
        assertEq(token.symbol(), "SALT");
        assertEq(token.decimals(), 18);
    }

    function testFuzz_constructor_givesTheWholeSupplyToTheHolder(address account, uint256 supply) external {
        vm.assume(account != address(0));
        Salt salt = newSalt(account, supply);

        assertEq(salt.totalSupply(), supply);
        assertEq(salt.balanceOf(account), supply);
    }

    /// @dev x402's clients sign with the name and version that they are told, and its facilitators ask the token for
    /// them.
    function test_surface_domainIsOfItsNameAndVersion() external view {
        (bytes1 fields, string memory name, string memory version, uint256 chainId, address verifyingContract,,) =
            token.eip712Domain();

        assertEq(fields, bytes1(0x0f));
        assertEq(name, token.name());
        assertEq(version, token.version());
        assertEq(chainId, block.chainid);
        assertEq(verifyingContract, address(token));
        assertEq(token.DOMAIN_SEPARATOR(), domainSeparator(address(token), block.chainid));
    }

    function testFuzz_surface_domainFollowsTheChainId(uint64 chainId) external {
        vm.assume(chainId != 0);
        vm.chainId(chainId);

        assertEq(token.DOMAIN_SEPARATOR(), domainSeparator(address(token), chainId));
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
    }

    /// @dev No function of these names is there: an unknown function reverts with nothing to say.
    function test_surface_hasNobodyInCharge() external {
        string[8] memory names = [
            "owner()",
            "mint(address,uint256)",
            "burn(uint256)",
            "pause()",
            "blacklist(address)",
            "upgradeToAndCall(address,bytes)",
            "hasRole(bytes32,address)",
            "transferOwnership(address)"
        ];
        for (uint256 i = 0; i < names.length; ++i) {
            (bool success, bytes memory answer) =
                address(token).call(bytes.concat(bytes4(keccak256(bytes(names[i]))), abi.encode(payee, 1, 2)));
            assertFalse(success, names[i]);
            assertEq(answer.length, 0, names[i]);
        }
    }

    function test_transferWithAuthorization_takesWhatAnX402ClientSigned() external {
        address client = 0x01CA95Ba9a19e6F88A90082367c285D179275De4;
        address to = 0x1111111111111111111111111111111111111111;
        address at = 0x00000000000000000000000000000000005a1700;
        vm.chainId(40204);
        deployCodeTo("Salt.sol", abi.encode(client, FUNDS), at);

        Salt(at)
            .transferWithAuthorization(
                client,
                to,
                1_500_000_000_000_000,
                0,
                1_800_000_300,
                0x27d5c8d5c25ee8abbfc3ac5c1ab308b686720af0c941fb6f697477c2a87608a4,
                27,
                0x2f0616296ddfc359a26d84ddd2b55c81a13df0363e650101297c3aa902394f7e,
                0x3fc67a9ae72fa26e86edf22c7482eb20f4b43f645010a449279504f18a7ccd94
            );

        assertEq(Salt(at).balanceOf(to), 1_500_000_000_000_000);
    }
}
