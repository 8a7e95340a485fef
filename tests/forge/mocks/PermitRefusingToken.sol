// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {PlainToken} from "./PlainToken.sol";

/// @notice Refuses every EIP-2612 permit, in the way it is told to.
contract PermitRefusingToken is PlainToken {
    error Refused(uint256 reason);

    enum Way {
        Text,
        Panic,
        Error,
        Nothing
    }

    Way private way;

    function setWay(Way way_) external {
        way = way_;
    }

    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) external view {
        require(way != Way.Text, "not today");
        assert(way != Way.Panic);
        if (way == Way.Error) revert Refused(7);
        assembly ("memory-safe") {
            revert(0x00, 0x00)
        }
    }
}
