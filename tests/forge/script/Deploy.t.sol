// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Salt} from "../../../contracts/Salt.sol";
import {SaltChannels} from "../../../contracts/SaltChannels.sol";
import {SaltPay} from "../../../contracts/SaltPay.sol";
import {WrappedSalt} from "../../../contracts/WrappedSalt.sol";
import {X402ExactPermit2Proxy} from "../../../contracts/X402ExactPermit2Proxy.sol";
import {X402UptoPermit2Proxy} from "../../../contracts/X402UptoPermit2Proxy.sol";
import {Deploy} from "../../../script/Deploy.s.sol";
import {PublishedCode} from "../../../script/PublicContracts.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {Test} from "forge-std/Test.sol";

/// @notice Addresses and init code hashes are written out here, so that a change of any byte of a contract, its
/// libraries or the compiler's settings shows: it moves the contract on every chain.
contract Deploy_deploy is Test {
    address private constant SALT_PAY = 0x5c69209f55Ff9E959bF45018b1e02A15eB360F38;
    bytes32 private constant SALT_PAY_INIT_CODE_HASH =
        0xaaf8548d97ef5340f6464a2444ad2d68a6e37e347b4da145400906f00599e2ad;
    address private constant SALT_CHANNELS = 0xC01423Fa23cbd64098B5bED48dEc6D434e059486;
    bytes32 private constant SALT_CHANNELS_INIT_CODE_HASH =
        0x45ff91abc8813d6bf8d035cd61ea19afa7080b1d4e185a2723d1ec600b313b3d;
    address private constant WRAPPED_SALT = 0x0E34b0048baF879f4e7f41f3014746CE1317e763;
    bytes32 private constant WRAPPED_SALT_INIT_CODE_HASH =
        0xc3baa9c063511604bf32d39a017f678af3d97b7b17953ef8cb59e1d318579ba0;
    address private constant EXACT = 0x0326f0b6dD694f4927d5f76e9B2904Db36c9E5f5;
    bytes32 private constant EXACT_INIT_CODE_HASH = 0x1911163295d4812ba5ddb315a1cdc8b9166a76939d161c5722f80eabed3df2de;
    address private constant UPTO = 0x5bDD93A858646C46B33C2CBc7A9F1eeAeecD675e;
    bytes32 private constant UPTO_INIT_CODE_HASH = 0xef299ef515d70c90fd63f6d64a15771991e9df2cc01bdbec8c95a37ac4e5aa83;

    /// @dev Of the creation code alone: holder and supply come after it, and decide the address too.
    bytes32 private constant SALT_CREATION_CODE_HASH =
        0xcc038beed0f690de84cf39c371c471e8c5b6fab5010bc2120b13aeb78d17437f;

    address private constant PERMIT2 = 0x000000000022D473030F116dDEE9F6B43aC78BA3;
    address private constant MULTICALL3 = 0xcA11bde05977b3631167028862bE2a173976CA11;
    address private constant MULTICALL3_SIGNER = 0x05f32B3cC3888453ff71B01135B34FF8e41263F2;
    address private constant X402_EXACT = 0x402085c248EeA27D92E8b30b2C58ed07f9E20001;
    address private constant X402_UPTO = 0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002;
    address private constant CITRATE_WRAPPED_SALT = 0xAa918302B94a4B0E75E01e019cc6b819B4F7c906;

    uint256 private constant BLOCK = 6_929;

    /// @dev SaltPay, SaltChannels, Permit2, the two proxies, and Multicall3 with the coins for it.
    uint256 private constant ON_EVERY_CHAIN = 7;

    DeployWithOwnX402 private script;
    address private deployer;

    function setUp() external {
        uint256 key = uint256(keccak256("deployer"));
        vm.setEnv("SALT402_DEPLOYER_KEY", vm.toString(bytes32(key)));
        deployer = vm.addr(key);
        vm.deal(deployer, 1 ether);
        vm.roll(BLOCK);
        script = new DeployWithOwnX402();
    }

    function test_addresses_areThoseOfTheCodeAndItsSalt() external pure {
        assertEq(keccak256(type(SaltPay).creationCode), SALT_PAY_INIT_CODE_HASH);
        assertEq(create2("salt402.v1.SaltPay", SALT_PAY_INIT_CODE_HASH), SALT_PAY);
        assertEq(keccak256(type(SaltChannels).creationCode), SALT_CHANNELS_INIT_CODE_HASH);
        assertEq(create2("salt402.v1.SaltChannels", SALT_CHANNELS_INIT_CODE_HASH), SALT_CHANNELS);
        assertEq(keccak256(type(WrappedSalt).creationCode), WRAPPED_SALT_INIT_CODE_HASH);
        assertEq(create2("salt402.v1.WrappedSalt", WRAPPED_SALT_INIT_CODE_HASH), WRAPPED_SALT);
        assertEq(
            keccak256(bytes.concat(type(X402ExactPermit2Proxy).creationCode, abi.encode(PERMIT2))), EXACT_INIT_CODE_HASH
        );
        assertEq(create2("salt402.v1.X402ExactPermit2Proxy", EXACT_INIT_CODE_HASH), EXACT);
        assertEq(
            keccak256(bytes.concat(type(X402UptoPermit2Proxy).creationCode, abi.encode(PERMIT2))), UPTO_INIT_CODE_HASH
        );
        assertEq(create2("salt402.v1.X402UptoPermit2Proxy", UPTO_INIT_CODE_HASH), UPTO);
        assertEq(keccak256(type(Salt).creationCode), SALT_CREATION_CODE_HASH);
    }

    function test_addresses_ofX402sOwnProxies_areThoseOfTheirPublishedHashes() external {
        Deploy plain = new DeployAsItIs();
        assertEq(addressOf(DeployAsItIs(address(plain)).published("X402ExactPermit2Proxy")), X402_EXACT);
        assertEq(addressOf(DeployAsItIs(address(plain)).published("X402UptoPermit2Proxy")), X402_UPTO);
    }

    function test_deploy_putsEverythingOnALocalChain() external {
        deploysAll(31337, "local");
    }

    function test_deploy_putsEverythingOnAChainWithCitratesIdAndWithoutItsToken() external {
        deploysAll(40204, "citrate-local");
    }

    function test_deploy_takesCitratesOwnToken() external {
        Deploy.Options memory options = fresh("citrate");
        vm.chainId(40204);
        vm.etch(CITRATE_WRAPPED_SALT, address(new WrappedSalt()).code);

        assertEq(script.deploy(options), ON_EVERY_CHAIN);

        assertEq(addressIn(options, "SaltPay"), SALT_PAY);
        assertEq(addressIn(options, "WrappedSalt"), CITRATE_WRAPPED_SALT);
        string memory json = vm.readFile(options.plan);
        assertEq(vm.parseJson(json, ".contracts[2].initCodeHash"), vm.parseJson("null"));
        assertTrue(vm.parseJsonBool(json, ".contracts[2].isThere"));
        assertEq(WRAPPED_SALT.code.length, 0);
    }

    function test_deploy_reverts_whenAnotherContractStandsAtCitratesToken() external {
        Deploy.Options memory options = fresh("citrate-other");
        vm.chainId(40204);
        vm.etch(CITRATE_WRAPPED_SALT, address(new PlainToken()).code);

        vm.expectRevert(abi.encodeWithSelector(Deploy.NotWrappedSalt.selector, CITRATE_WRAPPED_SALT));
        script.deploy(options);
    }

    function test_deploy_putsNoWrappedSaltOnBase() external {
        deploysWithoutWrappedSalt(8453, "base");
    }

    function test_deploy_putsNoWrappedSaltOnBaseSepolia() external {
        deploysWithoutWrappedSalt(84532, "base-sepolia");
    }

    function test_deploy_putsSaltWhereItsHolderIsNamed_andKeepsItInTheFile() external {
        Deploy.Options memory options = fresh("salt");
        options.saltHolder = makeAddr("lockbox");
        options.saltSupply = 1e30;
        vm.chainId(8453);

        assertEq(script.deploy(options), ON_EVERY_CHAIN + 1);

        address salt = addressIn(options, "Salt");
        assertEq(Salt(salt).balanceOf(options.saltHolder), 1e30);
        assertEq(
            salt,
            create2(
                "salt402.v1.Salt",
                keccak256(bytes.concat(type(Salt).creationCode, abi.encode(options.saltHolder, options.saltSupply)))
            )
        );

        // The file, as it is written afterwards, says where it is.
        vm.writeFile(
            string.concat(options.directory, "/8453.json"),
            string.concat(
                '{"contracts":{"Salt":{"address":"',
                vm.toString(salt),
                '","initCodeHash":"',
                vm.toString(bytes32(uint256(7))),
                '"}}}'
            )
        );
        options.saltHolder = address(0);
        assertEq(script.deploy(options), 0);
        assertEq(addressIn(options, "Salt"), salt);
        assertEq(vm.parseJsonBytes32(vm.readFile(options.plan), ".contracts[2].initCodeHash"), bytes32(uint256(7)));
    }

    function test_deploy_putsX402sOwnProxiesAtTheirAddresses_whenItHasTheirCode() external {
        Deploy.Options memory options = fresh("x402");
        options.x402InitCode = "scratch/forge-test/x402-code";
        vm.createDir(options.x402InitCode, true);
        writeCode(options.x402InitCode, "x402ExactPermit2Proxy.hex", script.exactCode());
        writeCode(options.x402InitCode, "x402UptoPermit2Proxy.hex", script.uptoCode());

        assertEq(script.deploy(options), ON_EVERY_CHAIN + 1);

        address exact = addressOf(script.published("X402ExactPermit2Proxy"));
        address upto = addressOf(script.published("X402UptoPermit2Proxy"));
        assertEq(addressIn(options, "X402ExactPermit2Proxy"), exact);
        assertEq(addressIn(options, "X402UptoPermit2Proxy"), upto);
        assertGt(exact.code.length, 0);
        assertGt(upto.code.length, 0);
        assertEq(EXACT.code.length, 0);

        // They are found again without their code.
        options.x402InitCode = "";
        assertEq(script.deploy(options), 0);
        assertEq(addressIn(options, "X402ExactPermit2Proxy"), exact);
    }

    function test_deploy_reverts_whenX402sCodeIsNotWhatWasPublished() external {
        Deploy.Options memory options = fresh("x402-wrong");
        options.x402InitCode = "scratch/forge-test/x402-wrong-code";
        vm.createDir(options.x402InitCode, true);
        writeCode(options.x402InitCode, "x402ExactPermit2Proxy.hex", hex"600080");

        vm.expectRevert(
            abi.encodeWithSelector(
                Deploy.WrongInitCode.selector,
                "scratch/forge-test/x402-wrong-code/x402ExactPermit2Proxy.hex",
                keccak256(hex"600080"),
                script.published("X402ExactPermit2Proxy").initCodeHash
            )
        );
        script.deploy(options);
    }

    function test_deploy_leavesPermit2AndMulticall3WhereTheyAre() external {
        Deploy.Options memory options = fresh("public");
        script.deploy(options);
        vm.etch(SALT_PAY, "");
        vm.resetNonce(SALT_PAY);

        assertEq(script.deploy(options), 1);
    }

    function test_deploy_paysMulticall3sSignerOnlyWhatItLacks() external {
        vm.deal(MULTICALL3_SIGNER, 0.04 ether);

        script.deploy(fresh("multicall3"));

        assertEq(deployer.balance, 0.94 ether);
        assertEq(MULTICALL3.codehash, 0xd5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891);
    }

    function test_deploy_leavesMulticall3Out_whereItIsToldSo() external {
        Deploy.Options memory options = fresh("no-multicall3");
        options.multicall3 = false;

        assertEq(script.deploy(options), ON_EVERY_CHAIN - 1);

        assertEq(MULTICALL3.code.length, 0);
        assertFalse(isNamed(options, "Multicall3"));
    }

    function test_deploy_sendsNothingTheSecondTime() external {
        Deploy.Options memory options = fresh("twice");
        script.deploy(options);

        assertEq(script.deploy(options), 0);
        assertEq(vm.parseJsonKeys(vm.readFile(options.plan), "$").length, 5);
        assertFalse(vm.keyExistsJson(vm.readFile(options.plan), ".transactions[0]"));
        assertEq(vm.indexOf(vm.readFile(options.plan), '"isThere": false'), type(uint256).max);
    }

    function test_deploy_sendsOnlyWhatIsMissing() external {
        Deploy.Options memory options = fresh("half");
        script.deploy(options);
        vm.etch(WRAPPED_SALT, "");
        vm.resetNonce(WRAPPED_SALT);

        assertEq(script.deploy(options), 1);
        string memory json = vm.readFile(options.plan);
        assertEq(vm.parseJsonString(json, ".transactions[0].name"), "WrappedSalt");
        assertFalse(vm.keyExistsJson(json, ".transactions[1]"));
        assertTrue(vm.parseJsonBool(json, ".contracts[0].isThere"));
        assertFalse(vm.parseJsonBool(json, ".contracts[2].isThere"));
    }

    /// @dev A file that names contracts before they exist would be believed by everything else.
    function test_deploy_writesNoFileOfDeployments() external {
        Deploy.Options memory options = fresh("no-file");

        script.deploy(options);

        assertFalse(vm.exists(string.concat(options.directory, "/31337.json")));
    }

    function test_plan_saysWhatIsSent_andSendsNothing() external {
        Deploy.Options memory options = fresh("plan");
        vm.deal(deployer, 0);
        uint64 nonce = vm.getNonce(deployer);

        assertEq(script.prepare(options, false), ON_EVERY_CHAIN + 1);

        assertEq(vm.getNonce(deployer), nonce);
        assertEq(MULTICALL3.code.length, 0);
        string memory json = vm.readFile(options.plan);
        assertEq(vm.parseJsonUint(json, ".chainId"), 31337);
        assertEq(vm.parseJsonUint(json, ".block"), BLOCK);
        assertEq(vm.parseJsonAddress(json, ".account"), deployer);
        assertEq(vm.parseJsonString(json, ".transactions[0].name"), "SaltPay");
        assertEq(vm.parseJsonAddress(json, ".transactions[0].from"), deployer);
        assertEq(vm.parseJsonAddress(json, ".transactions[0].to"), CREATE2_FACTORY);
        assertEq(vm.parseJsonUint(json, ".transactions[0].size"), 32 + type(SaltPay).creationCode.length);
        assertEq(vm.parseJsonUint(json, ".transactions[0].value"), 0);
        // The code's deposit is 200 gas a byte, and that of its creation and its calldata is on top.
        assertGt(vm.parseJsonUint(json, ".transactions[0].gas"), 21_000 + 200 * type(SaltPay).runtimeCode.length);
        assertEq(vm.parseJson(json, ".transactions[0].gasPrice"), vm.parseJson("null"));
        assertEq(vm.parseJsonAddress(json, ".transactions[6].to"), MULTICALL3_SIGNER);
        assertEq(vm.parseJsonUint(json, ".transactions[6].value"), 0.1 ether);
        assertEq(vm.parseJsonAddress(json, ".transactions[7].from"), MULTICALL3_SIGNER);
        assertEq(vm.parseJsonUint(json, ".transactions[7].gas"), 1_000_000);
        assertEq(vm.parseJsonUint(json, ".transactions[7].gasPrice"), 100 gwei);
        assertFalse(vm.keyExistsJson(json, ".transactions[8]"));
    }

    function testFuzz_deploy_reverts_onAnyOtherChain(uint64 chainId) external {
        vm.assume(chainId != 0 && chainId != 40204 && chainId != 8453 && chainId != 84532 && chainId != 31337);
        Deploy.Options memory options;
        options.directory = "scratch/forge-test/other";
        vm.chainId(chainId);

        vm.expectRevert(abi.encodeWithSelector(Deploy.UnsupportedChain.selector, chainId));
        script.deploy(options);
    }

    function test_deploy_reverts_whenTheFactoryIsMissing() external {
        Deploy.Options memory options = fresh("no-factory");
        vm.etch(CREATE2_FACTORY, "");

        vm.expectRevert(abi.encodeWithSelector(Deploy.FactoryMissing.selector, CREATE2_FACTORY));
        script.deploy(options);
    }

    function test_deploy_reverts_whenTheFactoryCreatesNothing() external {
        Deploy.Options memory options = fresh("idle-factory");
        vm.etch(CREATE2_FACTORY, hex"00");

        vm.expectRevert(abi.encodeWithSelector(Deploy.NotCreated.selector, "SaltPay", SALT_PAY));
        script.deploy(options);
    }

    function deploysAll(uint256 chainId, string memory name) private {
        Deploy.Options memory options = fresh(name);
        vm.chainId(chainId);

        assertEq(script.deploy(options), ON_EVERY_CHAIN + 1);

        assertEq(SALT_PAY.code, type(SaltPay).runtimeCode);
        assertGt(SALT_CHANNELS.code.length, 0);
        assertEq(WrappedSalt(payable(WRAPPED_SALT)).symbol(), "wSALT");
        assertEq(X402ExactPermit2Proxy(EXACT).PERMIT2(), PERMIT2);
        assertEq(X402UptoPermit2Proxy(UPTO).PERMIT2(), PERMIT2);
        assertGt(PERMIT2.code.length, 0);
        assertGt(MULTICALL3.code.length, 0);

        named(options, 0, "SaltPay", SALT_PAY, SALT_PAY_INIT_CODE_HASH);
        named(options, 1, "SaltChannels", SALT_CHANNELS, SALT_CHANNELS_INIT_CODE_HASH);
        named(options, 2, "WrappedSalt", WRAPPED_SALT, WRAPPED_SALT_INIT_CODE_HASH);
        named(options, 3, "Permit2", PERMIT2, 0xe2be1e05eedf35dacd66c65c862f8150ff9ab4b6b24b9bbe62be71b6b16cf0f8);
        named(options, 4, "X402ExactPermit2Proxy", EXACT, EXACT_INIT_CODE_HASH);
        named(options, 5, "X402UptoPermit2Proxy", UPTO, UPTO_INIT_CODE_HASH);
        named(options, 6, "Multicall3", MULTICALL3, 0x0b2046aa018109118d518235014ac2c679dcbdff32c64705fdf50d048cd32d22);
        assertFalse(vm.keyExistsJson(vm.readFile(options.plan), ".contracts[7]"));
        assertEq(vm.parseJsonUint(vm.readFile(options.plan), ".chainId"), chainId);
    }

    function deploysWithoutWrappedSalt(uint256 chainId, string memory name) private {
        Deploy.Options memory options = fresh(name);
        vm.chainId(chainId);

        assertEq(script.deploy(options), ON_EVERY_CHAIN);

        assertEq(addressIn(options, "SaltPay"), SALT_PAY);
        assertFalse(isNamed(options, "WrappedSalt"));
        assertFalse(isNamed(options, "Salt"));
        assertEq(WRAPPED_SALT.code.length, 0);
    }

    /// @dev A directory of its own for each test, without what an earlier run left in it.
    function fresh(string memory name) private returns (Deploy.Options memory options) {
        options.directory = string.concat("scratch/forge-test/", name);
        options.multicall3 = true;
        if (vm.exists(options.directory)) vm.removeDir(options.directory, true);
        vm.createDir(options.directory, true);
        options.plan = string.concat(options.directory, "/plan.json");
    }

    function writeCode(string memory directory, string memory file, bytes memory code) private {
        vm.writeFile(string.concat(directory, "/", file), string.concat(vm.toString(code), "\n"));
    }

    function named(Deploy.Options memory options, uint256 at, string memory name, address where, bytes32 hash)
        private
        view
    {
        string memory json = vm.readFile(options.plan);
        string memory key = string.concat(".contracts[", vm.toString(at), "]");
        assertEq(vm.parseJsonString(json, string.concat(key, ".name")), name);
        assertEq(vm.parseJsonAddress(json, string.concat(key, ".address")), where);
        assertEq(vm.parseJsonBytes32(json, string.concat(key, ".initCodeHash")), hash);
        assertFalse(vm.parseJsonBool(json, string.concat(key, ".isThere")));
    }

    function isNamed(Deploy.Options memory options, string memory name) private view returns (bool) {
        string memory entry = string.concat('{"name": "', name, '", "address"');
        return vm.indexOf(vm.readFile(options.plan), entry) != type(uint256).max;
    }

    /// @dev The plan is a list, in the order in which contracts are created.
    function addressIn(Deploy.Options memory options, string memory name) private view returns (address) {
        string memory json = vm.readFile(options.plan);
        for (uint256 i = 0;; ++i) {
            string memory key = string.concat(".contracts[", vm.toString(i), "]");
            if (keccak256(bytes(vm.parseJsonString(json, string.concat(key, ".name")))) == keccak256(bytes(name))) {
                return vm.parseJsonAddress(json, string.concat(key, ".address"));
            }
        }
        revert("not in the plan");
    }

    function addressOf(PublishedCode memory published) private pure returns (address) {
        return vm.computeCreate2Address(published.salt, published.initCodeHash);
    }

    function create2(string memory salt, bytes32 initCodeHash) private pure returns (address) {
        return vm.computeCreate2Address(keccak256(bytes(salt)), initCodeHash);
    }
}

/// @notice Shows what the script takes for x402's own proxies.
contract DeployAsItIs is Deploy {
    function published(string memory name) external pure returns (PublishedCode memory) {
        return publishedProxy(name);
    }
}

/// @notice Nobody has the preimages of x402's published hashes in this repository, so the code of x402's proxies is
/// stood in for: by ours, with another salt.
contract DeployWithOwnX402 is Deploy {
    function exactCode() public pure returns (bytes memory) {
        return bytes.concat(type(X402ExactPermit2Proxy).creationCode, abi.encode(address(1)));
    }

    function uptoCode() public pure returns (bytes memory) {
        return bytes.concat(type(X402UptoPermit2Proxy).creationCode, abi.encode(address(1)));
    }

    function published(string memory name) external pure returns (PublishedCode memory) {
        return publishedProxy(name);
    }

    function publishedProxy(string memory name) internal pure override returns (PublishedCode memory code) {
        code = super.publishedProxy(name);
        bool isExact = keccak256(bytes(name)) == keccak256("X402ExactPermit2Proxy");
        code.initCodeHash = keccak256(isExact ? exactCode() : uptoCode());
    }
}
