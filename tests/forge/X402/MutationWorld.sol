// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IX402Permit2Proxy} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {FalseReturnToken} from "../mocks/FalseReturnToken.sol";
import {FeeOnTransferToken} from "../mocks/FeeOnTransferToken.sol";
import {HostileToken} from "../mocks/HostileToken.sol";
import {HostileWallet} from "../mocks/HostileWallet.sol";
import {NoReturnToken} from "../mocks/NoReturnToken.sol";
import {OddReturnToken} from "../mocks/OddReturnToken.sol";
import {PermitRefusingToken} from "../mocks/PermitRefusingToken.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {QuietToken} from "../mocks/QuietToken.sol";
import {ReenteringToken} from "../mocks/ReenteringToken.sol";
import {ReenteringWallet} from "../mocks/ReenteringWallet.sol";
import {RevertingToken} from "../mocks/RevertingToken.sol";
import {X402Test} from "./X402Test.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Vm} from "forge-std/Vm.sol";
import {ISignatureTransfer} from "permit2/interfaces/ISignatureTransfer.sol";

/// @notice Who and what mutated payments are about: honest and hostile tokens, payers with a key, with code, with both and
/// with neither, and the one address at which now our proxy stands and now the plain one, so that both can be shown the
/// same signatures.
abstract contract MutationWorld is X402Test {
    /// @dev Where tokens are that a case tells what to do.
    uint256 internal constant REENTERING = 1;
    uint256 internal constant HOSTILE = 2;
    uint256 internal constant REFUSING = 3;
    uint256 internal constant BLACKLISTING = 4;

    address internal immutable proxy = makeAddr("proxy");

    /// @dev Salt first. The last three are no tokens.
    address[] internal tokens;
    /// @dev Whom a payment may name as payer. The last four cannot pay.
    address[] internal owners;
    /// @dev Whom it may name as payee and facilitator, and who may call.
    address[] internal accounts;

    ContractWallet internal wallet;
    ReenteringWallet internal reenteringWallet;

    /// @dev Of payers that have one of their own. The payer's key signs for all others.
    mapping(address owner => uint256 privateKey) private keys;

    function setUp() public virtual override {
        super.setUp();
        addTokens();
        addOwners();
        accounts = [payee, address(0), facilitator, proxy, permit2, address(token), payer.addr, address(wallet)];
    }

    function keyOf(address owner) internal view returns (uint256) {
        return keys[owner] == 0 ? payer.privateKey : keys[owner];
    }

    /// @dev What the balances, the allowances for Permit2, the nonces of permits and those of Permit2 are, and how often
    /// hostile tokens got through. Numbers that a contract does not tell are the greatest.
    function observe(Payment memory payment) internal view returns (uint256[] memory seen) {
        address[3] memory assets = [payment.token, tokens[0], tokens[REENTERING]];
        seen = new uint256[](assets.length * (2 * owners.length + accounts.length) + 4 * owners.length + 7);
        uint256 at;
        for (uint256 i = 0; i < assets.length; ++i) {
            for (uint256 j = 0; j < owners.length; ++j) {
                seen[at++] = ask(assets[i], abi.encodeCall(IERC20.balanceOf, (owners[j])));
                seen[at++] = ask(assets[i], abi.encodeCall(IERC20.allowance, (owners[j], permit2)));
            }
            for (uint256 j = 0; j < accounts.length; ++j) {
                seen[at++] = ask(assets[i], abi.encodeCall(IERC20.balanceOf, (accounts[j])));
            }
        }
        for (uint256 i = 0; i < owners.length; ++i) {
            seen[at++] = ask(tokens[0], abi.encodeCall(IERC20Permit.nonces, (owners[i])));
            // The payment's own, the one of a payment within it, and the first.
            seen[at++] = bitmap(owners[i], payment.nonce >> 8);
            seen[at++] = bitmap(owners[i], (payment.nonce ^ 256) >> 8);
            seen[at++] = bitmap(owners[i], 0);
        }
        for (uint256 i = REENTERING; i <= HOSTILE; ++i) {
            seen[at++] = ReenteringToken(tokens[i]).called() ? 1 : 0;
            seen[at++] = uint256(keccak256(ReenteringToken(tokens[i]).answer()));
        }
        seen[at++] = proxy.balance;
        seen[at++] = permit2.balance;
        seen[at++] = payee.balance;
        require(at == seen.length, "something is not looked at");
    }

    /// @dev As `from`, whether or not it can be done.
    function tryCall(address from, address to, bytes memory data) internal {
        vm.prank(from);
        (bool done,) = to.call(data);
        // Some are made to fail.
        done;
    }

    function permitCall(address owner, IX402Permit2Proxy.EIP2612Permit memory permit)
        internal
        view
        returns (bytes memory)
    {
        return abi.encodeCall(
            IERC20Permit.permit, (owner, permit2, permit.value, permit.deadline, permit.v, permit.r, permit.s)
        );
    }

    function addTokens() private {
        tokens = [
            address(token),
            address(new ReenteringToken()),
            address(new HostileToken()),
            address(new PermitRefusingToken()),
            address(new BlacklistingToken()),
            address(new PlainToken()),
            address(new FeeOnTransferToken()),
            address(new QuietToken()),
            address(new FalseReturnToken()),
            address(new NoReturnToken()),
            address(new OddReturnToken()),
            address(new RevertingToken())
        ];
        tokens.push(makeAddr("no code"));
        tokens.push(permit2);
        tokens.push(proxy);
    }

    function addOwners() private {
        wallet = new ContractWallet(payer.addr);
        reenteringWallet = new ReenteringWallet();
        addOwner(payer.addr);
        addOwner(address(wallet));
        addOwner(address(reenteringWallet));
        // With a key, and with code to which EIP-7702 delegates: that signs, that signs nothing, and that the chain cannot
        // follow. Permit2 asks the code.
        address signing = addKeyed("signing");
        vm.etch(signing, address(new ContractWallet(signing)).code);
        vm.etch(addKeyed("not signing"), address(token).code);
        vm.etch(addKeyed("designated"), abi.encodePacked(hex"ef0100", wallet));
        for (uint256 way = 0; way <= uint256(type(HostileWallet.Way).max); ++way) {
            addOwner(address(new HostileWallet(HostileWallet.Way(way))));
        }
        (address poor, uint256 key) = makeAddrAndKey("poor");
        keys[poor] = key;
        owners.push(poor);
        owners.push(address(0));
        owners.push(proxy);
        owners.push(permit2);
    }

    function addKeyed(string memory name) private returns (address owner) {
        (owner, keys[owner]) = makeAddrAndKey(name);
        addOwner(owner);
    }

    /// @dev With funds of every token, which Permit2 may spend. Salt has no more than the payer's.
    function addOwner(address owner) private {
        owners.push(owner);
        for (uint256 i = 0; i < tokens.length - 3; ++i) {
            if (i != 0) PlainToken(tokens[i]).mint(owner, FUNDS);
            else if (owner != payer.addr) deal(tokens[0], owner, FUNDS);
            tryCall(owner, tokens[i], abi.encodeCall(IERC20.approve, (permit2, type(uint256).max)));
        }
    }

    function bitmap(address owner, uint256 word) private view returns (uint256) {
        return ask(permit2, abi.encodeCall(ISignatureTransfer.nonceBitmap, (owner, word)));
    }

    function ask(address asset, bytes memory question) private view returns (uint256) {
        (bool done, bytes memory answer) = asset.staticcall(question);
        return done && answer.length == 32 ? abi.decode(answer, (uint256)) : type(uint256).max;
    }
}
