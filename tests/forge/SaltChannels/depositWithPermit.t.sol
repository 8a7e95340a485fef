// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {PermitRefusingToken} from "../mocks/PermitRefusingToken.sol";
import {ReenteringToken} from "../mocks/ReenteringToken.sol";
import {Salt, newSalt} from "../support/Contracts.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_depositWithPermit is SaltChannelsTest {
    Salt private salt;
    uint256 private deadline;

    struct Permit {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    function setUp() public override {
        super.setUp();
        salt = newSalt(payer.addr, FUNDS);
        deadline = block.timestamp + 60;
    }

    function test_depositWithPermit_opensForThePayer() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        deposit(anyone, channel, DEPOSIT, 0);

        assertState(channel, DEPOSIT, 0, 0, false);
        assertEq(salt.balanceOf(address(channels)), DEPOSIT);
        assertEq(salt.allowance(payer.addr, address(channels)), 0);
    }

    function test_depositWithPermit_topsUp() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        deposit(anyone, channel, DEPOSIT, 0);
        deposit(anyone, channel, 1 ether, DEPOSIT);

        assertState(channel, DEPOSIT + 1 ether, 0, 0, false);
    }

    /// @dev Not even by the payer itself: `topUp` is how it changes its mind.
    function test_depositWithPermit_reverts_whileAnExitIsPending() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        deposit(anyone, channel, DEPOSIT, 0);
        requestExit(channel);
        Permit memory permit = permitOf(1 ether);
        bytes memory signature = signatureOf(channel, 1 ether, DEPOSIT);
        bytes memory reason = abi.encodeWithSelector(
            ISaltChannels.ExitPending.selector, channels.channelId(channel), block.timestamp + DELAY
        );

        address[2] memory senders = [anyone, payer.addr];
        for (uint256 i = 0; i < senders.length; ++i) {
            vm.expectRevert(reason);
            vm.prank(senders[i]);
            channels.depositWithPermit(channel, 1 ether, DEPOSIT, deadline, signature, permit.v, permit.r, permit.s);
        }
    }

    function test_depositWithPermit_needsNoSecondSignatureOfThePayerItself() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        Permit memory permit = permitOf(DEPOSIT);
        vm.prank(payer.addr);
        channels.depositWithPermit(channel, DEPOSIT, 0, deadline, NO_SIGNATURE, permit.v, permit.r, permit.s);

        assertState(channel, DEPOSIT, 0, 0, false);
    }

    function test_depositWithPermit_opens_whenSomebodyElseHasUsedThePermit() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        Permit memory permit = permitOf(DEPOSIT);
        salt.permit(payer.addr, address(channels), DEPOSIT, deadline, permit.v, permit.r, permit.s);
        bytes memory signature = signatureOf(channel, DEPOSIT, 0);

        channels.depositWithPermit(channel, DEPOSIT, 0, deadline, signature, permit.v, permit.r, permit.s);
        assertState(channel, DEPOSIT, 0, 0, false);
    }

    function test_depositWithPermit_opensFromTheAllowance_whateverWayThePermitFails() external {
        PermitRefusingToken refusing = new PermitRefusingToken();
        fund(refusing);
        for (uint256 way = 0; way < 4; ++way) {
            refusing.setWay(PermitRefusingToken.Way(way));
            ISaltChannels.Channel memory channel = channelIn(address(refusing));
            channel.salt = bytes32(way);
            vm.prank(payer.addr);
            channels.depositWithPermit(channel, 1, 0, deadline, NO_SIGNATURE, 0, 0, 0);
        }
    }

    /// @dev The permit says nothing of the channel. Who reads it in the mempool must not be able to open its own.
    function test_depositWithPermit_reverts_whenAThiefUsesThePermit() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        bytes memory signature = signatureOf(channel, DEPOSIT, 0);
        Permit memory permit = permitOf(DEPOSIT);
        channel.payee = anyone;
        channel.signer = anyone;

        vm.expectPartialRevert(ISaltChannels.InvalidSignature.selector);
        vm.prank(anyone);
        channels.depositWithPermit(channel, DEPOSIT, 0, deadline, signature, permit.v, permit.r, permit.s);
    }

    function test_depositWithPermit_reverts_whenNeitherPermitNorAllowanceIsThere() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        bytes memory signature = signatureOf(channel, DEPOSIT, 0);
        vm.expectRevert(
            abi.encodeWithSelector(ISaltChannels.TransferRefused.selector, address(salt), payer.addr, DEPOSIT)
        );
        channels.depositWithPermit(channel, DEPOSIT, 0, deadline, signature, 27, bytes32(0), bytes32(0));
    }

    function test_depositWithPermit_reverts_afterTheDeadline() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        bytes memory signature = signatureOf(channel, DEPOSIT, 0);
        Permit memory permit = permitOf(DEPOSIT);
        vm.warp(deadline + 1);
        vm.expectPartialRevert(ISaltChannels.SignatureExpired.selector);
        channels.depositWithPermit(channel, DEPOSIT, 0, deadline, signature, permit.v, permit.r, permit.s);
    }

    /// @dev Also where the allowance is there, so that nobody asks for the permit.
    function test_depositWithPermit_reverts_afterTheDeadline_forThePayerItself() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        Permit memory permit = permitOf(DEPOSIT);
        vm.prank(payer.addr);
        salt.approve(address(channels), DEPOSIT);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.SignatureExpired.selector, deadline, deadline + 1));
        vm.prank(payer.addr);
        channels.depositWithPermit(channel, DEPOSIT, 0, deadline, NO_SIGNATURE, permit.v, permit.r, permit.s);
    }

    function test_depositWithPermit_reverts_whenItIsSentAgain() external {
        ISaltChannels.Channel memory channel = channelIn(address(salt));
        deposit(anyone, channel, DEPOSIT, 0);
        Permit memory permit = permitOf(DEPOSIT);
        bytes memory signature = signatureOf(channel, DEPOSIT, 0);
        vm.expectPartialRevert(ISaltChannels.ChannelUsed.selector);
        channels.depositWithPermit(channel, DEPOSIT, 0, deadline, signature, permit.v, permit.r, permit.s);
    }

    function test_depositWithPermit_reverts_whenThePermitReenters() external {
        ReenteringToken reentering = new ReenteringToken();
        fund(reentering);
        ISaltChannels.Channel memory channel = channelIn(address(reentering));
        reentering.reenter(address(channels), abi.encodeCall(channels.exit, (channel)));
        vm.prank(payer.addr);
        channels.depositWithPermit(channel, 1, 0, deadline, NO_SIGNATURE, 0, 0, 0);

        assertEq(reentering.answer(), abi.encodeWithSelector(ISaltChannels.Reentered.selector));
    }

    function deposit(address sender, ISaltChannels.Channel memory channel, uint256 amount, uint256 before) private {
        Permit memory permit = permitOf(amount);
        bytes memory signature = signatureOf(channel, amount, before);
        vm.prank(sender);
        channels.depositWithPermit(channel, amount, before, deadline, signature, permit.v, permit.r, permit.s);
    }

    function signatureOf(ISaltChannels.Channel memory channel, uint256 amount, uint256 before)
        private
        returns (bytes memory)
    {
        return sign(payer, depositDigest(channel, amount, before, deadline));
    }

    function permitOf(uint256 amount) private returns (Permit memory permit) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                payer.addr,
                address(channels),
                amount,
                salt.nonces(payer.addr),
                deadline
            )
        );
        (permit.v, permit.r, permit.s) =
            vm.sign(payer, keccak256(abi.encodePacked("\x19\x01", salt.DOMAIN_SEPARATOR(), structHash)));
    }
}
