// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_depositFor is SaltChannelsTest {
    uint256 private deadline;

    function setUp() public override {
        super.setUp();
        deadline = block.timestamp + 60;
    }

    function test_depositFor_opensForThePayer() external {
        ISaltChannels.Channel memory channel = channelIn(address(token));
        deposit(channel, DEPOSIT, 0);

        assertState(channel, DEPOSIT, 0, 0, false);
        assertEq(token.balanceOf(payer.addr), FUNDS - DEPOSIT);
    }

    function test_depositFor_topsUp() external {
        ISaltChannels.Channel memory channel = opened(address(token));
        deposit(channel, 1 ether, DEPOSIT);

        assertState(channel, DEPOSIT + 1 ether, 0, 0, false);
    }

    /// @dev Held back until the payer wants to leave, it must neither keep it in nor lock up more of its money.
    function test_depositFor_reverts_whileAnExitIsPending() external {
        ISaltChannels.Channel memory channel = opened(address(token));
        bytes memory signature = signatureOf(channel, 1 ether, DEPOSIT);
        requestExit(channel);
        uint256 exitAt = block.timestamp + DELAY;

        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.ExitPending.selector, channels.channelId(channel), exitAt));
        vm.prank(anyone);
        channels.depositFor(channel, 1 ether, DEPOSIT, deadline, signature);
        assertState(channel, DEPOSIT, 0, exitAt, false);
    }

    function test_depositFor_takesAWalletsSignature() external {
        ISaltChannels.Channel memory channel = channelIn(address(token));
        channel.payer = address(new ContractWallet(payer.addr));
        token.mint(channel.payer, DEPOSIT);
        vm.prank(channel.payer);
        token.approve(address(channels), DEPOSIT);

        deposit(channel, DEPOSIT, 0);
        assertState(channel, DEPOSIT, 0, 0, false);
    }

    function test_depositFor_holdsUntilTheDeadline() external {
        vm.warp(deadline);
        deposit(channelIn(address(token)), DEPOSIT, 0);
    }

    function test_depositFor_reverts_afterTheDeadline() external {
        ISaltChannels.Channel memory channel = channelIn(address(token));
        bytes memory signature = signatureOf(channel, DEPOSIT, 0);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.SignatureExpired.selector, deadline, deadline + 1));
        channels.depositFor(channel, DEPOSIT, 0, deadline, signature);
    }

    function test_depositFor_reverts_whenItIsSentAgain() external {
        ISaltChannels.Channel memory channel = channelIn(address(token));
        bytes memory opening = signatureOf(channel, DEPOSIT, 0);
        channels.depositFor(channel, DEPOSIT, 0, deadline, opening);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.ChannelUsed.selector, channels.channelId(channel)));
        channels.depositFor(channel, DEPOSIT, 0, deadline, opening);

        bytes memory toppingUp = signatureOf(channel, 1 ether, DEPOSIT);
        channels.depositFor(channel, 1 ether, DEPOSIT, deadline, toppingUp);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISaltChannels.DepositOutOfOrder.selector, channels.channelId(channel), DEPOSIT, DEPOSIT + 1 ether
            )
        );
        channels.depositFor(channel, 1 ether, DEPOSIT, deadline, toppingUp);
    }

    function test_depositFor_reverts_whenAnythingElseWasSigned() external {
        ISaltChannels.Channel memory channel = channelIn(address(token));
        bytes memory signature = signatureOf(channel, DEPOSIT, 0);

        expectInvalid(channel, DEPOSIT + 1, deadline, signature);
        expectInvalid(channel, DEPOSIT, deadline + 1, signature);
        // The thief's own channel, paid from the payer's allowance.
        channel.payee = anyone;
        expectInvalid(channel, DEPOSIT, deadline, signature);
        channel.payee = payee.addr;
        channel.signer = anyone;
        expectInvalid(channel, DEPOSIT, deadline, signature);
    }

    function test_depositFor_reverts_whenNobodySigned() external {
        expectInvalid(channelIn(address(token)), DEPOSIT, deadline, NO_SIGNATURE);
    }

    function test_depositFor_reverts_whenTheSignatureIsForTheOpening_andTheChannelIsOpen() external {
        ISaltChannels.Channel memory channel = opened(address(token));
        bytes memory signature = signatureOf(channel, DEPOSIT, 0);
        vm.expectPartialRevert(ISaltChannels.InvalidSignature.selector);
        channels.depositFor(channel, DEPOSIT, DEPOSIT, deadline, signature);
    }

    function test_depositFor_reverts_whenChannelIsClosed() external {
        ISaltChannels.Channel memory channel = opened(address(token));
        close(channel, 0);
        bytes memory signature = signatureOf(channel, 1, DEPOSIT);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.ChannelNotOpen.selector, channels.channelId(channel)));
        channels.depositFor(channel, 1, DEPOSIT, deadline, signature);
    }

    function test_depositFor_reverts_whenAssetIsNoToken() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidAsset.selector, NATIVE));
        channels.depositFor(channel, 1, 0, deadline, NO_SIGNATURE);
        channel.asset = makeAddr("no code");
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidAsset.selector, channel.asset));
        channels.depositFor(channel, 1, 0, deadline, NO_SIGNATURE);
    }

    /// @dev No chain has code there. It would be spoken of as the native coin all the same.
    function test_depositFor_reverts_whenAssetIsTheNativeCoin_evenWithCode() external {
        vm.etch(NATIVE, address(token).code);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidAsset.selector, NATIVE));
        channels.depositFor(channelIn(NATIVE), 1, 0, deadline, NO_SIGNATURE);
    }

    /// @dev Where no key is recovered, the zero address comes out, and it must not be taken for the payer.
    function test_depositFor_reverts_whenThePayerIsZeroAndTheSignatureNobodys() external {
        ISaltChannels.Channel memory channel = channelIn(address(token));
        channel.payer = address(0);
        channel.operator = anyone;
        bytes memory junk = abi.encodePacked(bytes32(0), bytes32(0), uint8(27));
        bytes32 digest = depositDigest(channel, DEPOSIT, 0, deadline);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidSignature.selector, address(0), digest));
        channels.depositFor(channel, DEPOSIT, 0, deadline, junk);
    }

    function deposit(ISaltChannels.Channel memory channel, uint256 amount, uint256 before) private {
        bytes memory signature = signatureOf(channel, amount, before);
        vm.prank(anyone);
        channels.depositFor(channel, amount, before, deadline, signature);
    }

    function signatureOf(ISaltChannels.Channel memory channel, uint256 amount, uint256 before)
        private
        returns (bytes memory)
    {
        return sign(payer, depositDigest(channel, amount, before, deadline));
    }

    function expectInvalid(ISaltChannels.Channel memory channel, uint256 amount, uint256 until, bytes memory signature)
        private
    {
        bytes32 digest = depositDigest(channel, amount, 0, until);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidSignature.selector, payer.addr, digest));
        vm.prank(anyone);
        channels.depositFor(channel, amount, 0, until, signature);
    }
}
