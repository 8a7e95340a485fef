// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Salt} from "../contracts/Salt.sol";
import {SaltChannels} from "../contracts/SaltChannels.sol";
import {SaltPay} from "../contracts/SaltPay.sol";
import {WrappedSalt} from "../contracts/WrappedSalt.sol";
import {X402ExactPermit2Proxy} from "../contracts/X402ExactPermit2Proxy.sol";
import {X402UptoPermit2Proxy} from "../contracts/X402UptoPermit2Proxy.sol";
import {IWrappedSalt} from "../contracts/interfaces/IWrappedSalt.sol";
import {Deployment, DeploymentFile} from "./DeploymentFile.sol";
import {PublicContracts, PublishedCode} from "./PublicContracts.sol";
import {Script} from "forge-std/Script.sol";
import {VmSafe} from "forge-std/Vm.sol";
import {console} from "forge-std/console.sol";

/// @notice Sends a transaction that somebody else signed. forge has it; its library for Solidity, here, does not yet.
interface RawBroadcast {
    function broadcastRawTransaction(bytes calldata transaction) external;
}

/// @title Deploy
/// @notice Brings one chain to the state in which salt402 can be used on it, and writes down what stands where.
///
///     ETH_RPC_URL=… SALT402_DEPLOYER_KEY=0x… make deploy
///
/// @dev Everything is created by CREATE2 through the factory that stands at the same address on every chain, so that
/// the same code has the same address everywhere, and gets it back after a chain was reset. What is there already is
/// left alone: a second run sends nothing, and needs no key. Multicall3 alone is older than the factory, and is created
/// by a transaction that its author signed for all chains.
///
/// The environment decides the rest:
///
/// - SALT402_DEPLOYER_KEY: who pays. Without it the account that forge was given, as `--account NAME` of its keystore.
/// - SALT402_DEPLOYMENTS: the directory of the file that is written, `<chain id>.json`; `deployments` if not given.
/// - SALT402_SALT_HOLDER, SALT402_SALT_SUPPLY: who gets how much of Salt, the ERC-20, in base units. Without them none is
///   deployed. Its address depends on both.
/// - SALT402_X402_INIT_CODE: a directory, in `target` or `deployments`, with x402's own init code as
///   `x402ExactPermit2Proxy.hex` and `x402UptoPermit2Proxy.hex`. With it x402's proxies are put at their well-known
///   addresses; without it, and where they do not stand yet, ours are deployed.
/// - SALT402_MULTICALL3: `false` for a chain that takes no transaction without a chain id.
///
/// The file is written when it is known what is sent, and before anything is; if a transaction then fails, forge says so,
/// and the next run completes it. `make deploy` adds the transactions' hashes and blocks.
contract Deploy is Script {
    /// @notice No profile exists for this chain. Check the URL.
    error UnsupportedChain(uint256 chainId);

    /// @notice The CREATE2 factory is missing. Its deployment is described at
    /// https://github.com/Arachnid/deterministic-deployment-proxy
    error FactoryMissing(address factory);

    /// @notice The contract was not created at the address that it should have.
    error NotCreated(string name, address expected);

    /// @notice Something stands where Citrate's wrapped SALT should be, and it is not wrapped SALT.
    error NotWrappedSalt(address found);

    /// @notice A file does not hold the code that was published under this name.
    error WrongInitCode(string path, bytes32 found, bytes32 published);

    uint256 private constant CITRATE = 40204;
    uint256 private constant BASE = 8453;
    uint256 private constant BASE_SEPOLIA = 84532;
    uint256 private constant LOCAL = 31337;

    /// @dev Deployed by Citrate itself. A local chain may carry Citrate's id and not this contract.
    address private constant CITRATE_WRAPPED_SALT = 0xAa918302B94a4B0E75E01e019cc6b819B4F7c906;

    string private constant SALT_PREFIX = "salt402.v1.";

    /// @dev What stands on this chain when the script is through, in the order in which the file has it.
    Deployment[] private deployments;

    /// @dev How many transactions it takes.
    uint256 private sent;

    /// @notice What the environment decides.
    /// @param directory SALT402_DEPLOYMENTS.
    /// @param saltHolder SALT402_SALT_HOLDER, or zero.
    /// @param saltSupply SALT402_SALT_SUPPLY, or zero.
    /// @param x402InitCode SALT402_X402_INIT_CODE, or nothing.
    /// @param multicall3 SALT402_MULTICALL3.
    struct Options {
        string directory;
        address saltHolder;
        uint256 saltSupply;
        string x402InitCode;
        bool multicall3;
    }

    function run() external {
        address saltHolder = vm.envOr("SALT402_SALT_HOLDER", address(0));
        deploy(
            Options({
                directory: vm.envOr("SALT402_DEPLOYMENTS", string("deployments")),
                saltHolder: saltHolder,
                saltSupply: saltHolder == address(0) ? 0 : vm.envUint("SALT402_SALT_SUPPLY"),
                x402InitCode: vm.envOr("SALT402_X402_INIT_CODE", string("")),
                multicall3: vm.envOr("SALT402_MULTICALL3", true)
            })
        );
    }

    /// @notice Deploys what is missing on this chain and writes the file.
    /// @return transactions How many transactions that takes.
    function deploy(Options memory options) public returns (uint256 transactions) {
        bool hasNativeSalt = requireSupported(block.chainid);
        if (CREATE2_FACTORY.code.length == 0) revert FactoryMissing(CREATE2_FACTORY);
        delete deployments;
        sent = 0;

        deployOurs("SaltPay", type(SaltPay).creationCode, options.directory);
        deployOurs("SaltChannels", type(SaltChannels).creationCode, options.directory);
        deployWrappedSalt(hasNativeSalt, options.directory);
        deploySalt(options);
        deployPublished(PublicContracts.permit2(), "script/initcode", options.directory);
        deployProxy("X402ExactPermit2Proxy", type(X402ExactPermit2Proxy).creationCode, options);
        deployProxy("X402UptoPermit2Proxy", type(X402UptoPermit2Proxy).creationCode, options);
        // Last, because a chain may refuse its transaction.
        if (options.multicall3) deployMulticall3(options.directory);

        // A dry run creates nothing, so what it found to be missing must not be written down as being there.
        if (sent > 0 && vm.isContext(VmSafe.ForgeContext.ScriptDryRun)) {
            console.log("Dry run: nothing written. Add --broadcast to deploy.");
        } else {
            DeploymentFile.write(options.directory, deployments);
        }
        return sent;
    }

    /// @dev x402's own proxy of this name. A test stands its own code in for it.
    function publishedProxy(string memory name) internal pure virtual returns (PublishedCode memory) {
        return PublicContracts.x402Proxy(name);
    }

    /// @dev A contract of this repository, at the address that its code and its name give it.
    function deployOurs(string memory name, bytes memory initCode, string memory directory) private {
        create(name, saltOf(name), initCode, directory);
    }

    /// @dev Somebody else's contract, at the address at which the world expects it, by the init code in a file.
    function deployPublished(PublishedCode memory published, string memory codeDirectory, string memory directory)
        private
    {
        string memory path = string.concat(codeDirectory, "/", published.file);
        bytes memory initCode = readBytes(path);
        if (keccak256(initCode) != published.initCodeHash) {
            revert WrongInitCode(path, keccak256(initCode), published.initCodeHash);
        }
        create(published.name, published.salt, initCode, directory);
    }

    /// @dev Wrapping is for chains whose coin is SALT.
    function deployWrappedSalt(bool hasNativeSalt, string memory directory) private {
        if (!hasNativeSalt) return;
        if (block.chainid == CITRATE && CITRATE_WRAPPED_SALT.code.length > 0) {
            requireWrappedSalt(CITRATE_WRAPPED_SALT);
            record("WrappedSalt", CITRATE_WRAPPED_SALT, bytes32(0), directory);
        } else {
            deployOurs("WrappedSalt", type(WrappedSalt).creationCode, directory);
        }
    }

    /// @dev Who holds the supply is a decision, and so never a default. What was decided once stays in the file.
    function deploySalt(Options memory options) private {
        if (options.saltHolder != address(0)) {
            bytes memory arguments = abi.encode(options.saltHolder, options.saltSupply);
            deployOurs("Salt", bytes.concat(type(Salt).creationCode, arguments), options.directory);
            return;
        }
        (address at, bytes32 initCodeHash) = DeploymentFile.recordedContract(options.directory, "Salt");
        if (at.code.length > 0) record("Salt", at, initCodeHash, options.directory);
    }

    /// @dev x402's own where it stands or can be put, for its clients sign for no other address; otherwise ours.
    function deployProxy(string memory name, bytes memory ourCode, Options memory options) private {
        PublishedCode memory published = publishedProxy(name);
        if (addressOf(published).code.length > 0) {
            record(name, addressOf(published), published.initCodeHash, options.directory);
            console.log("%s is at %s (x402's own)", name, addressOf(published));
        } else if (bytes(options.x402InitCode).length > 0) {
            deployPublished(published, options.x402InitCode, options.directory);
        } else {
            bytes memory arguments = abi.encode(addressOf(PublicContracts.permit2()));
            deployOurs(name, bytes.concat(ourCode, arguments), options.directory);
        }
    }

    /// @dev Its author signed one transaction for all chains, from an account that exists for it alone. That account
    /// must be able to pay for it.
    function deployMulticall3(string memory directory) private {
        address at = PublicContracts.MULTICALL3;
        record("Multicall3", at, PublicContracts.MULTICALL3_INIT_CODE_HASH, directory);
        if (at.code.length > 0) {
            console.log("Multicall3 is at %s", at);
            return;
        }

        address payable signer = payable(PublicContracts.MULTICALL3_SIGNER);
        startBroadcast();
        if (signer.balance < PublicContracts.MULTICALL3_COST) {
            signer.transfer(PublicContracts.MULTICALL3_COST - signer.balance);
            ++sent;
        }
        RawBroadcast(address(vm)).broadcastRawTransaction(readBytes("script/initcode/Multicall3.tx.hex"));
        ++sent;
        vm.stopBroadcast();

        if (at.codehash != PublicContracts.MULTICALL3_CODE_HASH) revert NotCreated("Multicall3", at);
        console.log("Multicall3 goes to %s", at);
    }

    /// @dev Sends a contract's creation unless it is there. The check runs in forge's simulation; on the chain, a
    /// receipt without failure says the same, since the factory reverts when it creates nothing.
    function create(string memory name, bytes32 salt, bytes memory initCode, string memory directory) private {
        address at = vm.computeCreate2Address(salt, keccak256(initCode));
        record(name, at, keccak256(initCode), directory);
        if (at.code.length > 0) {
            console.log("%s is at %s", name, at);
            return;
        }

        startBroadcast();
        (bool created,) = CREATE2_FACTORY.call(bytes.concat(salt, initCode));
        vm.stopBroadcast();
        ++sent;

        if (!created || at.code.length == 0) revert NotCreated(name, at);
        console.log("%s goes to %s", name, at);
    }

    /// @dev Notes where a contract belongs, and since when it is there if it is.
    function record(string memory name, address at, bytes32 initCodeHash, string memory directory) private {
        (uint256 createdFrom, bytes32 transaction) =
            at.code.length == 0 ? (block.number, bytes32(0)) : DeploymentFile.recordedCreation(directory, name, at);
        deployments.push(
            Deployment({
                name: name, at: at, initCodeHash: initCodeHash, createdFrom: createdFrom, transaction: transaction
            })
        );
    }

    /// @dev Citrate's own token stands at an address that depends on its deployer's nonce. After a reset another
    /// contract may stand there, so it is asked for its signing domain.
    function requireWrappedSalt(address token) private view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Wrapped SALT"),
                keccak256("1"),
                block.chainid,
                token
            )
        );
        (bool answered, bytes memory answer) = token.staticcall(abi.encodeCall(IWrappedSalt.DOMAIN_SEPARATOR, ()));
        if (!answered || keccak256(answer) != keccak256(abi.encode(domain))) revert NotWrappedSalt(token);
        console.log("WrappedSalt is at %s (Citrate's own)", token);
    }

    function readBytes(string memory path) private view returns (bytes memory) {
        return vm.parseBytes(vm.trim(vm.readFile(path)));
    }

    function startBroadcast() private {
        uint256 key = vm.envOr("SALT402_DEPLOYER_KEY", uint256(0));
        if (key == 0) vm.startBroadcast();
        else vm.startBroadcast(key);
    }

    function addressOf(PublishedCode memory published) private pure returns (address) {
        return vm.computeCreate2Address(published.salt, published.initCodeHash);
    }

    function saltOf(string memory name) private pure returns (bytes32) {
        return keccak256(bytes(string.concat(SALT_PREFIX, name)));
    }

    function requireSupported(uint256 chainId) private pure returns (bool hasNativeSalt) {
        if (chainId == CITRATE || chainId == LOCAL) return true;
        if (chainId == BASE || chainId == BASE_SEPOLIA) return false;
        console.log(
            "There is no profile for chain %s, and nothing was sent. Is ETH_RPC_URL the node that you meant?", chainId
        );
        console.log("Supported: Citrate (%s), Base (%s), Base Sepolia (%s)", CITRATE, BASE, BASE_SEPOLIA);
        console.log("and local chains (%s, or any of these ids).", LOCAL);
        revert UnsupportedChain(chainId);
    }
}
