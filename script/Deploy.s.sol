// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {Salt} from "../contracts/Salt.sol";
import {SaltChannels} from "../contracts/SaltChannels.sol";
import {SaltPay} from "../contracts/SaltPay.sol";
import {WrappedSalt} from "../contracts/WrappedSalt.sol";
import {X402ExactPermit2Proxy} from "../contracts/X402ExactPermit2Proxy.sol";
import {X402UptoPermit2Proxy} from "../contracts/X402UptoPermit2Proxy.sol";
import {IWrappedSalt} from "../contracts/interfaces/IWrappedSalt.sol";
import {DeploymentFile} from "./DeploymentFile.sol";
import {DeploymentPlan, PlannedContract, PlannedTransaction} from "./DeploymentPlan.sol";
import {PublicContracts, PublishedCode} from "./PublicContracts.sol";
import {Script} from "forge-std/Script.sol";
import {console} from "forge-std/console.sol";

/// @notice Sends a transaction that somebody else signed. forge has it; its library for Solidity, here, does not yet.
interface RawBroadcast {
    function broadcastRawTransaction(bytes calldata transaction) external;
}

/// @title Deploy
/// @notice Brings one chain to the state in which salt402 can be used on it.
///
///     ETH_RPC_URL=… ETH_KEYSTORE_ACCOUNT=NAME make deploy
///
/// @dev Everything is created by CREATE2 through the factory that stands at the same address on every chain, so that
/// the same code has the same address everywhere, and gets it back after a chain was reset. What is there already is
/// left alone: a second run sends nothing, and needs no key. Multicall3 alone is older than the factory, and is created
/// by a transaction that its author signed for all chains.
///
/// The environment decides the rest:
///
/// - SALT402_DEPLOYER_KEY: who pays. Without it the account that forge was given, as `--account NAME` of its keystore.
/// - SALT402_DEPLOYMENTS: the directory of the deployments' files, `<chain id>.json`; `deployments` if not given.
/// - SALT402_PLAN: a file for what is there and what is sent, in `scratch`. None is written without it.
/// - SALT402_SALT_HOLDER, SALT402_SALT_SUPPLY: who gets how much of Salt, the ERC-20, in base units. Without them none is
///   deployed. Its address depends on both.
/// - SALT402_X402_INIT_CODE: a directory, in `scratch` or `deployments`, with x402's own init code as
///   `x402ExactPermit2Proxy.hex` and `x402UptoPermit2Proxy.hex`. With it x402's proxies are put at their well-known
///   addresses; without it, and where they do not stand yet, ours are deployed.
/// - SALT402_MULTICALL3: `false` for a chain that takes no transaction without a chain id.
///
/// The script writes no file of deployments. What it says is true only after the transactions are mined, and then
/// `tools/deploy.mjs` reads it from the chain. `plan` sends nothing, and needs neither a key nor an account with money.
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

    /// @dev Of a transaction that carries coins and nothing else.
    uint256 private constant TRANSFER_GAS = 21_000;

    string private constant SALT_PREFIX = "salt402.v1.";

    /// @dev What stands on this chain when the script is through, in the order in which the file has it.
    PlannedContract[] private contracts;

    /// @dev What it takes, in order.
    PlannedTransaction[] private transactions;

    /// @dev Who deploys; zero if nobody was named.
    address private account;

    /// @dev Whether transactions are sent, or only planned.
    bool private sends;

    /// @notice What the environment decides.
    /// @param directory SALT402_DEPLOYMENTS.
    /// @param saltHolder SALT402_SALT_HOLDER, or zero.
    /// @param saltSupply SALT402_SALT_SUPPLY, or zero.
    /// @param x402InitCode SALT402_X402_INIT_CODE, or nothing.
    /// @param multicall3 SALT402_MULTICALL3.
    /// @param plan SALT402_PLAN, or nothing.
    struct Options {
        string directory;
        address saltHolder;
        uint256 saltSupply;
        string x402InitCode;
        bool multicall3;
        string plan;
    }

    /// @notice Sends what is missing on this chain.
    function run() external {
        deploy(environment());
    }

    /// @notice Writes down what `run` would send, and sends nothing.
    function plan() external {
        Options memory options = environment();
        prepare(options, false);
    }

    function environment() private view returns (Options memory) {
        address saltHolder = vm.envOr("SALT402_SALT_HOLDER", address(0));
        return Options({
            directory: vm.envOr("SALT402_DEPLOYMENTS", string("deployments")),
            saltHolder: saltHolder,
            saltSupply: saltHolder == address(0) ? 0 : vm.envUint("SALT402_SALT_SUPPLY"),
            x402InitCode: vm.envOr("SALT402_X402_INIT_CODE", string("")),
            multicall3: vm.envOr("SALT402_MULTICALL3", true),
            plan: vm.envOr("SALT402_PLAN", string(""))
        });
    }

    /// @notice Sends what is missing on this chain.
    /// @return How many transactions that takes.
    function deploy(Options memory options) public returns (uint256) {
        return prepare(options, true);
    }

    /// @notice Finds out what is missing on this chain, and sends it if it shall.
    /// @return How many transactions that takes.
    function prepare(Options memory options, bool send) public returns (uint256) {
        bool hasNativeSalt = requireSupported(block.chainid);
        if (CREATE2_FACTORY.code.length == 0) revert FactoryMissing(CREATE2_FACTORY);
        delete contracts;
        delete transactions;
        account = deployer();
        sends = send;

        deployOurs("SaltPay", type(SaltPay).creationCode);
        deployOurs("SaltChannels", type(SaltChannels).creationCode);
        deployWrappedSalt(hasNativeSalt);
        deploySalt(options);
        deployPublished(PublicContracts.permit2(), "script/initcode");
        deployProxy("X402ExactPermit2Proxy", type(X402ExactPermit2Proxy).creationCode, options);
        deployProxy("X402UptoPermit2Proxy", type(X402UptoPermit2Proxy).creationCode, options);
        // Last, because a chain may refuse its transaction.
        if (options.multicall3) deployMulticall3();

        if (bytes(options.plan).length > 0) DeploymentPlan.write(options.plan, account, contracts, transactions);
        return transactions.length;
    }

    /// @dev x402's own proxy of this name. A test stands its own code in for it.
    function publishedProxy(string memory name) internal pure virtual returns (PublishedCode memory) {
        return PublicContracts.x402Proxy(name);
    }

    /// @dev A contract of this repository, at the address that its code and its name give it.
    function deployOurs(string memory name, bytes memory initCode) private {
        create(name, saltOf(name), initCode);
    }

    /// @dev Somebody else's contract, at the address at which the world expects it, by the init code in a file.
    function deployPublished(PublishedCode memory published, string memory codeDirectory) private {
        string memory path = string.concat(codeDirectory, "/", published.file);
        bytes memory initCode = readBytes(path);
        if (keccak256(initCode) != published.initCodeHash) {
            revert WrongInitCode(path, keccak256(initCode), published.initCodeHash);
        }
        create(published.name, published.salt, initCode);
    }

    /// @dev Wrapping is for chains whose coin is SALT.
    function deployWrappedSalt(bool hasNativeSalt) private {
        if (!hasNativeSalt) return;
        if (block.chainid == CITRATE && CITRATE_WRAPPED_SALT.code.length > 0) {
            requireWrappedSalt(CITRATE_WRAPPED_SALT);
            record("WrappedSalt", CITRATE_WRAPPED_SALT, bytes32(0));
        } else {
            deployOurs("WrappedSalt", type(WrappedSalt).creationCode);
        }
    }

    /// @dev Who holds the supply is a decision, and so never a default. What was decided once stays in the file.
    function deploySalt(Options memory options) private {
        if (options.saltHolder != address(0)) {
            bytes memory arguments = abi.encode(options.saltHolder, options.saltSupply);
            deployOurs("Salt", bytes.concat(type(Salt).creationCode, arguments));
            return;
        }
        (address at, bytes32 initCodeHash) = DeploymentFile.recordedContract(options.directory, "Salt");
        if (at.code.length > 0) record("Salt", at, initCodeHash);
    }

    /// @dev x402's own where it stands or can be put, for its clients sign for no other address; otherwise ours.
    function deployProxy(string memory name, bytes memory ourCode, Options memory options) private {
        PublishedCode memory published = publishedProxy(name);
        if (addressOf(published).code.length > 0) {
            record(name, addressOf(published), published.initCodeHash);
            console.log("%s is at %s (x402's own)", name, addressOf(published));
        } else if (bytes(options.x402InitCode).length > 0) {
            deployPublished(published, options.x402InitCode);
        } else {
            bytes memory arguments = abi.encode(addressOf(PublicContracts.permit2()));
            deployOurs(name, bytes.concat(ourCode, arguments));
        }
    }

    /// @dev Its author signed one transaction for all chains, from an account that exists for it alone. That account
    /// must be able to pay for it.
    function deployMulticall3() private {
        address at = PublicContracts.MULTICALL3;
        record("Multicall3", at, PublicContracts.MULTICALL3_INIT_CODE_HASH);
        if (at.code.length > 0) {
            console.log("Multicall3 is at %s", at);
            return;
        }

        address payable signer = payable(PublicContracts.MULTICALL3_SIGNER);
        bytes memory signed = readBytes("script/initcode/Multicall3.tx.hex");
        uint256 missing =
            signer.balance < PublicContracts.MULTICALL3_COST ? PublicContracts.MULTICALL3_COST - signer.balance : 0;
        if (missing > 0) {
            transactions.push(PlannedTransaction("Multicall3", account, signer, missing, 0, TRANSFER_GAS, 0));
        }
        transactions.push(
            PlannedTransaction({
                name: "Multicall3",
                from: signer,
                to: address(0),
                value: 0,
                size: signed.length,
                gas: PublicContracts.MULTICALL3_GAS,
                gasPrice: PublicContracts.MULTICALL3_COST / PublicContracts.MULTICALL3_GAS
            })
        );
        if (!sends) return;

        startBroadcast();
        if (missing > 0) signer.transfer(missing);
        RawBroadcast(address(vm)).broadcastRawTransaction(signed);
        vm.stopBroadcast();

        if (at.codehash != PublicContracts.MULTICALL3_CODE_HASH) revert NotCreated("Multicall3", at);
        console.log("Multicall3 goes to %s", at);
    }

    /// @dev Sends a contract's creation unless it is there. The check runs in forge's simulation; on the chain, a
    /// receipt without failure says the same, since the factory reverts when it creates nothing. A call that is not
    /// sent is simulated all the same, and shows what it uses.
    function create(string memory name, bytes32 salt, bytes memory initCode) private {
        address at = vm.computeCreate2Address(salt, keccak256(initCode));
        record(name, at, keccak256(initCode));
        if (at.code.length > 0) {
            console.log("%s is at %s", name, at);
            return;
        }

        bytes memory data = bytes.concat(salt, initCode);
        if (sends) startBroadcast();
        (bool created,) = CREATE2_FACTORY.call(data);
        uint256 used = vm.lastCallGas().gasTotalUsed;
        if (sends) vm.stopBroadcast();

        if (!created || at.code.length == 0) revert NotCreated(name, at);
        transactions.push(PlannedTransaction(name, account, CREATE2_FACTORY, 0, data.length, used, 0));
        console.log("%s goes to %s", name, at);
    }

    /// @dev Notes where a contract belongs, and whether it is there.
    function record(string memory name, address at, bytes32 initCodeHash) private {
        contracts.push(PlannedContract(name, at, initCodeHash, at.code.length > 0));
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

    /// @dev Who would sign; zero where forge puts its own address in for nobody.
    function deployer() private view returns (address) {
        uint256 key = vm.envOr("SALT402_DEPLOYER_KEY", uint256(0));
        if (key != 0) return vm.addr(key);
        return msg.sender == DEFAULT_SENDER ? address(0) : msg.sender;
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
