// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {HungryReceiver} from "../mocks/HungryReceiver.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_claimManyFor is SaltChannelsTest {
    ISaltChannels.Claim[] private rows;

    function test_claimManyFor_paysThePayeeWhoeverSends() external {
        pushRow(1, 1 ether);
        pushRow(2, 2 ether);
        bytes memory signature = sign(payee, channels.claimsDigest(payee.addr, NATIVE, rows));

        assertEq(claimFor(signature), 3 ether);
        assertEq(payee.addr.balance, 3 ether);
        assertEq(anyone.balance, 0);
    }

    function test_claimManyFor_doesNothing_whenItIsSentAgain() external {
        pushRow(1, 1 ether);
        bytes memory signature = sign(payee, channels.claimsDigest(payee.addr, NATIVE, rows));
        claimFor(signature);

        assertEq(claimFor(signature), 0);
        assertEq(payee.addr.balance, 1 ether);
    }

    function test_claimManyFor_paysWhatBecameClaimable_whenItIsSentAgain() external {
        ISaltChannels.Channel memory channel = pushRow(1, 2 * DEPOSIT);
        bytes memory signature = sign(payee, channels.claimsDigest(payee.addr, NATIVE, rows));
        assertEq(claimFor(signature), DEPOSIT);
        topUp(channel, 3 * DEPOSIT);

        assertEq(claimFor(signature), DEPOSIT);
        assertEq(claimFor(signature), 0);
        assertEq(payee.addr.balance, 2 * DEPOSIT);
    }

    /// @dev Vouchers are not signed by the payee. So the event says nothing of the payer, who had signed one.
    function test_claimManyFor_skipsARowWhoseVoucherTheSenderLeftOut() external {
        ISaltChannels.Channel memory channel = keyless(payer.addr);
        bytes memory voucher = sign(payer, voucherDigest(channel, 1 ether));
        rows.push(rowOf(channel, 1 ether));
        rows[0].voucher = NO_SIGNATURE;
        bytes memory signature = sign(payee, channels.claimsDigest(payee.addr, NATIVE, rows));

        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelSkipped(channels.channelId(channel), ISaltChannels.SkipReason.NotSigned);
        assertEq(claimFor(signature), 0);

        rows[0].voucher = voucher;
        assertEq(claimFor(signature), 1 ether);
    }

    function test_claimManyFor_takesAWalletsSignature() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payee = address(new ContractWallet(payee.addr));
        open(channel, DEPOSIT);
        rows.push(rowOf(channel, 1 ether));
        bytes memory signature = sign(payee, channels.claimsDigest(channel.payee, NATIVE, rows));

        channels.claimManyFor(channel.payee, NATIVE, rows, signature);

        // The wallet takes no coins.
        assertEq(channels.creditOf(channel.payee, NATIVE), 1 ether);
    }

    function test_claimManyFor_reverts_whenThePayeeDidNotSign() external {
        pushRow(1, 1 ether);
        expectRefused(sign(payer, channels.claimsDigest(payee.addr, NATIVE, rows)));
    }

    function test_claimManyFor_reverts_whenATotalIsAnother() external {
        pushRow(1, 1 ether);
        bytes memory signature = sign(payee, channels.claimsDigest(payee.addr, NATIVE, rows));
        rows[0].total -= 1;
        expectRefused(signature);
    }

    function test_claimManyFor_reverts_whenARowIsLeftOutOrDoubledOrMoved() external {
        pushRow(1, 1 ether);
        pushRow(2, 2 ether);
        bytes memory signature = sign(payee, channels.claimsDigest(payee.addr, NATIVE, rows));

        ISaltChannels.Claim memory first = rows[0];
        rows[0] = rows[1];
        rows[1] = first;
        expectRefused(signature);
        rows.push(rows[0]);
        expectRefused(signature);
        rows.pop();
        rows.pop();
        expectRefused(signature);
    }

    function test_claimManyFor_reverts_whenTheAssetIsAnother() external {
        pushRow(1, 1 ether);
        bytes memory signature = sign(payee, channels.claimsDigest(payee.addr, NATIVE, rows));
        vm.expectPartialRevert(ISaltChannels.InvalidSignature.selector);
        channels.claimManyFor(payee.addr, address(token), rows, signature);
    }

    function test_claimManyFor_takesAnyGoodVoucherForTheSignedTotal() external {
        ISaltChannels.Channel memory channel = pushRow(1, 1 ether);
        bytes memory signature = sign(payee, channels.claimsDigest(payee.addr, NATIVE, rows));
        rows[0] = rowOf(channel, 5 ether);
        rows[0].total = 1 ether;

        assertEq(claimFor(signature), 1 ether);
    }

    /// @dev Whoever sends must not be able to make a credit of a payment by sending too little gas.
    function testFuzz_claimManyFor_paysOrReverts_whateverGasIsSent(uint256 gasLimit) external {
        // With nearly all of its gas it takes coins, and with less it refuses them.
        vm.etch(payee.addr, address(new HungryReceiver(90_000)).code);
        pushRow(1, 1 ether);
        bytes memory signature = sign(payee, channels.claimsDigest(payee.addr, NATIVE, rows));
        gasLimit = bound(gasLimit, 40_000, 400_000);

        vm.prank(anyone);
        try channels.claimManyFor{gas: gasLimit}(payee.addr, NATIVE, rows, signature) {
            assertEq(payee.addr.balance, 1 ether);
        } catch {
            assertEq(payee.addr.balance, 0);
        }
        assertEq(channels.creditOf(payee.addr, NATIVE), 0);
    }

    function pushRow(uint256 salt, uint256 total) private returns (ISaltChannels.Channel memory channel) {
        channel = channelIn(NATIVE);
        channel.salt = bytes32(salt);
        open(channel, DEPOSIT);
        rows.push(rowOf(channel, total));
    }

    function claimFor(bytes memory signature) private returns (uint256) {
        vm.prank(anyone);
        return channels.claimManyFor(payee.addr, NATIVE, rows, signature);
    }

    function expectRefused(bytes memory signature) private {
        bytes32 digest = channels.claimsDigest(payee.addr, NATIVE, rows);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InvalidSignature.selector, payee.addr, digest));
        vm.prank(anyone);
        channels.claimManyFor(payee.addr, NATIVE, rows, signature);
    }
}
