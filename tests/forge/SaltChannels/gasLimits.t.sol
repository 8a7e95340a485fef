// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {GasBurningReceiver} from "../mocks/GasBurningReceiver.sol";
import {HookToken} from "../mocks/HookToken.sol";
import {HungryReceiver} from "../mocks/HungryReceiver.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

/// @notice Whoever sends a transaction chooses its gas limit. It shall decide nothing but whether the transaction reverts:
/// every limit from far too little to plenty, and what comes of it is nothing or all.
contract SaltChannels_gasLimits is SaltChannelsTest {
    uint256 private constant LEAST = 5_000;
    uint256 private constant MOST = 900_000;
    uint256 private constant STEP = 500;

    ISaltChannels.Claim[] private rows;
    ISaltChannels.Channel[] private many;
    HookToken private hooked;

    function setUp() public override {
        super.setUp();
        hooked = new HookToken();
        fund(hooked);
    }

    function test_claim_paysACalleeThatNeedsMuch_orReverts() external {
        uint256[4] memory needs = [uint256(1_000), 20_000, 60_000, 95_000];
        for (uint256 i = 0; i < needs.length; ++i) {
            ISaltChannels.Channel memory channel = channelOf(NATIVE, address(new HungryReceiver(needs[i])), i);
            sweepClaim(channel, true);
        }
    }

    function test_claim_creditsACalleeThatNeedsTooMuch_orReverts() external {
        sweepClaim(channelOf(NATIVE, address(new HungryReceiver(110_000)), 0), false);
        sweepClaim(channelOf(NATIVE, address(new GasBurningReceiver()), 1), false);
    }

    function test_claim_paysThroughATokenThatCallsThePayee_orReverts() external {
        sweepClaim(channelOf(address(hooked), address(new HungryReceiver(60_000)), 0), true);
        sweepClaim(channelOf(address(hooked), address(new HungryReceiver(120_000)), 1), true);
    }

    function test_claim_creditsThroughATokenThatCallsThePayee_orReverts() external {
        sweepClaim(channelOf(address(hooked), address(new HungryReceiver(250_000)), 0), false);
    }

    /// @dev The two calls of a close: payee and payer each get what is theirs, or nobody anything.
    function test_close_paysBoth_orReverts() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.payee = address(new HungryReceiver(60_000));
        channel.payer = address(new HungryReceiver(60_000));
        vm.deal(channel.payer, DEPOSIT);
        open(channel, DEPOSIT);
        bytes memory voucher = voucherOf(channel, 1 ether);

        sweep(channel.payee, abi.encodeCall(channels.close, (channel, 1 ether, 1 ether, voucher)), channel, true);
    }

    function test_exitMany_paysAll_orReverts() external {
        for (uint256 i = 0; i < 3; ++i) {
            ISaltChannels.Channel memory channel = channelIn(NATIVE);
            channel.payer = address(new HungryReceiver(60_000));
            vm.deal(channel.payer, DEPOSIT);
            open(channel, DEPOSIT);
            requestExit(channel);
            many.push(channel);
        }
        vm.warp(block.timestamp + DELAY);
        bytes memory data = abi.encodeCall(channels.exitMany, (many));

        uint256 done;
        for (uint256 limit = LEAST; limit < MOST; limit += STEP) {
            uint256 before = vm.snapshotState();
            bool success = attempt(anyone, limit, data);
            for (uint256 i = 0; i < many.length; ++i) {
                assertEq(many[i].payer.balance, success ? DEPOSIT : 0);
                assertEq(stateOf(many[i]).closed, success);
            }
            if (success) ++done;
            vm.revertToState(before);
        }
        assertTrue(done != 0);
    }

    /// @dev `eth_estimateGas` looks for the least limit that does not revert. It shall not find one that pays nothing.
    function test_claimMany_claimsAllRows_orReverts() external {
        for (uint256 i = 0; i < 2; ++i) {
            rows.push(rowOf(keyless(address(new HungryReceiver(60_000))), 1 ether));
            rows.push(rowOf(salted(NATIVE, i), 1 ether));
        }
        bytes memory data = abi.encodeCall(channels.claimMany, (payee.addr, NATIVE, rows));

        sweepRows(data, 4 ether, 2_500_000);
    }

    function test_claimRows_claimsAllRows_orReverts() external {
        bytes memory packedRows;
        for (uint256 i = 0; i < 2; ++i) {
            packedRows = bytes.concat(packedRows, packed(rowOf(keyless(address(new HungryReceiver(60_000))), 1 ether)));
            packedRows = bytes.concat(packedRows, packed(rowOf(salted(NATIVE, i), 1 ether)));
        }
        bytes memory data = abi.encodeCall(channels.claimRows, (payee.addr, NATIVE, address(0), packedRows));

        sweepRows(data, 4 ether, 2_500_000);
    }

    /// @dev A wallet that says no whatever it is given: its row is skipped, and the others are not.
    function test_claimMany_skipsWhoSaysNo_orReverts() external {
        rows.push(rowOf(keyless(address(new HungryReceiver(400_000))), 1 ether));
        rows.push(rowOf(salted(NATIVE, 1), 1 ether));
        bytes memory data = abi.encodeCall(channels.claimMany, (payee.addr, NATIVE, rows));

        sweepRows(data, 1 ether, 1_500_000);
    }

    function test_claim_saysHowMuchGasIsMissing() external {
        ISaltChannels.Channel memory channel = channelOf(NATIVE, address(new HungryReceiver(60_000)), 0);
        bytes memory voucher = voucherOf(channel, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(ISaltChannels.InsufficientGas.selector, channel.payee, uint256(100_000)));
        vm.prank(channel.payee);
        channels.claim{gas: 75_000}(channel, 1 ether, 1 ether, voucher);
    }

    function sweepRows(bytes memory data, uint256 all, uint256 most) private {
        uint256 paid;
        for (uint256 limit = LEAST; limit < most; limit += 4 * STEP) {
            uint256 before = vm.snapshotState();
            bool success = attempt(payee.addr, limit, data);
            assertEq(payee.addr.balance, success ? all : 0);
            if (success) ++paid;
            vm.revertToState(before);
        }
        assertTrue(paid != 0);
    }

    function sweepClaim(ISaltChannels.Channel memory channel, bool paid) private {
        bytes memory voucher = voucherOf(channel, 1 ether);
        sweep(channel.payee, abi.encodeCall(channels.claim, (channel, 1 ether, 1 ether, voucher)), channel, paid);
    }

    /// @dev Whatever the limit, the payee is paid, or else credited if that is what is to come, or the call reverts.
    function sweep(address caller, bytes memory data, ISaltChannels.Channel memory channel, bool paid) private {
        (uint256 done, uint256 undone) = (0, 0);
        for (uint256 limit = LEAST; limit < MOST; limit += STEP) {
            uint256 before = vm.snapshotState();
            bool success = attempt(caller, limit, data);
            assertEq(balanceOf(channel.asset, channel.payee), success && paid ? 1 ether : 0);
            assertEq(channels.creditOf(channel.payee, channel.asset), success && !paid ? 1 ether : 0);
            assertEq(channels.creditOf(channel.payer, channel.asset), 0);
            if (success) ++done;
            else ++undone;
            vm.revertToState(before);
        }
        assertTrue(done != 0 && undone != 0);
    }

    function attempt(address caller, uint256 limit, bytes memory data) private returns (bool success) {
        vm.prank(caller);
        (success,) = address(channels).call{gas: limit}(data);
    }

    function channelOf(address asset, address to, uint256 salt) private returns (ISaltChannels.Channel memory channel) {
        channel = channelIn(asset);
        channel.payee = to;
        channel.salt = bytes32(salt);
        open(channel, DEPOSIT);
    }
}
