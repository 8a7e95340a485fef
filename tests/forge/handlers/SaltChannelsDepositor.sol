// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {GasBurningReceiver} from "../mocks/GasBurningReceiver.sol";
import {MoodyToken} from "../mocks/MoodyToken.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {ReenteringReceiver} from "../mocks/ReenteringReceiver.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {ReturnBombReceiver} from "../mocks/ReturnBombReceiver.sol";
import {Salt, newSalt} from "../support/Contracts.sol";
import {Permit2Code} from "../support/Permit2Code.sol";
import {DepositSignatures} from "./DepositSignatures.sol";
import {SaltChannelsLedger} from "./SaltChannelsLedger.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {StdUtils} from "forge-std/StdUtils.sol";
import {Vm} from "forge-std/Vm.sol";

/// @notice The accounts and assets of the channels, and every way in which a payer's deposit is sent by somebody else.
/// @dev Every account but one has a key, and most of them have code as well, as EIP-7702 allows. The wavering one is a
/// contract, which signs by its code (ERC-1271) as its owner's key does, as long as it does not change its mind.
abstract contract SaltChannelsDepositor is SaltChannelsLedger, StdUtils {
    uint256 public constant FUNDS = 1_000_000 ether;

    Vm.Wallet[] internal wallets;
    Vm.Wallet internal session;
    ContractWallet internal wavering;

    /// @notice Whether the wavering account says no to whatever it signed.
    bool public wavers;

    /// @notice The native coin as the zero address, then the tokens.
    address[] public assets;

    /// @notice The ways in which somebody else than the payer makes a deposit.
    enum Way {
        Allowance,
        Permit,
        Authorization,
        WalletAuthorization,
        Permit2
    }

    struct Deposit {
        ISaltChannels.Channel channel;
        uint256 amount;
        uint256 before;
        uint256 deadline;
        bool overtaken;
    }

    /// @notice How many deposits were made in each way.
    mapping(Way way => uint256 count) public deposits;

    uint256 private permit2Nonces;

    constructor(ISaltChannels channels_) SaltChannelsLedger(channels_) {
        session = vm.createWallet("session key");
        Permit2Code.deploy();
        assets.push(address(0));
        assets.push(address(new PlainToken()));
        assets.push(address(new BlacklistingToken()));
        assets.push(address(new MoodyToken()));
        // With permits and authorizations.
        assets.push(address(newSalt(address(this), 10 * FUNDS)));

        addWallet("first", "");
        addWallet("second", "");
        addWallet("refusing", address(new RefusingReceiver()).code);
        addWallet("burning", address(new GasBurningReceiver()).code);
        addWallet("bombing", address(new ReturnBombReceiver(true)).code);
        addWallet("reentering", address(new ReenteringReceiver()).code);
        Vm.Wallet memory owner = vm.createWallet("owner");
        wavering = new ContractWallet(owner.addr);
        // Whoever signs for the account signs with the owner's key.
        owner.addr = address(wavering);
        addAccount(owner);
    }

    /// @dev Somebody else sends what the payer signed.
    function openFor(
        uint256 from,
        uint256 to,
        uint256 which,
        uint256 salt,
        uint256 way,
        bool keyless,
        uint256 amount,
        bool overtaken
    ) external {
        ISaltChannels.Channel memory channel;
        channel.payer = accountOf(from);
        channel.payee = accountOf(to);
        channel.asset = assetOf(which);
        if (!keyless) channel.signer = session.addr;
        channel.exitDelay = salt % 2 == 0 ? 15 minutes : 30 days;
        channel.salt = bytes32(bound(salt, 0, 3));
        depositSigned(wayOf(way), depositOf(channel, amount, 0, overtaken));
    }

    function topUpFor(uint256 which, uint256 way, uint256 amount, bool overtaken) external {
        if (opened.length == 0) return;
        ISaltChannels.Channel memory channel = channelOf(which);
        uint256 before = channels.stateOf(channels.channelId(channel)).deposit;
        depositSigned(wayOf(way), depositOf(channel, amount, before, overtaken));
    }

    function depositOf(ISaltChannels.Channel memory channel, uint256 amount, uint256 before, bool overtaken)
        private
        view
        returns (Deposit memory)
    {
        return Deposit({
            channel: channel,
            amount: bound(amount, 0, FUNDS / 100),
            before: before,
            deadline: vm.getBlockTimestamp() + 60,
            overtaken: overtaken
        });
    }

    /// @dev Makes a deposit that the payer signed for, and tries to make it once more.
    function depositSigned(Way way, Deposit memory deposit) private {
        // A token without permits and authorizations has two ways alone.
        if (deposit.channel.asset != assets[4] && way != Way.Allowance && way != Way.Permit2) return;
        // A token takes v, r and s of a key alone.
        if (deposit.channel.payer == address(wavering) && (way == Way.Permit || way == Way.Authorization)) return;
        bytes memory data = signedDeposit(way, deposit);
        bool leaving = channels.stateOf(channels.channelId(deposit.channel)).exitAt != 0;

        start();
        (bool done,) = address(channels).call(data);
        if (done) {
            require(!leaving, "what was signed kept a payer in that wanted to leave");
            require(!wavers || deposit.channel.payer != address(wavering), "a payer's no was not heard");
            ++deposits[way];
            if (deposit.before == 0) opened.push(deposit.channel);
        } else {
            start();
        }
        read();
        if (way == Way.Permit) approveAll(deposit.channel.payer, deposit.channel.asset);
        if (!done) return;

        (bool again,) = address(channels).call(data);
        require(!again, "a deposit was made twice");
    }

    function signedDeposit(Way way, Deposit memory deposit) private returns (bytes memory) {
        if (way == Way.Allowance) {
            return abi.encodeCall(
                channels.depositFor,
                (deposit.channel, deposit.amount, deposit.before, deposit.deadline, signatureOf(deposit))
            );
        }
        if (way == Way.Permit2) return permit2Deposit(deposit);
        if (way == Way.Permit) return permitDeposit(deposit);

        Vm.Wallet memory payer = walletOf(deposit.channel.payer);
        bytes32 digest = authorizationDigestOf(deposit);
        if (way == Way.WalletAuthorization) {
            return abi.encodeCall(
                channels.depositWithWalletAuthorization,
                (deposit.channel, deposit.amount, deposit.before, 0, deposit.deadline, sign(payer, digest))
            );
        }
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(payer, digest);
        return abi.encodeCall(
            channels.depositWithAuthorization,
            (deposit.channel, deposit.amount, deposit.before, 0, deposit.deadline, v, r, s)
        );
    }

    function permit2Deposit(Deposit memory deposit) private returns (bytes memory) {
        uint256 nonce = ++permit2Nonces;
        bytes32 digest = DepositSignatures.permit2Digest(
            deposit.channel, channels, deposit.amount, deposit.before, nonce, deposit.deadline
        );
        bytes memory signature = sign(walletOf(deposit.channel.payer), digest);
        return abi.encodeCall(
            channels.depositWithPermit2,
            (deposit.channel, deposit.amount, deposit.before, nonce, deposit.deadline, signature)
        );
    }

    /// @dev There is no allowance beside the permit's.
    function permitDeposit(Deposit memory deposit) private returns (bytes memory) {
        Vm.Wallet memory payer = walletOf(deposit.channel.payer);
        Salt token = Salt(deposit.channel.asset);
        vm.prank(payer.addr);
        token.approve(address(channels), 0);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(
            payer,
            DepositSignatures.permitDigest(token, payer.addr, address(channels), deposit.amount, deposit.deadline)
        );
        // Anybody can use the permit that is in the mempool. The deposit shall not fail of it.
        if (deposit.overtaken) {
            token.permit(payer.addr, address(channels), deposit.amount, deposit.deadline, v, r, s);
        }
        return abi.encodeCall(
            channels.depositWithPermit,
            (deposit.channel, deposit.amount, deposit.before, deposit.deadline, signatureOf(deposit), v, r, s)
        );
    }

    function authorizationDigestOf(Deposit memory deposit) private view returns (bytes32) {
        return DepositSignatures.authorizationDigest(
            deposit.channel.asset,
            deposit.channel.payer,
            address(channels),
            deposit.amount,
            deposit.deadline,
            channels.authorizationNonce(channels.channelId(deposit.channel), deposit.before)
        );
    }

    function signatureOf(Deposit memory deposit) private returns (bytes memory) {
        bytes32 digest = channels.depositDigest(
            channels.channelId(deposit.channel),
            deposit.channel.payee,
            deposit.channel.asset,
            deposit.amount,
            deposit.before,
            deposit.deadline
        );
        return sign(walletOf(deposit.channel.payer), digest);
    }

    function assetCount() external view returns (uint256) {
        return assets.length;
    }

    function accountCount() external view returns (uint256) {
        return wallets.length;
    }

    function account(uint256 index) external view returns (address) {
        return wallets[index].addr;
    }

    function addWallet(string memory name, bytes memory code) private {
        Vm.Wallet memory wallet = vm.createWallet(name);
        addAccount(wallet);
        if (code.length != 0) vm.etch(wallet.addr, code);
        // The bomb's flag is in storage, which etching does not bring along.
        vm.store(wallet.addr, bytes32(0), code.length != 0 && wallets.length == 5 ? bytes32(uint256(1)) : bytes32(0));
    }

    function addAccount(Vm.Wallet memory wallet) private {
        wallets.push(wallet);
        vm.deal(wallet.addr, FUNDS);
        for (uint256 i = 1; i < assets.length; ++i) {
            if (i == 4) require(Salt(assets[i]).transfer(wallet.addr, FUNDS));
            else PlainToken(assets[i]).mint(wallet.addr, FUNDS);
            approveAll(wallet.addr, assets[i]);
        }
    }

    function approveAll(address owner, address asset) private {
        if (asset == address(0)) return;
        vm.startPrank(owner);
        IERC20(asset).approve(address(channels), type(uint256).max);
        IERC20(asset).approve(Permit2Code.PERMIT2, type(uint256).max);
        vm.stopPrank();
    }

    function sign(Vm.Wallet memory wallet, bytes32 digest) internal returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(wallet, digest);
        return abi.encodePacked(r, s, v);
    }

    function walletOf(address owner) internal view returns (Vm.Wallet memory) {
        for (uint256 i = 0; i < wallets.length; ++i) {
            if (wallets[i].addr == owner) return wallets[i];
        }
        revert("no such wallet");
    }

    function wayOf(uint256 index) private pure returns (Way) {
        return Way(bound(index, 0, uint256(type(Way).max)));
    }

    function accountOf(uint256 index) internal view returns (address) {
        return wallets[bound(index, 0, wallets.length - 1)].addr;
    }

    function assetOf(uint256 index) internal view returns (address) {
        return assets[bound(index, 0, assets.length - 1)];
    }

    function channelOf(uint256 index) internal view returns (ISaltChannels.Channel memory) {
        return opened[bound(index, 0, opened.length - 1)];
    }
}
