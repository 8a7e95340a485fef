// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {SaltPay} from "../../../contracts/SaltPay.sol";
import {WrappedSalt} from "../../../contracts/WrappedSalt.sol";
import {Deploy} from "../../../script/Deploy.s.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {Test} from "forge-std/Test.sol";

/// @notice Addresses and init code hashes are written out here, so that a change of any byte of a contract, its
/// libraries or the compiler's settings shows: it moves the contract on every chain.
contract Deploy_deploy is Test {
    address private constant SALT_PAY = 0x92E2E7Dd42a9FF044c8e4f83c32fC03B17B1643B;
    bytes32 private constant SALT_PAY_INIT_CODE_HASH =
        0xd433f239069758c13b40915b946929d156b8cbe6d75e5aee835f8eef34226c71;
    address private constant WRAPPED_SALT = 0xD4F534E09fC3FdB2D495f47C037CDe5d776fc283;
    bytes32 private constant WRAPPED_SALT_INIT_CODE_HASH =
        0x2dde2b2f90d0dfbc67fe002225124a55ee3241d35232fa1065ea4117a8ca469a;

    address private constant CITRATE_WRAPPED_SALT = 0xAa918302B94a4B0E75E01e019cc6b819B4F7c906;
    uint256 private constant BLOCK = 6_929;

    Deploy private script;

    function setUp() external {
        vm.setEnv("SALT402_DEPLOYER_KEY", vm.toString(bytes32(uint256(keccak256("deployer")))));
        vm.roll(BLOCK);
        script = new Deploy();
    }

    function test_addresses_areThoseOfTheCodeAndItsSalt() external pure {
        assertEq(keccak256(type(SaltPay).creationCode), SALT_PAY_INIT_CODE_HASH);
        assertEq(create2("salt402.v1.SaltPay", SALT_PAY_INIT_CODE_HASH), SALT_PAY);
        assertEq(keccak256(type(WrappedSalt).creationCode), WRAPPED_SALT_INIT_CODE_HASH);
        assertEq(create2("salt402.v1.WrappedSalt", WRAPPED_SALT_INIT_CODE_HASH), WRAPPED_SALT);
    }

    function test_deploy_putsBothContractsOnALocalChain() external {
        deploysBoth(31337, "local");
    }

    function test_deploy_putsBothContractsOnAChainWithCitratesIdAndWithoutItsToken() external {
        deploysBoth(40204, "citrate-local");
    }

    function test_deploy_takesCitratesOwnToken() external {
        string memory directory = fresh("citrate");
        vm.chainId(40204);
        vm.etch(CITRATE_WRAPPED_SALT, address(new WrappedSalt()).code);

        assertEq(script.deploy(directory), 1);

        string memory json = vm.readFile(string.concat(directory, "/40204.json"));
        assertEq(vm.parseJsonAddress(json, ".contracts.SaltPay.address"), SALT_PAY);
        assertEq(vm.parseJsonAddress(json, ".contracts.WrappedSalt.address"), CITRATE_WRAPPED_SALT);
        assertEq(vm.parseJsonUint(json, ".contracts.WrappedSalt.block"), 0);
        assertEq(vm.parseJson(json, ".contracts.WrappedSalt.initCodeHash"), vm.parseJson("null"));
        assertEq(WRAPPED_SALT.code.length, 0);
    }

    function test_deploy_reverts_whenAnotherContractStandsAtCitratesToken() external {
        vm.chainId(40204);
        vm.etch(CITRATE_WRAPPED_SALT, address(new PlainToken()).code);

        vm.expectRevert(abi.encodeWithSelector(Deploy.NotWrappedSalt.selector, CITRATE_WRAPPED_SALT));
        script.deploy(fresh("citrate-other"));
    }

    function test_deploy_putsNoWrappedSaltOnBase() external {
        deploysSaltPayAlone(8453, "base");
    }

    function test_deploy_putsNoWrappedSaltOnBaseSepolia() external {
        deploysSaltPayAlone(84532, "base-sepolia");
    }

    function test_deploy_sendsNothingTheSecondTime() external {
        string memory directory = fresh("twice");
        script.deploy(directory);
        string memory written = vm.readFile(string.concat(directory, "/31337.json"));
        vm.roll(BLOCK + 1_000);

        assertEq(script.deploy(directory), 0);
        assertEq(vm.readFile(string.concat(directory, "/31337.json")), written);
    }

    function test_deploy_sendsOnlyWhatIsMissing() external {
        string memory directory = fresh("half");
        script.deploy(directory);
        vm.etch(WRAPPED_SALT, "");
        vm.resetNonce(WRAPPED_SALT);
        vm.roll(BLOCK + 1_000);

        assertEq(script.deploy(directory), 1);
        assertEq(blockOf(directory, "SaltPay"), BLOCK);
        assertEq(blockOf(directory, "WrappedSalt"), BLOCK + 1_000);
    }

    /// @dev Something that stands there since nobody knows when could be as old as the chain.
    function test_deploy_startsAtZero_whenTheFileIsLost() external {
        script.deploy(fresh("lost-first"));
        string memory directory = fresh("lost-second");

        assertEq(script.deploy(directory), 0);
        assertEq(blockOf(directory, "SaltPay"), 0);
    }

    function test_deploy_forgetsABlockThatTheChainHasNotReached() external {
        string memory directory = fresh("reset");
        script.deploy(directory);
        vm.roll(BLOCK - 1);

        assertEq(script.deploy(directory), 0);
        assertEq(blockOf(directory, "SaltPay"), 0);
    }

    function testFuzz_deploy_reverts_onAnyOtherChain(uint64 chainId) external {
        vm.assume(chainId != 0 && chainId != 40204 && chainId != 8453 && chainId != 84532 && chainId != 31337);
        vm.chainId(chainId);

        vm.expectRevert(abi.encodeWithSelector(Deploy.UnsupportedChain.selector, chainId));
        script.deploy("target/forge-test/other");
    }

    function test_deploy_reverts_whenTheFactoryIsMissing() external {
        vm.etch(CREATE2_FACTORY, "");

        vm.expectRevert(abi.encodeWithSelector(Deploy.FactoryMissing.selector, CREATE2_FACTORY));
        script.deploy(fresh("no-factory"));
    }

    function test_deploy_reverts_whenTheFactoryCreatesNothing() external {
        vm.etch(CREATE2_FACTORY, hex"00");

        vm.expectRevert(abi.encodeWithSelector(Deploy.NotCreated.selector, "SaltPay", SALT_PAY));
        script.deploy(fresh("idle-factory"));
    }

    function deploysBoth(uint256 chainId, string memory name) private {
        string memory directory = fresh(name);
        vm.chainId(chainId);

        assertEq(script.deploy(directory), 2);

        assertEq(SALT_PAY.code, type(SaltPay).runtimeCode);
        assertEq(WrappedSalt(payable(WRAPPED_SALT)).symbol(), "wSALT");
        assertEq(
            vm.readFile(string.concat(directory, "/", vm.toString(chainId), ".json")),
            string.concat(
                '{\n  "chainId": ',
                vm.toString(chainId),
                ',\n  "contracts": {\n    "SaltPay": {\n      "address": "0x92E2E7Dd42a9FF044c8e4f83c32fC03B17B1643B",\n      "initCodeHash": "',
                vm.toString(SALT_PAY_INIT_CODE_HASH),
                '",\n      "block": 6929\n    },\n    "WrappedSalt": {\n      "address": "0xD4F534E09fC3FdB2D495f47C037CDe5d776fc283",\n      "initCodeHash": "',
                vm.toString(WRAPPED_SALT_INIT_CODE_HASH),
                '",\n      "block": 6929\n    }\n  }\n}\n'
            )
        );
    }

    function deploysSaltPayAlone(uint256 chainId, string memory name) private {
        string memory directory = fresh(name);
        vm.chainId(chainId);

        assertEq(script.deploy(directory), 1);

        string memory json = vm.readFile(string.concat(directory, "/", vm.toString(chainId), ".json"));
        assertEq(vm.parseJsonAddress(json, ".contracts.SaltPay.address"), SALT_PAY);
        assertFalse(vm.keyExistsJson(json, ".contracts.WrappedSalt"));
        assertEq(WRAPPED_SALT.code.length, 0);
    }

    /// @dev A directory of its own for each test, without what an earlier run left in it.
    function fresh(string memory name) private returns (string memory directory) {
        directory = string.concat("target/forge-test/", name);
        if (vm.exists(directory)) vm.removeDir(directory, true);
    }

    function blockOf(string memory directory, string memory name) private view returns (uint256) {
        return vm.parseJsonUint(
            vm.readFile(string.concat(directory, "/31337.json")), string.concat(".contracts.", name, ".block")
        );
    }

    function create2(string memory salt, bytes32 initCodeHash) private pure returns (address) {
        return vm.computeCreate2Address(keccak256(bytes(salt)), initCodeHash);
    }
}
