// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {GasBurningReceiver} from "../mocks/GasBurningReceiver.sol";
import {HookToken} from "../mocks/HookToken.sol";
import {PoliteToken} from "../mocks/PoliteToken.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_closeMany is SaltChannelsTest {
    ISaltChannels.Claim[] private rows;

    function test_closeMany_paysThePayeeOnceAndEachPayerTheRest() external {
        ISaltChannels.Channel memory first = salted(address(token), 1);
        ISaltChannels.Channel memory second = salted(address(token), 2);
        rows.push(rowOf(first, 1 ether));
        rows.push(rowOf(second, 2 ether));

        vm.expectCall(address(token), abi.encodeCall(token.transfer, (payee.addr, 3 ether)), 1);
        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelClaimed(channels.channelId(first), 1 ether, 1 ether);
        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelClosed(channels.channelId(first), payer.addr, payee.addr, 1 ether, DEPOSIT - 1 ether);
        assertEq(closeMany(address(token)), 3 ether);

        assertState(first, DEPOSIT, 1 ether, 0, true);
        assertState(second, DEPOSIT, 2 ether, 0, true);
        assertEq(token.balanceOf(payee.addr), 3 ether);
        assertEq(token.balanceOf(payer.addr), FUNDS - 3 ether);
        assertEq(token.balanceOf(address(channels)), 0);
    }

    function test_closeMany_readsNoVoucher_whereNothingMoreIsClaimed() external {
        ISaltChannels.Channel memory channel = salted(NATIVE, 1);
        claim(channel, 3 ether);
        ISaltChannels.Claim memory row = rowOf(channel, 3 ether);
        row.voucher = "";
        row.ceiling = 0;
        rows.push(row);

        assertEq(closeMany(NATIVE), 0);
        assertState(channel, DEPOSIT, 3 ether, 0, true);
        assertEq(payer.addr.balance, FUNDS - 3 ether);
    }

    function test_closeMany_tellsWhatItSkipsAndClosesTheOthers() external {
        ISaltChannels.Channel memory closed = salted(NATIVE, 1);
        close(closed, 1 ether);
        ISaltChannels.Channel memory unknown = channelIn(NATIVE);
        ContractWallet wallet = new ContractWallet(session.addr);
        ISaltChannels.Channel memory changed = keyless(address(wallet));
        ISaltChannels.Channel memory good = salted(NATIVE, 2);
        rows.push(rowOf(closed, 5 ether));
        rows.push(rowOf(unknown, 1 ether));
        rows.push(rowOf(changed, 1 ether));
        rows.push(rowOf(good, 1 ether));
        wallet.close();

        expectSkipped(closed, ISaltChannels.SkipReason.NotOpen);
        expectSkipped(unknown, ISaltChannels.SkipReason.NotOpen);
        expectSkipped(changed, ISaltChannels.SkipReason.NotSigned);
        assertEq(closeMany(NATIVE), 1 ether);
        assertState(changed, DEPOSIT, 0, 0, false);
        assertState(good, DEPOSIT, 1 ether, 0, true);
    }

    function test_closeMany_closesOnce_whenAChannelIsThereTwice() external {
        ISaltChannels.Channel memory channel = salted(NATIVE, 1);
        rows.push(rowOf(channel, 1 ether));
        rows.push(rowOf(channel, 2 ether));

        expectSkipped(channel, ISaltChannels.SkipReason.NotOpen);
        assertEq(closeMany(NATIVE), 1 ether);
        assertEq(payer.addr.balance, FUNDS - 1 ether);
    }

    function test_closeMany_endsPendingExits() external {
        ISaltChannels.Channel memory channel = salted(NATIVE, 1);
        requestExit(channel);
        rows.push(rowOf(channel, 1 ether));
        closeMany(NATIVE);
        assertState(channel, DEPOSIT, 1 ether, 0, true);
    }

    function test_closeMany_reverts_whenTheNamedKeyDidNotSign() external {
        ISaltChannels.Claim memory row = rowOf(salted(NATIVE, 1), 1 ether);
        row.ceiling = 2 ether;
        rows.push(row);
        vm.expectPartialRevert(ISaltChannels.InvalidSignature.selector);
        vm.prank(payee.addr);
        channels.closeMany(payee.addr, NATIVE, rows);
    }

    function test_closeMany_reverts_whenATotalIsAboveItsCeiling() external {
        ISaltChannels.Claim memory row = rowOf(salted(NATIVE, 1), 1 ether);
        row.total += 1;
        rows.push(row);
        vm.expectPartialRevert(ISaltChannels.AboveCeiling.selector);
        vm.prank(payee.addr);
        channels.closeMany(payee.addr, NATIVE, rows);
    }

    function test_closeMany_reverts_andNamesTheRow_whenATokenSaysFalse() external {
        PoliteToken polite = new PoliteToken();
        fund(polite);
        rows.push(rowOf(salted(address(polite), 1), 1 ether));
        ISaltChannels.Channel memory other = channelIn(address(polite));
        other.payer = anyone;
        polite.mint(anyone, DEPOSIT);
        vm.prank(anyone);
        polite.approve(address(channels), DEPOSIT);
        open(other, DEPOSIT);
        rows.push(rowOf(other, 1 ether));
        polite.setRefused(anyone, true);

        vm.expectRevert(
            abi.encodeWithSelector(ISaltChannels.UnclearTransfer.selector, polite, anyone, DEPOSIT - 1 ether)
        );
        vm.prank(payee.addr);
        channels.closeMany(payee.addr, address(polite), rows);

        // Without that row it goes.
        rows.pop();
        assertEq(closeMany(address(polite)), 1 ether);
        assertEq(polite.balanceOf(payer.addr), FUNDS - 1 ether);
    }

    function test_closeMany_creditsWhoRefuses() external {
        BlacklistingToken listing = new BlacklistingToken();
        fund(listing);
        rows.push(rowOf(salted(address(listing), 1), 1 ether));
        listing.setBlacklisted(payer.addr, true);
        listing.setBlacklisted(payee.addr, true);

        assertEq(closeMany(address(listing)), 1 ether);
        assertEq(channels.creditOf(payee.addr, address(listing)), 1 ether);
        assertEq(channels.creditOf(payer.addr, address(listing)), DEPOSIT - 1 ether);
    }

    /// @dev A payer whose token calls it shall not make the payee pay for what it does there: of all that is burnt, the
    /// token has 200,000 gas.
    function test_close_isNotMadeDear_whenTheTokenCallsAPayerThatBurnsAllGas() external {
        HookToken hooked = new HookToken();
        ISaltChannels.Channel memory channel = channelIn(address(hooked));
        channel.payer = address(new GasBurningReceiver());
        hooked.mint(channel.payer, 2 * DEPOSIT);
        vm.prank(channel.payer);
        hooked.approve(address(channels), 2 * DEPOSIT);
        open(channel, DEPOSIT);
        ISaltChannels.Channel memory second = channel;
        bytes memory voucher = voucherOf(channel, 1 ether);

        vm.prank(payee.addr);
        channels.close(channel, 1 ether, 1 ether, voucher);
        assertLt(vm.lastCallGas().gasTotalUsed, 360_000);
        assertEq(hooked.balanceOf(payee.addr), 1 ether);
        assertEq(channels.creditOf(channel.payer, address(hooked)), DEPOSIT - 1 ether);

        second.salt = bytes32(uint256(2));
        open(second, DEPOSIT);
        rows.push(rowOf(second, 1 ether));
        closeMany(address(hooked));
        assertLt(vm.lastCallGas().gasTotalUsed, 360_000);

        // The way out is to have it sent to where nobody burns gas.
        vm.prank(channel.payer);
        channels.withdraw(address(hooked), anyone);
        assertEq(hooked.balanceOf(anyone), 2 * (DEPOSIT - 1 ether));
    }

    function testFuzz_closeMany_sharesTheDepositsOut(uint256[4] memory totals, uint256[4] memory claimed) external {
        uint256 expected;
        for (uint256 i = 0; i < totals.length; ++i) {
            ISaltChannels.Channel memory channel = salted(NATIVE, i);
            claimed[i] = bound(claimed[i], 0, DEPOSIT);
            totals[i] = bound(totals[i], 0, 2 * DEPOSIT);
            if (claimed[i] != 0) claim(channel, claimed[i]);
            rows.push(rowOf(channel, totals[i]));
            uint256 reached = totals[i] < DEPOSIT ? totals[i] : DEPOSIT;
            expected += reached > claimed[i] ? reached : claimed[i];
        }
        closeMany(NATIVE);

        assertEq(payee.addr.balance, expected);
        assertEq(payer.addr.balance, FUNDS - expected);
        assertEq(address(channels).balance, 0);
    }

    function closeMany(address asset) private returns (uint256) {
        vm.prank(payee.addr);
        return channels.closeMany(payee.addr, asset, rows);
    }

    function expectSkipped(ISaltChannels.Channel memory channel, ISaltChannels.SkipReason reason) private {
        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelSkipped(channels.channelId(channel), reason);
    }
}
