// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_closeFor is SaltChannelsTest {
    uint256 private deadline;

    function setUp() public override {
        super.setUp();
        deadline = block.timestamp + 60;
    }

    function test_closeFor_closesForThePayer_whenThePayeeSigned() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        closeFor(channel, 3 ether, 3 ether, sign(payee, digestOf(channel, 3 ether)));

        assertState(channel, DEPOSIT, 3 ether, 0, true);
        assertEq(payee.addr.balance, 3 ether);
        assertEq(payer.addr.balance, FUNDS - 3 ether);
    }

    function test_closeFor_takesAWalletsSignature() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payee = address(new ContractWallet(payee.addr));
        open(channel, DEPOSIT);
        closeFor(channel, 3 ether, 3 ether, sign(payee, digestOf(channel, 3 ether)));

        assertState(channel, DEPOSIT, 3 ether, 0, true);
    }

    function test_closeFor_paysWhatTheVoucherAllowsAndNoLess() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory signature = sign(payee, digestOf(channel, 3 ether));
        bytes memory voucher = voucherOf(channel, 2 ether);

        // The payer cannot close on an older voucher than the payee agreed to.
        vm.expectRevert(
            abi.encodeWithSelector(ISaltChannels.AboveCeiling.selector, channels.channelId(channel), 3 ether, 2 ether)
        );
        vm.prank(payer.addr);
        channels.closeFor(channel, 2 ether, 3 ether, voucher, deadline, signature);
    }

    function test_closeFor_reverts_whenThePayeeDidNotSign() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        expectRefused(channel, 3 ether, sign(payer, digestOf(channel, 3 ether)));
        expectRefused(channel, 3 ether, sign(payee, digestOf(channel, 4 ether)));
        expectRefused(channel, 3 ether, NO_SIGNATURE);
    }

    function test_closeFor_reverts_whenTheSignatureIsOfAnotherKind() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes32 id = channels.channelId(channel);
        expectRefused(channel, 3 ether, sign(payee, voucherDigest(channel, 3 ether)));
        expectRefused(channel, 3 ether, sign(payee, channels.exitDigest(id, DEPOSIT, deadline)));
    }

    function test_closeFor_reverts_whenChannelIsClosed() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory signature = sign(payee, digestOf(channel, 3 ether));
        close(channel, 1 ether);
        bytes memory voucher = voucherOf(channel, 3 ether);

        vm.expectPartialRevert(ISaltChannels.ChannelNotOpen.selector);
        channels.closeFor(channel, 3 ether, 3 ether, voucher, deadline, signature);
    }

    function test_closeFor_holdsUntilTheDeadlineAndNoLonger() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory signature = sign(payee, digestOf(channel, 3 ether));
        bytes memory voucher = voucherOf(channel, 3 ether);
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.SignatureExpired.selector, deadline, deadline + 1));
        channels.closeFor(channel, 3 ether, 3 ether, voucher, deadline, signature);

        vm.warp(deadline);
        channels.closeFor(channel, 3 ether, 3 ether, voucher, deadline, signature);
        assertEq(payee.addr.balance, 3 ether);
    }

    function test_closeFor_reverts_whenTheDeadlineIsAnother() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory signature = sign(payee, digestOf(channel, 3 ether));
        bytes memory voucher = voucherOf(channel, 3 ether);
        vm.expectPartialRevert(ISaltChannels.InvalidSignature.selector);
        channels.closeFor(channel, 3 ether, 3 ether, voucher, deadline + 1, signature);
    }

    /// @dev Signed at 2, topped up and served to 40: what was signed before must not close it at 2.
    function test_closeFor_reverts_whenThePayerHasToppedUpSince() external {
        ISaltChannels.Channel memory channel = opened(NATIVE);
        bytes memory signature = sign(payee, digestOf(channel, 2 ether));
        bytes memory voucher = voucherOf(channel, 2 ether);
        topUp(channel, 50 ether);

        vm.expectPartialRevert(ISaltChannels.InvalidSignature.selector);
        vm.prank(payer.addr);
        channels.closeFor(channel, 2 ether, 2 ether, voucher, deadline, signature);
        assertEq(claim(channel, 40 ether), 40 ether);
    }

    function digestOf(ISaltChannels.Channel memory channel, uint256 total) private view returns (bytes32) {
        return channels.closeDigest(channels.channelId(channel), total, stateOf(channel).deposit, deadline);
    }

    function closeFor(ISaltChannels.Channel memory channel, uint256 ceiling, uint256 total, bytes memory signature)
        private
    {
        bytes memory voucher = voucherOf(channel, ceiling);
        vm.prank(payer.addr);
        channels.closeFor(channel, ceiling, total, voucher, deadline, signature);
    }

    function expectRefused(ISaltChannels.Channel memory channel, uint256 total, bytes memory signature) private {
        bytes memory voucher = voucherOf(channel, total);
        bytes32 digest = digestOf(channel, total);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidSignature.selector, channel.payee, digest));
        vm.prank(payer.addr);
        channels.closeFor(channel, total, total, voucher, deadline, signature);
    }
}
