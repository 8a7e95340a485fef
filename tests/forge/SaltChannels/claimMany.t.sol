// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {ContractWallet} from "../mocks/ContractWallet.sol";
import {HostileWallet} from "../mocks/HostileWallet.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

contract SaltChannels_claimMany is SaltChannelsTest {
    ISaltChannels.Claim[] private rows;

    function test_claimMany_paysAllInOneTransfer() external {
        ISaltChannels.Channel memory first = salted(address(token), 1);
        ISaltChannels.Channel memory second = salted(address(token), 2);
        rows.push(rowOf(first, 1 ether));
        rows.push(rowOf(second, 2 ether));

        vm.expectCall(address(token), abi.encodeCall(token.transfer, (payee.addr, 3 ether)), 1);
        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelClaimed(channels.channelId(first), 1 ether, 1 ether);
        vm.expectEmit(address(channels));
        emit ISaltChannels.ChannelClaimed(channels.channelId(second), 2 ether, 2 ether);
        assertEq(claimMany(address(token)), 3 ether);

        assertState(first, DEPOSIT, 1 ether, 0, false);
        assertState(second, DEPOSIT, 2 ether, 0, false);
        assertEq(token.balanceOf(payee.addr), 3 ether);
    }

    function test_claimMany_paysNativeCoins() external {
        rows.push(rowOf(salted(NATIVE, 1), 1 ether));
        rows.push(rowOf(salted(NATIVE, 2), DEPOSIT + 1));

        assertEq(claimMany(NATIVE), 1 ether + DEPOSIT);
        assertEq(payee.addr.balance, 1 ether + DEPOSIT);
    }

    function test_claimMany_skipsWhatCannotBeClaimed() external {
        ISaltChannels.Channel memory stale = salted(NATIVE, 1);
        claim(stale, 2 ether);
        ISaltChannels.Channel memory closed = salted(NATIVE, 2);
        close(closed, 1 ether);
        ISaltChannels.Channel memory unknown = channelIn(NATIVE);
        ISaltChannels.Channel memory good = salted(NATIVE, 3);
        uint256 before = payee.addr.balance;

        rows.push(rowOf(stale, 1 ether));
        rows.push(rowOf(closed, 5 ether));
        rows.push(rowOf(unknown, 1 ether));
        rows.push(rowOf(good, 1 ether));
        // The second is stale by the first.
        rows.push(rowOf(good, 1 ether));

        assertEq(claimMany(NATIVE), 1 ether);
        assertEq(payee.addr.balance, before + 1 ether);
        assertState(stale, DEPOSIT, 2 ether, 0, false);
        assertState(closed, DEPOSIT, 1 ether, 0, true);
        assertState(unknown, 0, 0, 0, false);
    }

    function test_claimMany_skipsChannelsOfOthersAndOfOtherAssets() external {
        ISaltChannels.Channel memory others = channelIn(NATIVE);
        others.payee = anyone;
        open(others, DEPOSIT);
        rows.push(rowOf(others, 1 ether));
        rows.push(rowOf(salted(address(token), 1), 1 ether));

        assertEq(claimMany(NATIVE), 0);
        assertEq(address(channels).balance, DEPOSIT);
        assertEq(token.balanceOf(address(channels)), DEPOSIT);
    }

    function test_claimMany_doesNothing_whenThereAreNoRows() external {
        vm.recordLogs();
        assertEq(claimMany(NATIVE), 0);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_claimMany_paysTwoVouchersOfOneChannel() external {
        ISaltChannels.Channel memory channel = salted(NATIVE, 1);
        rows.push(rowOf(channel, 1 ether));
        rows.push(rowOf(channel, 3 ether));

        assertEq(claimMany(NATIVE), 3 ether);
        assertState(channel, DEPOSIT, 3 ether, 0, false);
    }

    function test_claimMany_skipsAWalletThatHasChangedItsMind() external {
        ContractWallet wallet = new ContractWallet(session.addr);
        pushWallet(address(wallet));
        rows.push(rowOf(salted(NATIVE, 1), 1 ether));
        wallet.close();

        assertEq(claimMany(NATIVE), 1 ether);
    }

    function test_claimMany_skipsHostileWallets() external {
        for (uint256 way = 0; way < 5; ++way) {
            pushWallet(address(new HostileWallet(HostileWallet.Way(way))));
        }
        rows.push(rowOf(salted(NATIVE, 1), 1 ether));

        vm.prank(payee.addr);
        assertEq(channels.claimMany{gas: 6_000_000}(payee.addr, NATIVE, rows), 1 ether);
    }

    function test_claimMany_paysWhatAWalletSigned() external {
        pushWallet(address(new ContractWallet(session.addr)));

        assertEq(claimMany(NATIVE), 1 ether);
    }

    function test_claimMany_reverts_whenNobodySignedAVoucher() external {
        rows.push(rowOf(salted(NATIVE, 1), 1 ether));
        ISaltChannels.Claim memory row = rowOf(salted(NATIVE, 2), 1 ether);
        row.ceiling = 2 ether;
        row.total = 2 ether;
        rows.push(row);

        vm.expectPartialRevert(ISaltChannels.InvalidSignature.selector);
        vm.prank(payee.addr);
        channels.claimMany(payee.addr, NATIVE, rows);
    }

    function test_claimMany_reverts_whenATotalIsAboveItsCeiling() external {
        ISaltChannels.Claim memory row = rowOf(salted(NATIVE, 1), 1 ether);
        row.total += 1;
        rows.push(row);

        vm.expectPartialRevert(ISaltChannels.AboveCeiling.selector);
        vm.prank(payee.addr);
        channels.claimMany(payee.addr, NATIVE, rows);
    }

    function test_claimMany_creditsAPayeeThatTheTokenRefuses() external {
        BlacklistingToken listing = new BlacklistingToken();
        fund(listing);
        rows.push(rowOf(salted(address(listing), 1), 1 ether));
        rows.push(rowOf(salted(address(listing), 2), 2 ether));
        listing.setBlacklisted(payee.addr, true);

        assertEq(claimMany(address(listing)), 3 ether);
        assertEq(channels.creditOf(payee.addr, address(listing)), 3 ether);
    }

    function testFuzz_claimMany_paysAsSingleClaimsWould(uint256[6] memory totals, uint256[6] memory salts) external {
        uint256 state = vm.snapshotState();
        for (uint256 i = 0; i < 3; ++i) {
            salted(NATIVE, i);
        }
        for (uint256 i = 0; i < totals.length; ++i) {
            ISaltChannels.Channel memory channel = channelIn(NATIVE);
            channel.salt = bytes32(salts[i] % 3);
            rows.push(rowOf(channel, bound(totals[i], 0, 2 * DEPOSIT)));
        }
        uint256 together = claimMany(NATIVE);
        ISaltChannels.Claim[] memory copy = rows;
        vm.revertToState(state);

        for (uint256 i = 0; i < 3; ++i) {
            salted(NATIVE, i);
        }
        for (uint256 i = 0; i < copy.length; ++i) {
            ISaltChannels.Channel memory channel = channelIn(NATIVE);
            channel.salt = copy[i].salt;
            vm.prank(payee.addr);
            try channels.claim(channel, copy[i].ceiling, copy[i].total, copy[i].voucher) {} catch {}
        }
        assertEq(payee.addr.balance, together);
    }

    function pushWallet(address wallet) private {
        rows.push(rowOf(keyless(wallet), 1 ether));
    }

    function claimMany(address asset) private returns (uint256) {
        vm.prank(payee.addr);
        return channels.claimMany(payee.addr, asset, rows);
    }
}
