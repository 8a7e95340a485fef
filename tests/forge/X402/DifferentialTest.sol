// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ReenteringToken} from "../mocks/ReenteringToken.sol";
import {Dice} from "../support/Dice.sol";
import {MutationTest} from "./MutationTest.sol";
import {Vm} from "forge-std/Vm.sol";

/// @notice Holds our proxy against the plain one: the same call, in the same world, at the same address, twice in a row. The
/// answers, the logs and the world afterwards must be the same.
abstract contract DifferentialTest is MutationTest {
    /// @dev How many draws show what draws reach. The fuzzer makes more of them.
    uint256 private constant DRAWS = 250;

    /// @dev More than any payment needs. What burns all its gas shall not burn the test's.
    uint256 private constant GAS = 5_000_000;

    /// @dev What became of the call, and of the same call once more.
    struct Outcome {
        bool done;
        bytes answer;
        bool doneAgain;
        bytes answerAgain;
        Vm.Log[] logs;
        uint256[] world;
        bytes4 reentrance;
    }

    bytes internal ours;
    bytes internal plain;

    /// @dev The errors and events that draws must reach.
    string[] internal expected;

    function setUp() public virtual override {
        super.setUp();
        expected = [
            "PaymentSettled(address,address,address,uint256,uint256)",
            "",
            "InvalidAmount()",
            "InvalidOwner()",
            "InvalidDestination()",
            "PaymentTooEarly()",
            "SignatureExpired(uint256)",
            "InvalidNonce()",
            "InvalidSigner()",
            "InvalidSignature()",
            "InvalidSignatureLength()",
            "InvalidContractSignature()",
            "Error(string)",
            "ReentrancyGuardReentrantCall()"
        ];
    }

    /// @dev Of functions that give the token a permit.
    function expectPermitsEnds() internal {
        expected.push("Permit2612AmountMismatch()");
        expected.push("EIP2612PermitFailedWithReason(address,address,string)");
        expected.push("EIP2612PermitFailedWithPanic(address,address,uint256)");
        expected.push("EIP2612PermitFailedWithData(address,address,bytes)");
    }

    /// @dev A payment that is wrong in some points is settled or refused by both, in the same words, with the same effect.
    function testFuzz_mutated_endsAsPlainly(uint256 seed) external {
        hold(seed);
    }

    /// @dev If draws were all refused for one reason, they would show little.
    function test_mutated_reachesEveryEnd() external {
        uint256[] memory reached = new uint256[](DRAWS);
        for (uint256 seed = 0; seed < DRAWS; ++seed) {
            // In a frame of its own, whose memory is free afterwards.
            reached[seed] = this.hold(seed);
        }
        for (uint256 i = 0; i < expected.length; ++i) {
            uint256 count;
            for (uint256 seed = 0; seed < DRAWS; ++seed) {
                if ((reached[seed] / 2 ** i) % 2 == 1) ++count;
            }
            emit log_named_uint(expected[i], count);
            assertGt(count, 0, expected[i]);
        }
    }

    /// @return reached Which of the expected errors and events were reached, a bit for each.
    function hold(uint256 seed) public returns (uint256 reached) {
        uint256 origin = vm.snapshotState();
        Case memory drawn = caseOf(Dice({seed: seed, rolls: 0}));

        uint256 before = vm.snapshotState();
        Outcome memory our = outcomeOf(ours, drawn);
        assertTrue(vm.revertToState(before), "the world is as before");
        Outcome memory theirs = outcomeOf(plain, drawn);
        assertTrue(vm.revertToState(origin), "the world is as at first");

        assertEq(our.done, theirs.done, "settled");
        assertEq(our.answer, theirs.answer, "answer");
        assertEq(our.doneAgain, theirs.doneAgain, "settled once more");
        assertEq(our.answerAgain, theirs.answerAgain, "answer to the second call");
        assertEq(our.world, theirs.world, "balances, allowances, nonces");
        assertEq(our.logs.length, theirs.logs.length, "logs");
        for (uint256 i = 0; i < our.logs.length; ++i) {
            assertEq(our.logs[i].emitter, theirs.logs[i].emitter, "emitter");
            assertEq(our.logs[i].topics, theirs.logs[i].topics, "topics");
            assertEq(our.logs[i].data, theirs.logs[i].data, "data");
        }
        return reachedBy(our);
    }

    function outcomeOf(bytes memory code, Case memory drawn) private returns (Outcome memory outcome) {
        vm.etch(proxy, code);
        vm.deal(drawn.caller, 2);
        vm.recordLogs();
        vm.getRecordedLogs();
        (outcome.done, outcome.answer) = submit(drawn);
        (outcome.doneAgain, outcome.answerAgain) = submit(drawn);
        outcome.logs = vm.getRecordedLogs();
        outcome.world = observe(drawn.payment);
        outcome.reentrance = bytes4(ReenteringToken(tokens[REENTERING]).answer());
    }

    function submit(Case memory drawn) private returns (bool, bytes memory) {
        vm.prank(drawn.caller);
        return proxy.call{value: drawn.value, gas: GAS}(drawn.call);
    }

    function reachedBy(Outcome memory outcome) private view returns (uint256 reached) {
        for (uint256 i = 0; i < expected.length; ++i) {
            if (isReached(outcome, expected[i])) reached += 2 ** i;
        }
    }

    /// @dev An error by its selector, which is the beginning of its hash; an event by its hash, also of a call that reverted
    /// afterwards, whose events are recorded and never were.
    // forge-lint: disable-next-item(unsafe-typecast)
    function isReached(Outcome memory outcome, string memory name) private pure returns (bool) {
        if (bytes(name).length == 0) return !outcome.done && outcome.answer.length == 0;
        bytes32 hash = keccak256(bytes(name));
        if (outcome.reentrance == bytes4(hash)) return true;
        if (!outcome.done && bytes4(outcome.answer) == bytes4(hash)) return true;
        for (uint256 i = 0; i < outcome.logs.length; ++i) {
            if (outcome.logs[i].topics[0] == hash) return true;
        }
        return false;
    }
}
