// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {ExactReceiver} from "../mocks/ExactReceiver.sol";
import {ExactToken} from "../mocks/ExactToken.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

/// @notice Callees that need all of the gas that they are to have: each limit pays, or reverts, and never credits.
contract SaltChannels_gasEdges is SaltChannelsTest {
    function test_claim_paysWhoNeedsAllOfItsGas_orReverts() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        // With the stipend. An operator sends, so that the payee is touched first by the call itself.
        channel.operator = anyone;
        channel.payee = address(new ExactReceiver(102_000));
        open(channel, DEPOSIT);
        sweep(anyone, channel, voucherOf(channel, 1 ether), 120_000, 190_000);
    }

    function test_claim_paysThroughATokenThatNeedsAllOfItsGas_orReverts() external {
        ISaltChannels.Channel memory channel = opened(fund(new ExactToken()));
        sweep(payee.addr, channel, voucherOf(channel, 1 ether), 220_000, 290_000);
    }

    function test_claimMany_claimsOfAWalletThatNeedsAllOfItsGas_orReverts() external {
        ISaltChannels.Channel memory channel = keyless(address(new ExactReceiver(499_400)));
        ISaltChannels.Claim[] memory rows = new ISaltChannels.Claim[](1);
        rows[0] = rowOf(channel, 1 ether);
        bytes memory data = abi.encodeCall(channels.claimMany, (payee.addr, NATIVE, rows));
        uint256 done;
        for (uint256 limit = 500_000; limit < 640_000; limit += 100) {
            uint256 before = vm.snapshotState();
            vm.prank(payee.addr);
            (bool success,) = address(channels).call{gas: limit}(data);
            assertEq(payee.addr.balance, success ? 1 ether : 0);
            if (success) ++done;
            vm.revertToState(before);
        }
        assertTrue(done != 0);
    }

    function sweep(
        address caller,
        ISaltChannels.Channel memory channel,
        bytes memory voucher,
        uint256 least,
        uint256 most
    ) private {
        bytes memory data = abi.encodeCall(channels.claim, (channel, 1 ether, 1 ether, voucher));
        uint256 done;
        for (uint256 limit = least; limit < most; limit += 100) {
            uint256 before = vm.snapshotState();
            vm.prank(caller);
            (bool success,) = address(channels).call{gas: limit}(data);
            assertEq(channels.creditOf(channel.payee, channel.asset), 0, "credited");
            assertEq(balanceOf(channel.asset, channel.payee), success ? 1 ether : 0);
            if (success) ++done;
            vm.revertToState(before);
        }
        assertTrue(done != 0);
    }
}
