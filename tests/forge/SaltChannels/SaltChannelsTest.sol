// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {SaltChannels, newSaltChannels} from "../support/Contracts.sol";
import {Test, Vm} from "forge-std/Test.sol";

/// @notice What all tests of SaltChannels stand on: the contract, a payer with coins and tokens, a payee, a session key.
abstract contract SaltChannelsTest is Test {
    uint256 internal constant FUNDS = 1000 ether;
    uint256 internal constant DEPOSIT = 10 ether;
    uint32 internal constant DELAY = 1 hours;
    address internal constant NATIVE = address(0);
    bytes internal constant NO_SIGNATURE = "";

    SaltChannels internal channels;
    PlainToken internal token;
    Vm.Wallet internal payer;
    Vm.Wallet internal payee;
    Vm.Wallet internal session;
    address internal anyone = makeAddr("anyone");

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        channels = newSaltChannels();
        payer = vm.createWallet("payer");
        payee = vm.createWallet("payee");
        session = vm.createWallet("session");
        vm.deal(payer.addr, FUNDS);
        token = PlainToken(fund(new PlainToken()));
    }

    /// @dev Gives the payer funds of a token and lets SaltChannels spend them.
    function fund(PlainToken asset) internal returns (address) {
        asset.mint(payer.addr, FUNDS);
        vm.prank(payer.addr);
        asset.approve(address(channels), type(uint256).max);
        return address(asset);
    }

    function channelIn(address asset) internal view returns (ISaltChannels.Channel memory) {
        return ISaltChannels.Channel({
            payer: payer.addr,
            payee: payee.addr,
            asset: asset,
            signer: session.addr,
            operator: address(0),
            exitDelay: DELAY,
            salt: keccak256("salt")
        });
    }

    function opened(address asset) internal returns (ISaltChannels.Channel memory channel) {
        channel = channelIn(asset);
        open(channel, DEPOSIT);
    }

    function open(ISaltChannels.Channel memory channel, uint256 amount) internal {
        vm.prank(channel.payer);
        channels.open{value: channel.asset == NATIVE ? amount : 0}(channel, amount);
    }

    function topUp(ISaltChannels.Channel memory channel, uint256 amount) internal {
        vm.prank(channel.payer);
        channels.topUp{value: channel.asset == NATIVE ? amount : 0}(channel, amount);
    }

    function claim(ISaltChannels.Channel memory channel, uint256 total) internal returns (uint256) {
        bytes memory voucher = voucherOf(channel, total);
        vm.prank(channel.payee);
        return channels.claim(channel, total, total, voucher);
    }

    function close(ISaltChannels.Channel memory channel, uint256 total) internal {
        bytes memory voucher = voucherOf(channel, total);
        vm.prank(channel.payee);
        channels.close(channel, total, total, voucher);
    }

    function requestExit(ISaltChannels.Channel memory channel) internal {
        vm.prank(channel.payer);
        channels.requestExit(channel);
    }

    /// @dev Asks for the payer's exit and waits until it is due.
    function awaitExit(ISaltChannels.Channel memory channel) internal {
        requestExit(channel);
        vm.warp(vm.getBlockTimestamp() + channel.exitDelay);
    }

    function rowOf(ISaltChannels.Channel memory channel, uint256 total) internal returns (ISaltChannels.Claim memory) {
        return ISaltChannels.Claim({
            payer: channel.payer,
            signer: channel.signer,
            operator: channel.operator,
            exitDelay: channel.exitDelay,
            salt: channel.salt,
            ceiling: total,
            total: total,
            voucher: voucherOf(channel, total)
        });
    }

    /// @dev Signed by the session key.
    function voucherOf(ISaltChannels.Channel memory channel, uint256 ceiling) internal returns (bytes memory) {
        return sign(session, voucherDigest(channel, ceiling));
    }

    function voucherDigest(ISaltChannels.Channel memory channel, uint256 ceiling) internal view returns (bytes32) {
        return channels.voucherDigest(channels.channelId(channel), channel.payee, channel.asset, ceiling);
    }

    function depositDigest(
        ISaltChannels.Channel memory channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 deadline
    ) internal view returns (bytes32) {
        return channels.depositDigest(
            channels.channelId(channel), channel.payee, channel.asset, amount, depositBefore, deadline
        );
    }

    /// @dev As `claimRows` takes it.
    function packed(ISaltChannels.Claim memory row) internal pure returns (bytes memory) {
        // Whoever uses this knows that they fit.
        // forge-lint: disable-next-item(unsafe-typecast)
        return abi.encodePacked(
            row.payer, row.signer, row.exitDelay, row.salt, uint104(row.ceiling), uint104(row.total), row.voucher
        );
    }

    /// @dev A channel of the payer that differs from its others in its salt.
    function salted(address asset, uint256 salt) internal returns (ISaltChannels.Channel memory channel) {
        channel = channelIn(asset);
        channel.salt = bytes32(salt);
        open(channel, DEPOSIT);
    }

    /// @dev A channel whose payer signs vouchers itself.
    function keyless(address from) internal returns (ISaltChannels.Channel memory channel) {
        channel = channelIn(NATIVE);
        channel.payer = from;
        channel.signer = address(0);
        vm.deal(from, DEPOSIT);
        open(channel, DEPOSIT);
    }

    function sign(Vm.Wallet memory wallet, bytes32 digest) internal returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(wallet, digest);
        return abi.encodePacked(r, s, v);
    }

    function stateOf(ISaltChannels.Channel memory channel) internal view returns (ISaltChannels.State memory) {
        return channels.stateOf(channels.channelId(channel));
    }

    function balanceOf(address asset, address account) internal view returns (uint256) {
        return asset == NATIVE ? account.balance : PlainToken(asset).balanceOf(account);
    }

    function assertState(
        ISaltChannels.Channel memory channel,
        uint256 deposit,
        uint256 claimed,
        uint256 exitAt,
        bool closed
    ) internal view {
        ISaltChannels.State memory state = stateOf(channel);
        assertEq(state.deposit, deposit, "deposit");
        assertEq(state.claimed, claimed, "claimed");
        assertEq(state.exitAt, exitAt, "exitAt");
        assertEq(state.closed, closed, "closed");
    }
}
