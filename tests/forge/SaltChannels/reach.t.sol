// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {SaltChannelsDepositor} from "../handlers/SaltChannelsDepositor.sol";
import {SaltChannelsHandler} from "../handlers/SaltChannelsHandler.sol";
import {SaltChannels, newSaltChannels} from "../support/Contracts.sol";
import {Dice} from "../support/Dice.sol";
import {Test} from "forge-std/Test.sol";

/// @notice The handler takes what reverts for granted, so that the fuzzer's summary of calls does not tell what came of them.
/// Walks like the fuzzer's, drawn by dice, show that every function of the contract does something in them.
contract SaltChannels_reach is Test {
    uint256 private constant WALKS = 48;
    uint256 private constant STEPS = 128;

    /// @dev Of a step. The account that burns all its gas shall not burn the test's.
    uint256 private constant GAS = 10_000_000;

    SaltChannels private channels;
    SaltChannelsHandler private handler;

    function setUp() external {
        vm.warp(1_800_000_000);
        channels = newSaltChannels();
        handler = new SaltChannelsHandler(channels);
    }

    function test_handler_reachesEveryFunction() external {
        bytes4[] memory functions = reachable();
        uint256[] memory counts = new uint256[](functions.length);
        uint256[] memory ways = new uint256[](uint256(type(SaltChannelsDepositor.Way).max) + 1);
        uint256 actedFor;
        for (uint256 i = 0; i < WALKS; ++i) {
            uint256 start = vm.snapshotState();
            for (uint256 j = 0; j < STEPS; ++j) {
                this.step{gas: GAS}(i * STEPS + j);
            }
            for (uint256 j = 0; j < functions.length; ++j) {
                counts[j] += handler.done(functions[j]);
            }
            for (uint256 j = 0; j < ways.length; ++j) {
                ways[j] += handler.deposits(SaltChannelsDepositor.Way(j));
            }
            actedFor += handler.actedFor();
            assertTrue(vm.revertToState(start));
        }
        for (uint256 i = 0; i < functions.length; ++i) {
            emit log_named_uint(vm.toString(functions[i]), counts[i]);
            assertGt(counts[i], 0, vm.toString(functions[i]));
        }
        for (uint256 i = 0; i < ways.length; ++i) {
            emit log_named_uint("deposits", ways[i]);
            assertGt(ways[i], 0, "a way of depositing");
        }
        assertGt(actedFor, 0, "operators");
    }

    /// @dev All but the deposits by signature, which the handler counts by their ways.
    function reachable() private view returns (bytes4[] memory functions) {
        functions = new bytes4[](19);
        functions[0] = channels.open.selector;
        functions[1] = channels.topUp.selector;
        functions[2] = channels.claim.selector;
        functions[3] = channels.claimToCredit.selector;
        functions[4] = channels.claimMany.selector;
        functions[5] = channels.claimRows.selector;
        functions[6] = channels.claimManyFor.selector;
        functions[7] = channels.close.selector;
        functions[8] = channels.closeFor.selector;
        functions[9] = channels.closeMany.selector;
        functions[10] = channels.refund.selector;
        functions[11] = channels.setOperator.selector;
        functions[12] = channels.requestExit.selector;
        functions[13] = channels.requestExitFor.selector;
        functions[14] = channels.exit.selector;
        functions[15] = channels.exitToCredit.selector;
        functions[16] = channels.exitMany.selector;
        functions[17] = channels.withdraw.selector;
        functions[18] = channels.withdrawFor.selector;
    }

    function step(uint256 seed) external {
        Dice memory dice = Dice({seed: seed, rolls: 0});
        uint256 which = dice.roll(25);
        (uint256 a, uint256 b, uint256 c) = (dice.word(), dice.word(), dice.word());
        bool yes = dice.oneIn(2);
        if (which < 2) opening(dice, which == 0, yes);
        if (which == 2) handler.topUp(a, b);
        if (which == 3) handler.topUpFor(a, b, c, yes);
        if (which == 4) handler.signVoucher(a, b);
        if (which == 5) handler.claim(a, b, c);
        if (which == 6) handler.claimToCredit(a, b);
        if (which == 7) handler.claimMany(a, b, yes, c);
        if (which == 8) handler.claimRows(a, b, c);
        if (which == 9) handler.close(a, yes, b);
        if (which == 10) handler.closeMany(a, b, c);
        if (which == 11) handler.refund(a, b);
        if (which == 12) handler.setOperator(a, b, c);
        if (which == 13) handler.requestExit(a, yes);
        if (which == 14) handler.exit(a);
        if (which == 15) handler.exitToCredit(a);
        if (which == 16) handler.exitMany(a, b);
        if (which == 17) handler.withdraw(a, b, c);
        if (which == 18) handler.withdrawFor(a, b);
        if (which == 19) handler.wait(a);
        if (which == 20) handler.blacklist(a, yes);
        if (which == 21) handler.changeMood(a);
        if (which == 22) handler.changeMind(yes);
        if (which == 23) handler.plan(a, b);
        if (which == 24) handler.abuse(a, b, c);
    }

    function opening(Dice memory dice, bool directly, bool keyless) private {
        uint256[7] memory words;
        for (uint256 i = 0; i < words.length; ++i) {
            words[i] = dice.word();
        }
        if (directly) {
            handler.open(words[0], words[1], words[2], words[3], words[4], keyless, words[5], words[6]);
        } else {
            handler.openFor(words[0], words[1], words[2], words[3], words[4], keyless, words[5], words[6] % 2 == 0);
        }
    }
}
