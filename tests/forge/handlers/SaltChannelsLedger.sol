// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {CommonBase} from "forge-std/Base.sol";
import {Vm} from "forge-std/Vm.sol";

/// @notice Keeps what the events of SaltChannels said, and what was signed, to be held against the contract.
abstract contract SaltChannelsLedger is CommonBase {
    using SafeCast for uint256;

    ISaltChannels internal immutable channels;

    ISaltChannels.Channel[] internal opened;

    /// @notice What an event told of a channel, and what was signed for it.
    struct Ghost {
        uint256 deposited;
        uint256 claimed;
        uint256 refunded;
        uint256 greatestCeiling;
        bool closed;
        bool known;
    }

    mapping(bytes32 channel => Ghost ghost) internal ghosts;

    /// @notice Deposits less claims, refunds and withdrawals, with credits added, as the events told.
    mapping(address asset => int256 amount) public held;

    /// @notice What an account got less what it gave, as the events told.
    mapping(address asset => mapping(address account => int256 amount)) public net;

    /// @notice How often the functions did what they are for.
    mapping(bytes32 topic => uint256 count) public counts;

    /// @notice How often a function of SaltChannels was called and did something.
    mapping(bytes4 selector => uint256 count) public done;

    /// @notice What a payee said last of an operator, as the events told.
    mapping(address payee => mapping(address operator => ISaltChannels.OperatorRight right)) public rights;

    constructor(ISaltChannels channels_) {
        channels = channels_;
    }

    function openedCount() external view returns (uint256) {
        return opened.length;
    }

    function channelAt(uint256 index) external view returns (ISaltChannels.Channel memory) {
        return opened[index];
    }

    function ghostOf(bytes32 id) external view returns (Ghost memory) {
        return ghosts[id];
    }

    /// @dev Also after a call that reverted: its events are recorded, and never were.
    function start() internal {
        vm.recordLogs();
        vm.getRecordedLogs();
    }

    function read() internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == address(channels)) readOne(logs[i]);
        }
    }

    function readOne(Vm.Log memory log) private {
        bytes32 topic = log.topics[0];
        ++counts[topic];
        if (topic == ISaltChannels.Credited.selector || topic == ISaltChannels.CreditWithdrawn.selector) {
            readCredit(log);
            return;
        }
        // Nothing came of it.
        if (topic == ISaltChannels.ChannelSkipped.selector) return;
        if (topic == ISaltChannels.OperatorSet.selector) {
            rights[addressOf(log.topics[1])][addressOf(log.topics[2])] =
                abi.decode(log.data, (ISaltChannels.OperatorRight));
            return;
        }
        if (topic == ISaltChannels.ChannelRefunded.selector) {
            readRefund(log);
            return;
        }

        Ghost storage ghost = ghosts[log.topics[1]];
        if (topic == ISaltChannels.ChannelOpened.selector) {
            require(!ghost.known, "a channel was opened twice");
            (address asset,,,,, uint256 deposit) =
                abi.decode(log.data, (address, address, address, uint32, bytes32, uint256));
            ghost.known = true;
            ghost.deposited = deposit;
            note(asset, addressOf(log.topics[2]), -deposit.toInt256());
        } else {
            require(ghost.known && !ghost.closed, "something came of a channel that is not open");
            ISaltChannels.Channel memory channel = channelWith(log.topics[1]);
            if (topic == ISaltChannels.ChannelToppedUp.selector) {
                (uint256 amount, uint256 deposit) = abi.decode(log.data, (uint256, uint256));
                ghost.deposited += amount;
                require(ghost.deposited == deposit, "a top-up does not add up");
                note(channel.asset, channel.payer, -amount.toInt256());
            } else if (topic == ISaltChannels.ChannelClaimed.selector) {
                (uint256 amount, uint256 claimed) = abi.decode(log.data, (uint256, uint256));
                require(amount != 0, "an empty claim");
                ghost.claimed += amount;
                require(ghost.claimed == claimed, "a claim does not add up");
                note(channel.asset, channel.payee, amount.toInt256());
            } else if (topic == ISaltChannels.ChannelClosed.selector) {
                (uint256 claimed, uint256 refund) = abi.decode(log.data, (uint256, uint256));
                require(claimed + refund == ghost.deposited, "a close does not add up");
                ghost.refunded = refund;
                ghost.closed = true;
                note(channel.asset, channel.payer, refund.toInt256());
            }
        }
    }

    /// @dev From the payee to the payer, through the contract. The channel stays as it is, and may be closed.
    function readRefund(Vm.Log memory log) private {
        ISaltChannels.Channel memory channel = channelWith(log.topics[1]);
        int256 amount = abi.decode(log.data, (uint256)).toInt256();
        require(ghosts[log.topics[1]].claimed.toInt256() >= amount, "more was given back than was claimed");
        note(channel.asset, channel.payee, -amount);
        note(channel.asset, channel.payer, amount);
    }

    function readCredit(Vm.Log memory log) private {
        (address owner, address asset) = (addressOf(log.topics[1]), addressOf(log.topics[2]));
        uint256 amount = abi.decode(log.data, (uint256));
        if (log.topics[0] == ISaltChannels.Credited.selector) {
            note(asset, owner, -amount.toInt256());
        } else {
            note(asset, addressOf(log.topics[3]), amount.toInt256());
        }
    }

    /// @dev An account got so much from the contract, or gave it.
    function note(address asset, address to, int256 amount) private {
        net[asset][to] += amount;
        held[asset] -= amount;
    }

    function channelWith(bytes32 id) private view returns (ISaltChannels.Channel memory channel) {
        for (uint256 i = 0; i < opened.length; ++i) {
            if (channels.channelId(opened[i]) == id) return opened[i];
        }
        revert("an event of an unknown channel");
    }

    function addressOf(bytes32 topic) private pure returns (address) {
        return address(uint160(uint256(topic)));
    }
}
