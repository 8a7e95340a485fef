// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {PlainToken} from "./PlainToken.sol";

/// @notice Makes a call of its own choice while it transfers or takes a permit, and keeps what came of it.
contract ReenteringToken is PlainToken {
    address private target;
    bytes private data;
    bool public called;
    bytes public answer;

    function reenter(address target_, bytes calldata data_) external {
        target = target_;
        data = data_;
    }

    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) external {
        callBack();
    }

    function transferFrom(address from, address to, uint256 value) public virtual override returns (bool) {
        callBack();
        return super.transferFrom(from, to, value);
    }

    function callBack() internal {
        if (target == address(0)) return;
        (called, answer) = target.call(data);
    }
}
