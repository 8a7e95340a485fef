// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {SaltPay} from "../contracts/SaltPay.sol";
import {WrappedSalt} from "../contracts/WrappedSalt.sol";
import {IWrappedSalt} from "../contracts/interfaces/IWrappedSalt.sol";
import {Deployment, DeploymentFile} from "./DeploymentFile.sol";
import {Script} from "forge-std/Script.sol";
import {VmSafe} from "forge-std/Vm.sol";
import {console} from "forge-std/console.sol";

/// @title Deploy
/// @notice Brings one chain to the state in which salt402 can be used on it, and writes down what stands where.
///
///     SALT402_DEPLOYER_KEY=0x… forge script script/Deploy.s.sol --rpc-url URL --broadcast
///
/// @dev Everything is created by CREATE2 through the factory that stands at the same address on every chain, so that
/// the same code has the same address everywhere, and gets it back after a chain was reset. What is there already is
/// left alone: a second run sends nothing, and needs no key.
///
/// The file is `<chain id>.json` in the directory SALT402_DEPLOYMENTS, or `deployments`. It is written when the
/// transactions are known and before they are sent; if one then fails, forge says so, and the next run completes it.
contract Deploy is Script {
    /// @notice No profile exists for this chain. Check the URL.
    error UnsupportedChain(uint256 chainId);

    /// @notice The CREATE2 factory is missing. Its deployment is described at
    /// https://github.com/Arachnid/deterministic-deployment-proxy
    error FactoryMissing(address factory);

    /// @notice The factory did not create the contract at the address that it should have.
    error NotCreated(string name, address expected);

    /// @notice Something stands where Citrate's wrapped SALT should be, and it is not wrapped SALT.
    error NotWrappedSalt(address found);

    uint256 private constant CITRATE = 40204;
    uint256 private constant BASE = 8453;
    uint256 private constant BASE_SEPOLIA = 84532;
    uint256 private constant LOCAL = 31337;

    /// @dev Deployed by Citrate itself. A local chain may carry Citrate's id and not this contract.
    address private constant CITRATE_WRAPPED_SALT = 0xAa918302B94a4B0E75E01e019cc6b819B4F7c906;

    string private constant SALT_PREFIX = "salt402.v1.";

    function run() external {
        deploy(vm.envOr("SALT402_DEPLOYMENTS", string("deployments")));
    }

    /// @notice Deploys what is missing on this chain and writes the file into `directory`.
    /// @return sent How many transactions that takes.
    function deploy(string memory directory) public returns (uint256 sent) {
        bool hasNativeSalt = requireSupported(block.chainid);
        if (CREATE2_FACTORY.code.length == 0) revert FactoryMissing(CREATE2_FACTORY);

        Deployment[] memory deployments = new Deployment[](hasNativeSalt ? 2 : 1);
        deployments[0] = inspect("SaltPay", type(SaltPay).creationCode, directory);
        sent += create(deployments[0], type(SaltPay).creationCode);

        // Wrapping is for chains whose coin is SALT.
        if (hasNativeSalt) {
            if (block.chainid == CITRATE && CITRATE_WRAPPED_SALT.code.length > 0) {
                deployments[1] = citrateWrappedSalt(directory);
            } else {
                deployments[1] = inspect("WrappedSalt", type(WrappedSalt).creationCode, directory);
                sent += create(deployments[1], type(WrappedSalt).creationCode);
            }
        }

        // A dry run creates nothing, so what it found to be missing must not be written down as being there.
        if (sent > 0 && vm.isContext(VmSafe.ForgeContext.ScriptDryRun)) {
            console.log("Dry run: nothing written. Add --broadcast to deploy.");
        } else {
            DeploymentFile.write(directory, deployments);
        }
    }

    /// @dev Where a contract belongs, and since when it is there if it is.
    function inspect(string memory name, bytes memory initCode, string memory directory)
        private
        returns (Deployment memory deployment)
    {
        deployment.name = name;
        deployment.initCodeHash = keccak256(initCode);
        deployment.at = vm.computeCreate2Address(saltOf(name), deployment.initCodeHash);
        deployment.createdFrom = deployment.at.code.length == 0
            ? block.number
            : DeploymentFile.recordedBlock(directory, name, deployment.at);
    }

    /// @dev Sends a contract's creation unless it is there. The check runs in forge's simulation; on the chain, a
    /// receipt without failure says the same, since the factory reverts when it creates nothing.
    function create(Deployment memory deployment, bytes memory initCode) private returns (uint256 sent) {
        if (deployment.at.code.length > 0) {
            console.log("%s is at %s", deployment.name, deployment.at);
            return 0;
        }

        vm.startBroadcast(vm.envUint("SALT402_DEPLOYER_KEY"));
        (bool created,) = CREATE2_FACTORY.call(bytes.concat(saltOf(deployment.name), initCode));
        vm.stopBroadcast();

        if (!created || deployment.at.code.length == 0) revert NotCreated(deployment.name, deployment.at);
        console.log("%s goes to %s", deployment.name, deployment.at);
        return 1;
    }

    /// @dev Citrate's own token stands at an address that depends on its deployer's nonce. After a reset another
    /// contract may stand there, so it is asked for its signing domain.
    function citrateWrappedSalt(string memory directory) private returns (Deployment memory deployment) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Wrapped SALT"),
                keccak256("1"),
                block.chainid,
                CITRATE_WRAPPED_SALT
            )
        );
        (bool answered, bytes memory answer) =
            CITRATE_WRAPPED_SALT.staticcall(abi.encodeCall(IWrappedSalt.DOMAIN_SEPARATOR, ()));
        if (!answered || keccak256(answer) != keccak256(abi.encode(domain))) {
            revert NotWrappedSalt(CITRATE_WRAPPED_SALT);
        }

        deployment.name = "WrappedSalt";
        deployment.at = CITRATE_WRAPPED_SALT;
        deployment.createdFrom = DeploymentFile.recordedBlock(directory, deployment.name, deployment.at);
        console.log("%s is at %s (Citrate's own)", deployment.name, deployment.at);
    }

    function saltOf(string memory name) private pure returns (bytes32) {
        return keccak256(bytes(string.concat(SALT_PREFIX, name)));
    }

    function requireSupported(uint256 chainId) private pure returns (bool hasNativeSalt) {
        if (chainId == CITRATE || chainId == LOCAL) return true;
        if (chainId == BASE || chainId == BASE_SEPOLIA) return false;
        revert UnsupportedChain(chainId);
    }
}
