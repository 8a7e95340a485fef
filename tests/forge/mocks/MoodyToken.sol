// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {PlainToken} from "./PlainToken.sol";

/// @notice Takes deposits as it should, and pays out as its mood is.
contract MoodyToken is PlainToken {
    error Refused();

    enum Mood {
        Honest,
        Refuses,
        SaysFalse,
        SaysFalseAndTransfers,
        SaysFalseAndTransfersHalf,
        SaysFalseAndPays,
        Unreadable
    }

    Mood private mood;

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    function transfer(address to, uint256 value) public override returns (bool) {
        if (mood == Mood.Refuses || mood == Mood.Unreadable) revert Refused();
        if (mood == Mood.SaysFalse) return false;
        if (mood == Mood.SaysFalseAndPays) {
            _mint(msg.sender, 1);
            return false;
        }
        super.transfer(to, mood == Mood.SaysFalseAndTransfersHalf ? value / 2 : value);
        return mood == Mood.Honest;
    }

    function balanceOf(address account) public view override returns (uint256) {
        if (mood == Mood.Unreadable) revert Refused();
        return super.balanceOf(account);
    }
}
